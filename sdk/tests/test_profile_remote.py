"""Profiles over ssh, against a real sshd on loopback."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import loopback_sshd
import numpy as np
import pytest
from click.testing import CliRunner, Result
from loopback_sshd import HOST, Device, closed_port, wait_for, words

from edgekit.cli import main
from edgekit.profiling.host import read_host
from edgekit.profiling.record import Profile

pytestmark = pytest.mark.skipif(
    bool(loopback_sshd.MISSING), reason=f"OpenSSH is not installed here: {', '.join(loopback_sshd.MISSING)}"
)

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with loopback_sshd.running(tmp_path_factory.mktemp("device")) as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_stays_behind(device: Device) -> Iterator[None]:
    yield
    # A device that lost its connection notices so by itself, a moment later.
    wait_for(lambda: not any(device.scratch.iterdir()), "the device removes its temporary folder")


@pytest.fixture
def profile(site: Any, device: Device) -> Run:
    """Runs the command on the device, with the edgekit that is installed there."""
    real = device.edgekit("virtual env/bin/edgekit")

    def invoke(
        *inputs: object, edgekit: str = real, options: list[str] | None = None, host: str = HOST
    ) -> Result:
        there = ["--host", host, "--remote-edgekit", edgekit, *words(options or device.options())]
        return CliRunner().invoke(main, ["profile", "--runs=3", "--warmup=1", *there, *map(str, inputs)])

    return invoke


def error_of(done: Result) -> dict[str, str]:
    """The error of a command that was run with --json."""
    assert done.exit_code == 1, done.output
    error: dict[str, str] = json.loads(done.stdout)["error"]
    assert error["hint"]
    return error


@pytest.fixture
def tiny(bundle_file: Callable[..., Path], dense: Any) -> Path:
    return bundle_file(dense)


class TestMeasuring:
    def test_the_profile_comes_back(self, profile: Run, tiny: Path) -> None:
        done = profile(tiny, "--unsigned", "--json")
        assert done.exit_code == 0, done.stderr
        measured = Profile.from_bytes(done.stdout_bytes)
        assert measured.host == read_host()
        assert (measured.steady.runs, measured.warmup) == (3, 1)
        first, *others = done.stderr.splitlines()
        assert re.fullmatch(rf"sending \d+\.\d kB to {HOST}", first)
        assert others == [
            f"measuring on {HOST}",
            f"{tiny} ran unsigned: nothing shows who made it",
        ]

    def test_people_are_told_where_it_was_measured(self, profile: Run, tiny: Path) -> None:
        done = profile(tiny, "--unsigned", "--threads=2,1", "--batch=3", "--ops-method=prefix")
        assert done.exit_code == 0, done.stderr
        assert done.stdout.splitlines()[0] == f"measured over ssh on {HOST}"
        assert "threads: 2" in done.stdout
        for table in (r"^threads +p50", r"^batch +p50", r"^op +kind"):
            assert re.search(table, done.stdout, re.M)

    @pytest.mark.parametrize(
        "name",
        [
            'it\'s a "test".npy',
            "$(touch owned) `touch owned`; touch owned.npy",
            "a\nb.npy",
            "-rf.npy",
            "é\\.npy",
        ],
    )
    def test_no_name_of_a_file_reaches_a_shell(
        self, profile: Run, tiny: Path, device: Device, tmp_path: Path, name: str, monkeypatch: Any
    ) -> None:
        nasty = tiny.rename(tmp_path / f"{name}.edgekit")
        np.save(tmp_path / name, np.zeros((2, 4, 4, 3), np.uint8))
        monkeypatch.chdir(tmp_path)
        done = profile("--unsigned", "--json", "--", nasty.name, name)
        assert done.exit_code == 0, done.stderr
        assert Profile.from_bytes(done.stdout_bytes).inputs == "2 samples from files"
        assert not [*device.home.glob("**/owned*"), *tmp_path.glob("owned*")]

    def test_each_file_goes_to_its_input(
        self, profile: Run, bundle_file: Callable[..., Path], pair: Any, tmp_path: Path
    ) -> None:
        for name in ("left", "right"):
            np.save(tmp_path / f"{name}=1.npy", np.ones(2, np.float32))
        files = [f"{name}={tmp_path}/{name}=1.npy" for name in ("left", "right")]
        done = profile(bundle_file(pair), *files, "--unsigned", "--json")
        assert done.exit_code == 0, done.stderr
        assert Profile.from_bytes(done.stdout_bytes).inputs == "1 sample from files"

    def test_what_start_up_files_print_does_no_harm(self, profile: Run, tiny: Path, device: Device) -> None:
        done = profile(tiny, "--unsigned", "--json", options=device.options("noisy"))
        assert done.exit_code == 0, done.stderr
        assert Profile.from_bytes(done.stdout_bytes).steady.runs == 3

    @pytest.mark.parametrize("word", ["~/a b/edgekit", "a b/edgekit"])
    def test_edgekit_is_found_in_the_home_folder_there(
        self, profile: Run, tiny: Path, device: Device, word: str
    ) -> None:
        device.edgekit("a b/edgekit", 'echo "from $0" >&2; exit 1')
        done = profile(tiny, "--unsigned", edgekit=word)
        assert done.exit_code == 1
        assert f"{HOST}: from " in done.stderr
        assert "a b/edgekit" in done.stderr

    def test_edgekit_is_found_where_pip_puts_it_for_one_user(
        self, profile: Run, tiny: Path, device: Device
    ) -> None:
        there = Path(device.edgekit(".local/bin/edgekit"))
        done = profile(tiny, "--unsigned", "--json", edgekit="edgekit")
        there.unlink()
        assert done.exit_code == 0, done.stderr

    def test_keys_go_along(self, profile: Run, tiny: Path, device: Device, tmp_path: Path) -> None:
        keys = tmp_path / "it's trust.d"
        keys.mkdir()
        for name in ("a.pub.pem", "b.pub.pem"):
            (keys / name).write_text(f"-----BEGIN PUBLIC KEY-----\n{name}\n-----END PUBLIC KEY-----\n")
        shows = device.edgekit(
            "shows", 'for word; do case $word in --trust=*) cat "${word#*=}"/*; esac; done >&2'
        )
        done = profile(tiny, "--trust", keys, edgekit=shows)
        assert [line for line in done.stderr.splitlines() if ".pub.pem" in line] == [
            f"{HOST}: a.pub.pem",
            f"{HOST}: b.pub.pem",
        ]


class TestRefusalsOfTheDevice:
    def test_its_error_is_relayed_once_and_names_the_files_here(
        self, profile: Run, tiny: Path, tmp_path: Path
    ) -> None:
        np.save(tmp_path / "bad.npy", np.zeros((5, 5), np.uint8))
        done = profile(tiny, tmp_path / "bad.npy", "--unsigned", "--json")
        error = error_of(done)
        assert error["kind"] == "RemoteError"
        assert error["message"].startswith(f"{HOST} refuses: ")
        assert error["message"].endswith(" (InputError)")
        assert "edgekit-" not in error["message"]
        assert len(re.findall("edgekit: error", done.stderr)) == 1

    def test_its_hint_is_relayed(self, profile: Run, tiny: Path) -> None:
        error = error_of(profile(tiny, "--unsigned", "--device=usb", "--json"))
        assert "(DeviceError)" in error["message"]
        assert "coral" in error["hint"]

    def test_an_edgekit_that_is_not_there(self, profile: Run, tiny: Path, device: Device) -> None:
        error = error_of(profile(tiny, "--unsigned", "--json", edgekit=f"{device.home}/nowhere"))
        assert error["message"] == f"{HOST}: {device.home}/nowhere cannot be run there"
        error = error_of(profile(tiny, "--unsigned", "--json", edgekit="edgekit"))
        assert "not installed" in error["message"]
        assert "pip install 'edgekit[runtime]' there" in error["hint"]
        assert "--remote-edgekit" in error["hint"]

    def test_an_edgekit_whose_python_is_gone(self, profile: Run, tiny: Path, device: Device) -> None:
        gone = device.edgekit("gone")
        Path(gone).write_text("#!/nowhere/bin/python\n")
        assert (
            "cannot be run there" in error_of(profile(tiny, "--unsigned", "--json", edgekit=gone))["message"]
        )

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("echo hello", "does not answer with a profile: its answer is not JSON"),
            ("true", "does not answer with a profile: its answer is not JSON"),
            (
                """echo '{"schema": "edgekit-profile/9"}'""",
                "it has the schema 'edgekit-profile/9', and edgekit-profile/1 is wanted",
            ),
            (
                'case $1 in --version) echo "edgekit 0.0.7";; *) echo '
                """'{"error": {"kind": "UsageError", "message": "No such option: -q", "hint": null}}'; exit 2;; esac""",
                "does not know this: No such option: -q (it is edgekit 0.0.7, and this is ",
            ),
            ("echo '{\"error\": 3}'; echo broken >&2; exit 1", "failed with exit code 1: broken"),
            ('echo "out of memory" >&2; kill -9 $$', "was killed by signal 9: out of memory"),
        ],
    )
    def test_an_edgekit_of_another_kind(
        self, profile: Run, tiny: Path, device: Device, body: str, message: str
    ) -> None:
        error = error_of(profile(tiny, "--unsigned", "--json", edgekit=device.edgekit("odd", body)))
        assert error["kind"] == "RemoteError"
        assert message in error["message"]

    def test_a_profile_of_something_else(
        self, profile: Run, tiny: Path, device: Device, tmp_path: Path
    ) -> None:
        other = json.loads(profile(tiny, "--unsigned", "--json").stdout)
        other["bundle"]["digest"] = "0f" * 32
        (tmp_path / "other.json").write_text(json.dumps(other))
        replays = device.edgekit("replays", f"cat '{tmp_path}/other.json'")
        error = error_of(profile(tiny, "--unsigned", "--json", edgekit=replays))
        assert "not the one that was asked for" in error["message"]

    def test_what_it_says_cannot_command_the_terminal(self, profile: Run, tiny: Path, device: Device) -> None:
        body = (
            r"printf 'edgekit: red \033[31m\n' >&2; "
            r"""printf '{"error": {"kind": "X", "message": "\\u001b[2J", "hint": null}}'; exit 1"""
        )
        done = profile(tiny, "--unsigned", edgekit=device.edgekit("escapes", body))
        assert "\x1b" not in done.output
        assert rf"{HOST}: edgekit: red \x1b[31m" in done.stderr
        assert r"refuses: \x1b[2J (X)" in done.stderr

    def test_a_device_that_never_stops_talking(
        self, profile: Run, tiny: Path, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("edgekit.profiling.remote.MOST_BYTES", 1 << 20)
        talks = device.edgekit("talks", "head -c 9000000 /dev/zero; head -c 9000000 /dev/zero >&2")
        error = error_of(profile(tiny, "--unsigned", "--json", edgekit=talks))
        assert "more than a profile can have" in error["message"]

    def test_a_bundle_that_does_not_fit_there(
        self, site: Any, tiny: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
    ) -> None:
        np.save(tmp_path / "big.npy", np.zeros((60_000, 4, 4, 3), np.uint8))
        with loopback_sshd.running(tmp_path_factory.mktemp("small"), largest_file=1 << 20) as small:
            there = ["--host", HOST, *words(small.options())]
            done = CliRunner().invoke(
                main, ["profile", str(tiny), f"{tmp_path}/big.npy", "--unsigned", "--json", *there]
            )
            wait_for(lambda: not any(small.scratch.iterdir()), "the device removes its temporary folder")
        error = error_of(done)
        assert "there is no room for the bundle and its data" in error["message"]


class TestConnections:
    @pytest.mark.parametrize(
        ("key", "hosts", "message", "hint"),
        [
            ("stranger", "known_hosts", "it does not let you in", "ssh-copy-id"),
            ("user", "no_hosts", "its host key is not known here", "fingerprint"),
            ("user", "changed_hosts", "its host key is not the one that it had", "ssh-keygen -R 127.0.0.1"),
        ],
    )
    def test_keys_that_do_not_fit(
        self, profile: Run, tiny: Path, device: Device, key: str, hosts: str, message: str, hint: str
    ) -> None:
        error = error_of(profile(tiny, "--unsigned", "--json", options=device.options(key, hosts)))
        assert error["message"].startswith(f"{HOST}: {message} (ssh: ")
        assert hint in error["hint"]

    def test_a_port_that_nothing_listens_to(self, profile: Run, tiny: Path, device: Device) -> None:
        error = error_of(profile(tiny, "--unsigned", "--json", options=device.options(port=closed_port())))
        assert "no ssh server answers" in error["message"]

    @pytest.mark.parametrize("option", ["Nonsense=1", "Port=99999"])
    def test_an_option_that_ssh_does_not_take(self, profile: Run, tiny: Path, option: str) -> None:
        error = error_of(profile(tiny, "--unsigned", "--json", options=[option]))
        assert "ssh does not take an option" in error["message"]

    def test_a_connection_that_breaks(self, profile: Run, tiny: Path, device: Device, tmp_path: Path) -> None:
        started = tmp_path / "started"
        sleeps = device.edgekit("sleeps", f"touch '{started}'; sleep 300")

        def drop() -> None:
            wait_for(started.exists, "the measurement starts")
            device.drop_connections()

        dropper = Thread(target=drop)
        dropper.start()
        error = error_of(profile(tiny, "--unsigned", "--json", edgekit=sleeps))
        dropper.join()
        assert error["message"].startswith(f"{HOST}: the connection was lost midway (ssh: ")

    def test_interrupting_ends_it_there_as_well(
        self, site: Any, tiny: Path, device: Device, tmp_path: Path
    ) -> None:
        pids = tmp_path / "pids"
        sleeps = device.edgekit(
            "sleeps", f"sleep 300 & echo $$ $! >'{pids}.new'; mv '{pids}.new' '{pids}'; wait"
        )
        there = ["--host", HOST, "--remote-edgekit", sleeps, *words(device.options())]
        command = [sys.executable, "-m", "edgekit", "profile", str(tiny), "--unsigned", "--json", *there]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(pids.exists, "the measurement starts")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate()
        assert (process.returncode, said) == (130, "")
        for pid in pids.read_text().split():
            wait_for(lambda pid=pid: not Path(f"/proc/{pid}").exists(), "what ran there ends")

    def test_somebody_at_a_terminal_is_asked(self, site: Any, tiny: Path, device: Device) -> None:
        options = [*device.options(known_hosts="no_hosts"), "StrictHostKeyChecking=ask"]
        command = ["profile", str(tiny), "--unsigned", "--host", HOST, *words(options)]
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(sys.executable, [sys.executable, "-m", "edgekit", *command])
        said = _read_until(terminal, b"continue connecting (yes/no")
        os.write(terminal, b"no\n")
        said += _read_until(terminal, b"hint: ")
        os.close(terminal)
        os.waitpid(pid, 0)
        assert "its host key is not known here" in said.decode()


def _read_until(terminal: int, words: bytes) -> bytes:
    """What comes on a terminal up to some words; the test fails where it ends before."""
    said = b""
    while words not in said:
        try:
            said += os.read(terminal, 1024)
        except OSError:  # what Linux says where nobody holds the other end any more
            raise AssertionError(f"in vain: {words.decode()}, after {said.decode()}") from None
    return said
