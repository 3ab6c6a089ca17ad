"""Profiles over ssh, as far as no connection is needed: what is sent, and what is made of what comes back."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from profile_cases import profile_of

from edgekit.bundle import read_unverified
from edgekit.commands.profile import profile as command
from edgekit.errors import BadSampleError, InputError, KeyFileError, RemoteError, TrustRequiredError
from edgekit.profiling import errand, ssh
from edgekit.profiling.errand import Report
from edgekit.profiling.parcel import Parcel, pack
from edgekit.profiling.plan import Plan
from edgekit.profiling.remote import Remote, profile_remotely
from edgekit.profiling.reply import Reply, profile_in

PI = Remote("pi@board")
PUBLIC = b"-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
PRIVATE = [
    b"-----BEGIN PRIVATE KEY-----\n",
    b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
    b"-----BEGIN EC PRIVATE KEY-----\n",
    b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
]


@pytest.fixture
def packed(bundle_file: Callable[..., Path], pair: Any, dense: Any) -> Callable[..., tuple[Parcel, Path]]:
    """Packs a bundle, and unpacks it again as a device would."""

    def make(plan: Plan, folder: Path, *, two: bool = False) -> tuple[Parcel, Path]:
        path = bundle_file(pair if two else dense)
        bundle = read_unverified(path.read_bytes())
        archive = io.BytesIO()
        parcel = pack(str(path), bundle.data, bundle.manifest.inputs, plan, archive)
        assert parcel.size == len(archive.getvalue())
        folder.mkdir()
        command = ["tar", "-x", "-f", "-", "-C", str(folder)]
        done = subprocess.run(command, input=archive.getvalue(), stderr=subprocess.PIPE, check=True)
        assert done.stderr == b""
        return parcel, folder

    return make


def as_the_device_reads(parcel: Parcel, folder: Path) -> dict[str, Any]:
    """The parameters of the command, after a real shell has made words of it."""
    script = f"printf '%s\\0' {' '.join(parcel.words)}"
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, check=True, env={**os.environ, "folder": str(folder)}
    )
    quiet, name, *words = [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]
    assert (quiet, name) == ("-q", "profile")
    context = command.make_context("profile", words)
    assert isinstance(context, click.Context)
    return context.params


class TestParcel:
    @pytest.mark.parametrize(
        "plan",
        [
            Plan(unsigned=True),
            Plan(unsigned=True, runs=7, warmup=0, threads=(2, 1), batches=(1, 8)),
            Plan(unsigned=True, device="it's; a $device", fallback=True, ops="prefix"),
            Plan(unsigned=True, ops="auto"),
        ],
    )
    def test_the_device_is_asked_for_the_same_plan(self, packed: Any, tmp_path: Path, plan: Plan) -> None:
        parcel, folder = packed(plan, tmp_path / "it's here")
        asked = as_the_device_reads(parcel, folder)
        assert asked["as_json"]
        assert asked["bundle"] == f"{folder}/bundle.edgekit"
        assert (folder / "bundle.edgekit").read_bytes() == (tmp_path / "tiny.edgekit").read_bytes()
        again = Plan(
            trust=asked["trust"],
            unsigned=asked["unsigned"],
            inputs=asked["inputs"],
            runs=asked["runs"],
            warmup=asked["warmup"],
            threads=asked["threads"],
            batches=asked["batch"],
            device=asked["device"],
            fallback=asked["fallback"],
            ops=asked["ops_method"] if asked["ops"] else None,
        )
        assert again == plan

    def test_files_keep_their_suffix_and_nothing_else_of_their_name(
        self, packed: Any, tmp_path: Path
    ) -> None:
        files = [tmp_path / name for name in ("--trust.npy", "b.$(reboot)", "c")]
        for number, file in enumerate(files):
            file.write_bytes(bytes([number]))
        parcel, folder = packed(Plan(unsigned=True, inputs=tuple(map(str, files))), tmp_path / "there")
        names = ["input-0.npy", "input-1", "input-2"]
        assert as_the_device_reads(parcel, folder)["inputs"] == tuple(f"{folder}/{name}" for name in names)
        assert [(folder / name).read_bytes() for name in names] == [b"\0", b"\1", b"\2"]
        assert [parcel.names[name] for name in names] == list(map(str, files))

    def test_several_inputs_are_named(self, packed: Any, tmp_path: Path) -> None:
        for name in ("l.npy", "r.npy"):
            (tmp_path / name).write_bytes(name.encode())
        words = (f"right={tmp_path}/r.npy", f"left={tmp_path}/l.npy")
        parcel, folder = packed(Plan(unsigned=True, inputs=words), tmp_path / "there", two=True)
        asked = dict(word.split("=", 1) for word in as_the_device_reads(parcel, folder)["inputs"])
        assert Path(asked["left"]).read_bytes() == b"l.npy"
        assert Path(asked["right"]).read_bytes() == b"r.npy"

    def test_no_more_files_go_than_are_run(self, packed: Any, tmp_path: Path) -> None:
        (tmp_path / "x.npy").write_bytes(b"x")
        parcel, _ = packed(Plan(unsigned=True, inputs=(f"{tmp_path}/x.npy",) * 40), tmp_path / "there")
        assert len(parcel.names) == 1 + 16

    def test_keys_go_along(self, packed: Any, tmp_path: Path) -> None:
        keys = tmp_path / "trust.d"
        keys.mkdir()
        for name in ("é b.pem", "-a.pem"):
            (keys / name).write_bytes(PUBLIC + name.encode())
        (keys / ".hidden").write_bytes(PRIVATE[0])
        parcel, folder = packed(Plan(trust=str(keys)), tmp_path / "there")
        asked = as_the_device_reads(parcel, folder)
        assert (asked["trust"], asked["unsigned"]) == (f"{folder}/trust", False)
        there = {path.name: path.read_bytes() for path in Path(asked["trust"]).iterdir()}
        assert there == {name: PUBLIC + name.encode() for name in ("é b.pem", "-a.pem")}

    def test_one_key_goes_along(self, packed: Any, tmp_path: Path) -> None:
        (tmp_path / "release.pub.pem").write_bytes(PUBLIC)
        parcel, folder = packed(Plan(trust=f"{tmp_path}/release.pub.pem"), tmp_path / "there")
        assert Path(as_the_device_reads(parcel, folder)["trust"]).read_bytes() == PUBLIC

    @pytest.mark.parametrize("key", PRIVATE)
    @pytest.mark.parametrize("name", ["", "release.key.pem"])
    def test_a_private_key_never_leaves(self, packed: Any, tmp_path: Path, key: bytes, name: str) -> None:
        keys = tmp_path / "keys"
        keys.mkdir()
        (keys / "release.pub.pem").write_bytes(PUBLIC)
        (keys / "release.key.pem").write_bytes(b"comment\n" + key)
        with pytest.raises(KeyFileError, match="private key, which is not sent to a device"):
            packed(Plan(trust=str(keys / name)), tmp_path / "there")

    @pytest.mark.parametrize(
        ("plan", "error"),
        [
            (Plan(trust="absent.pem"), KeyFileError),
            (Plan(trust="empty"), KeyFileError),
            (Plan(trust="full"), KeyFileError),
            (Plan(unsigned=True, inputs=("absent.npy",)), BadSampleError),
            (Plan(unsigned=True, inputs=("empty",)), BadSampleError),
        ],
    )
    def test_what_cannot_be_sent(
        self, packed: Any, tmp_path: Path, plan: Plan, error: type[Exception], monkeypatch: Any
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for folder, count in (("empty", 0), ("full", 300)):
            (tmp_path / folder).mkdir()
            for number in range(count):
                (tmp_path / folder / str(number)).touch()
        with pytest.raises(error) as caught:
            packed(plan, tmp_path / "there")
        assert getattr(caught.value, "hint", None)

    def test_files_that_do_not_fit_the_inputs(self, packed: Any, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="which input it is for"):
            packed(Plan(unsigned=True, inputs=("x.npy",)), tmp_path / "there", two=True)

    def test_only_the_user_may_read_what_arrives(self, packed: Any, tmp_path: Path) -> None:
        _, folder = packed(Plan(unsigned=True), tmp_path / "there")
        assert (folder / "bundle.edgekit").stat().st_mode & 0o077 == 0


class TestErrand:
    @pytest.mark.parametrize("shell", ["sh", "bash"])
    @pytest.mark.parametrize("fails", [False, True])
    def test_a_shell_runs_it_and_cleans_up(self, tmp_path: Path, shell: str, fails: bool) -> None:
        """Whichever shell the user logs in with; the command is what ssh would give it."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("bundle"))
        parcel = Parcel(('"$folder"/*',), {}, len(archive.getvalue()))
        device = tmp_path / "it's"
        device.mkdir()
        script = errand.script(parcel, "/bin/nowhere" if fails else "/bin/echo", "nonce")
        process = subprocess.Popen(
            [shell, "-c", errand.command(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(device)},
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process:
            process.stdin.write(script + archive.getvalue())
            process.stdin.flush()
            report = errand.read(b"welcome" + process.stdout.read(), "nonce")
        assert report.failed == ("edgekit" if fails else None)
        assert report.code == (None if fails else 0)
        assert report.answer == (b"" if fails else f"{report.folder}/bundle\n".encode())
        assert list(device.iterdir()) == []

    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            (b"", Report(None, None, None, None, b"")),
            (b"noise\nn failed unpack\n", Report(None, "unpack", None, None, b"")),
            (b"noise n begins /tmp/a b\n", Report("/tmp/a b", None, None, None, b"")),
            (b"n begins /x\nn ends 0\n{}\nn ends 9\n", Report("/x", None, None, 0, b"{}\nn ends 9\n")),
            (b"n begins /x\nn version edgekit 9\nn ends 2\n", Report("/x", None, "edgekit 9", 2, b"")),
            (b"n begins /x\nn ends", Report("/x", None, None, None, b"")),
            (b"n begins \xff\nn ends \xb2\n", Report("\ufffd", None, None, None, b"")),
        ],
    )
    def test_what_it_says_is_found_among_noise(self, said: bytes, expected: Report) -> None:
        assert errand.read(said, "n") == expected


REPORTED = Report("/tmp/edgekit-x", None, None, 0, b"")


def reply(report: Report = REPORTED, **changes: Any) -> Reply:
    return replace(Reply(code=0, log="", heard="", too_long=False, report=report), **changes)


def refused(given: Reply, remote: Remote = PI, names: dict[str, str] | None = None) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        profile_in(given, remote, names or {})
    assert caught.value.hint
    return caught.value


class TestReply:
    def test_a_profile_comes_back_as_it_was(self) -> None:
        whole = profile_of()
        assert profile_in(reply(replace(REPORTED, answer=whole.to_bytes())), PI, {}) == whole

    def test_an_answer_that_was_cut_off_is_a_lost_connection(self) -> None:
        cut = replace(REPORTED, answer=profile_of().to_bytes()[:-9])
        assert "lost midway" in str(refused(reply(cut, code=255)))

    def test_files_are_named_as_they_are_here(self) -> None:
        message = "/tmp/edgekit-x/input-1 and /tmp/edgekit-x/input-10: bad"
        answer = f'{{"error": {{"kind": "InputError", "message": "{message}", "hint": "not {message}"}}}}'
        report = replace(REPORTED, code=1, answer=answer.encode())
        error = refused(reply(report), names={"input-1": "a.npy", "input-10": "b.npy"})
        assert str(error) == "pi@board refuses: a.npy and b.npy: bad (InputError)"
        assert error.hint == "not a.npy and b.npy: bad"

    @pytest.mark.parametrize(
        ("failed", "heard", "words"),
        [
            ("folder", "mktemp: failed: Permission denied", "cannot make a temporary folder: mktemp: failed"),
            ("folder", "mktemp: failed: No space left on device", "no room"),
            ("unpack", "sh: tar: not found\n", "cannot unpack the bundle: sh: tar: not found"),
            ("unpack", "tar: a: Wrote only 512 of 10240 bytes\ntar: Exiting", "no room"),
            ("unpack", "tar: a: Cannot write: Disk quota exceeded\ntar: Exiting", "Disk quota exceeded)"),
            ("edgekit", "", "not installed"),
        ],
    )
    def test_a_device_that_cannot_prepare(self, failed: str, heard: str, words: str) -> None:
        assert words in str(refused(reply(Report(None, failed, None, None, b""), code=1, heard=heard)))

    def test_a_shell_that_does_nothing(self) -> None:
        nothing = Report(None, None, None, None, b"")
        error = refused(reply(nothing, code=1, heard="This account is currently not available.\n"))
        assert str(error).endswith("(exit code 1): This account is currently not available.")

    def test_a_measurement_that_somebody_ended(self) -> None:
        ended = replace(REPORTED, code=None)
        assert "the measurement was ended (exit code 143)" in str(refused(reply(ended, code=143)))


# What OpenSSH 9.2 and 9.6 write.
@pytest.mark.parametrize(
    ("log", "words", "hint"),
    [
        ("ssh: Could not resolve hostname board: Name or service not known", "no such host", "address"),
        ("ssh: connect to host board port 22: Connection refused", "no ssh server answers", "Port="),
        ("ssh: connect to host board port 22: No route to host", "cannot be reached", "ping board"),
        ("ssh: connect to host board port 22: Connection timed out", "cannot be reached", "ping board"),
        ("ssh: connect to host 10.0.0.9 port 22: Network is unreachable", "cannot be reached", "ping"),
        ("Host key verification failed.", "not known here", "ssh pi@board"),
        (
            "@@@@@@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@@@@@@@\nHost key "
            "for board has changed and you have requested strict checking.\nHost key verification failed.",
            "not the one that it had",
            "posing",
        ),
        ("pi@board: Permission denied (publickey,password).", "does not let you in", "ssh-copy-id pi@board"),
        ("Received disconnect from 10.0.0.9 port 22:2: Too many authentication failures", "let you in", ""),
        (
            "Permissions 0644 for 'key' are too open.\n@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\n"
            "pi@board: Permission denied (publickey).",
            "may be read by others",
            "chmod 600",
        ),
        ("command-line: line 0: Bad configuration option: foo", "does not take an option", "ssh_config"),
        ("kex_exchange_identification: Connection closed by remote host", "ssh failed: kex_", "ssh pi@board"),
        ("", "pi@board: ssh failed", "ssh pi@board true"),
    ],
)
def test_what_ssh_says_is_explained(log: str, words: str, hint: str) -> None:
    error = ssh.refusal("pi@board", log)
    assert words in str(error)
    assert error.hint is not None
    assert hint in error.hint
    assert ssh.last_line(log) in str(error)


class TestRemote:
    @pytest.mark.parametrize("host", ["", "-oProxyCommand=reboot", "a b", "a\nb", "a\x1bb", "a\udcffb"])
    def test_hosts_that_ssh_would_take_for_something_else(self, host: str) -> None:
        with pytest.raises(RemoteError, match="is not a host"):
            Remote(host)

    @pytest.mark.parametrize(
        "option", ["", "Port", "Port=", "=22", "-p=22", "Po rt=22", "Port=22\nUser=root"]
    )
    def test_options_that_ssh_would_take_for_something_else(self, option: str) -> None:
        with pytest.raises(RemoteError, match="is not an option of ssh"):
            Remote("board", (option,))

    @pytest.mark.parametrize("edgekit", ["", "a\nb"])
    def test_commands_that_are_none(self, edgekit: str) -> None:
        with pytest.raises(RemoteError, match="is not a command"):
            Remote("board", edgekit=edgekit)

    @pytest.mark.parametrize("prompts", [False, True])
    def test_the_users_options_come_first_and_the_host_behind_two_dashes(self, prompts: bool) -> None:
        words = ssh.command_line("ssh", "pi@board", ("BatchMode=maybe", "Port=22"), "run", prompts=prompts)
        settings = [words[i + 1] for i, word in enumerate(words) if word == "-o"]
        assert settings[:3] == ["BatchMode=maybe", "Port=22", f"BatchMode={'no' if prompts else 'yes'}"]
        assert words[-3:] == ["--", "pi@board", "run"]

    def test_no_way_is_made_for_a_bundle_without_trust(
        self, bundle_file: Callable[..., Path], dense: Any
    ) -> None:
        with pytest.raises(TrustRequiredError):
            profile_remotely(str(bundle_file(dense)), Plan(), PI)

    def test_ssh_is_not_installed(
        self, bundle_file: Callable[..., Path], dense: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(RemoteError, match="ssh is not installed here") as caught:
            profile_remotely(str(bundle_file(dense)), Plan(unsigned=True), PI)
        assert caught.value.hint == "sudo apt install openssh-client"

    def test_an_ssh_that_cannot_be_started(
        self, bundle_file: Callable[..., Path], dense: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "ssh").write_bytes(b"\x7fELF")
        (tmp_path / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(RemoteError, match="cannot start"):
            profile_remotely(str(bundle_file(dense)), Plan(unsigned=True), PI)
