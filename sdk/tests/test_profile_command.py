"""``edgekit profile`` on this machine: what it shows, what it writes, and what it refuses before it measures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from profile_cases import PI, full_profile, profile_of

from edgekit.cli import main
from edgekit.profiling.plan import Plan
from edgekit.profiling.record import Profile

Run = Callable[..., Result]
QUICK = ("--runs=3", "--warmup=1")


@pytest.fixture
def profile(site: Any) -> Run:
    def invoke(*words: object) -> Result:
        return CliRunner().invoke(main, ["profile", *map(str, words)])

    return invoke


@pytest.fixture
def tiny(bundle_file: Callable[..., Path], dense: Any) -> Path:
    return bundle_file(dense)


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> Callable[[Profile], None]:
    """Lets a known profile stand for the measurement, where a test is about what happens with it afterwards."""

    def set_up(measured: Profile, meanwhile: Callable[[], object] = lambda: None) -> None:
        def profile_bundle(path: Path, plan: Plan, done: object, **options: object) -> Profile:
            meanwhile()
            return measured

        monkeypatch.setattr("edgekit.profiling.conduct.profile_bundle", profile_bundle)

    return set_up


def error_of(done: Result, kind: str, code: int = 1) -> str:
    """The message of the error of a command that was run with --json."""
    assert done.exit_code == code, done.output
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == kind
    message: str = error["message"]
    return message


class TestMeasuring:
    def test_people_get_tables(self, profile: Run, tiny: Path) -> None:
        done = profile(tiny, "--unsigned", *QUICK)
        assert done.exit_code == 0, done.stderr
        assert done.stdout.startswith("cats 1.4.0-rc.1, model.tflite on ")
        assert "3 runs after 1 of warm-up" in done.stdout
        for line in (r" +min +p50", r"stage +median", "first inference", r"conditions +before +after"):
            assert re.search(f"^{line}", done.stdout, re.M)
        assert done.stderr == f"{tiny} ran unsigned: nothing shows who made it\n"

    def test_json_is_the_profile(self, profile: Run, tiny: Path, tmp_path: Path) -> None:
        done = profile(tiny, "--unsigned", *QUICK, "--json", "-o", tmp_path / "p.json")
        assert done.exit_code == 0, done.stderr
        shown = Profile.from_bytes(done.stdout_bytes)
        assert shown == Profile.from_bytes((tmp_path / "p.json").read_bytes())
        assert shown.to_json() == json.loads(done.stdout)
        assert (shown.steady.runs, shown.warmup, shown.ops, shown.threads) == (3, 1, None, None)

    def test_the_first_number_of_threads_is_measured_in_full(self, profile: Run, tiny: Path) -> None:
        done = profile(tiny, "--unsigned", *QUICK, "--threads", "2,1", "--batch", "4,1", "--json")
        assert done.exit_code == 0, done.stderr
        measured = Profile.from_bytes(done.stdout_bytes)
        assert measured.threads == 2
        assert [step.threads for step in measured.threads_sweep] == [2, 1]
        assert measured.threads_sweep[0].steady == measured.steady
        assert [step.batch for step in measured.batch_sweep] == [4, 1]

    @pytest.mark.parametrize(
        "options", [["--ops"], ["--ops-method", "prefix"], ["--ops", "--ops-method=prefix"]]
    )
    def test_operators(self, profile: Run, tiny: Path, options: list[str]) -> None:
        done = profile(tiny, "--unsigned", *QUICK, *options, "--json")
        assert done.exit_code == 0, done.stderr
        measured = Profile.from_bytes(done.stdout_bytes)
        assert measured.ops is not None
        assert [op.opcode for op in measured.ops.ops] == ["FULLY_CONNECTED"]

    def test_files_of_the_user(self, profile: Run, bundle_file: Any, pair: Any, tmp_path: Path) -> None:
        for name in ("left", "right"):
            np.save(tmp_path / f"{name}.npy", np.ones((5, 2), np.float32))
        files = [f"{name}={tmp_path}/{name}.npy" for name in ("left", "right")]
        done = profile(bundle_file(pair), *files, "--unsigned", *QUICK, "--json")
        assert done.exit_code == 0, done.stderr
        assert Profile.from_bytes(done.stdout_bytes).inputs == "5 samples from files"

    def test_the_real_process_says_nothing_but_the_profile(
        self, site: Any, tiny: Path, tmp_path: Path
    ) -> None:
        words = ["-q", "profile", str(tiny), "--unsigned", *QUICK, "--ops", "--json", "-o", f"{tmp_path}/p"]
        done = subprocess.run([sys.executable, "-m", "edgekit", *words], capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        assert Profile.from_bytes(done.stdout) == Profile.from_bytes((tmp_path / "p").read_bytes())


class TestComparing:
    @pytest.mark.parametrize(
        ("then_ns", "verdict", "words"),
        [
            (48_000_000, "faster", "50.0% faster (95 % interval"),
            (12_000_000, "slower", "100.0% slower (95 % interval"),
            (24_100_000, "cannot tell", "no difference beyond 2%"),
        ],
    )
    def test_the_verdict(
        self, profile: Run, tiny: Path, tmp_path: Path, replay: Any, then_ns: int, verdict: str, words: str
    ) -> None:
        old = tmp_path / "old.json"
        old.write_bytes(profile_of([then_ns] * 50, host=replace(PI, python="3.11.9")).to_bytes())
        replay(profile_of())
        done = profile(tiny, "--unsigned", "--against", old)
        assert done.exit_code == 0, done.stderr
        *_, against, changed = done.stdout.splitlines()
        assert against.startswith(f"against {old}: {words}")
        assert changed == "also changed: python (3.11.9 -> 3.11.2)"
        shown = json.loads(profile(tiny, "--unsigned", "--against", old, "--json").stdout)
        assert Profile.from_json(shown["profile"]) == profile_of()
        assert shown["comparison"]["verdict"] == verdict
        assert shown.keys() == {"profile", "comparison"}

    def test_the_page_has_it(self, profile: Run, tiny: Path, tmp_path: Path, replay: Any) -> None:
        (tmp_path / "old.json").write_bytes(profile_of([48_000_000] * 50).to_bytes())
        replay(profile_of())
        done = profile(
            tiny, "--unsigned", "--against", tmp_path / "old.json", "--html", tmp_path / "page.html"
        )
        assert done.exit_code == 0, done.stderr
        assert "50.0% faster" in (tmp_path / "page.html").read_text()

    def test_a_real_profile_of_another_machine_is_refused_and_the_new_one_kept(
        self, profile: Run, tiny: Path, tmp_path: Path
    ) -> None:
        words = [tiny, "--unsigned", "--runs=40", "--warmup=1", "-o", tmp_path / "new.json", "--json"]
        own = Profile.from_bytes(profile(*words).stdout_bytes)
        other = replace(own, host=replace(own.host, cpu="Cortex-A76"), verdict=())
        (tmp_path / "old.json").write_bytes(other.to_bytes())
        (tmp_path / "new.json").unlink()
        done = profile(*words, "--against", tmp_path / "old.json")
        assert "Cortex-A76 then" in error_of(done, "ProfileError")
        kept = Profile.from_bytes((tmp_path / "new.json").read_bytes())
        assert kept.bundle == own.bundle
        shown = profile(*words[:-1], "--against", tmp_path / "old.json")
        assert shown.exit_code == 1
        assert "first inference" in shown.stdout

    @pytest.mark.parametrize(
        ("old", "words"),
        [
            (profile_of([1_000] * 9), "the old profile: 9 runs, and 30 are needed"),
            (full_profile(), "the old profile: swapping: 3 pages in"),
        ],
    )
    def test_an_old_profile_that_compares_with_none_is_refused_at_once(
        self, profile: Run, tiny: Path, tmp_path: Path, replay: Any, old: Profile, words: str
    ) -> None:
        replay(profile_of(), lambda: pytest.fail("it was measured"))
        (tmp_path / "old.json").write_bytes(old.to_bytes())
        done = profile(tiny, "--unsigned", "--against", tmp_path / "old.json", "--json")
        assert words in error_of(done, "ProfileError")

    def test_too_few_runs_are_refused_at_once(
        self, profile: Run, tiny: Path, tmp_path: Path, replay: Any
    ) -> None:
        replay(profile_of(), lambda: pytest.fail("it was measured"))
        (tmp_path / "old.json").write_bytes(profile_of().to_bytes())
        done = profile(tiny, "--unsigned", "--runs=9", "--against", tmp_path / "old.json", "--json")
        assert "the new profile: 9 runs, and 30 are needed" in error_of(done, "ProfileError")

    @pytest.mark.parametrize(
        "content",
        [None, b"", b"\xff", b"[]", b'{"schema": "edgekit-profile/9"}', b'{"schema": 1, "schema": 1}'],
    )
    def test_what_is_no_profile_is_refused_at_once(
        self, profile: Run, tiny: Path, tmp_path: Path, replay: Any, content: bytes | None
    ) -> None:
        replay(profile_of(), lambda: pytest.fail("it was measured"))
        old = tmp_path / "old.json"
        if content is not None:
            old.write_bytes(content)
        assert str(old) in error_of(profile(tiny, "--unsigned", "--against", old, "--json"), "ProfileError")


class TestWriting:
    def test_all_files(self, profile: Run, tiny: Path, tmp_path: Path) -> None:
        folder = tmp_path / "out"
        folder.mkdir()
        names = ["-o", folder / "p.json", "--html", folder / "p.html", "--trace", folder / "t.json"]
        done = profile(tiny, "--unsigned", *QUICK, "--ops", *names)
        assert done.exit_code == 0, done.stderr
        assert sorted(path.name for path in folder.iterdir()) == ["p.html", "p.json", "t.json"]
        measured = Profile.from_bytes((folder / "p.json").read_bytes())
        assert measured.bundle.name in (folder / "p.html").read_text("utf-8")
        events = json.loads((folder / "t.json").read_bytes())["traceEvents"]
        assert [event["name"] for event in events].count("invoke") == 3
        assert [line for line in done.stderr.splitlines() if line.startswith("wrote")] == [
            f"wrote {folder}/{name}" for name in ("p.json", "p.html", "t.json")
        ]

    def test_all_or_none(self, profile: Run, tiny: Path, tmp_path: Path, replay: Any) -> None:
        folder = tmp_path / "out"
        folder.mkdir()
        (folder / "p.json").write_text("old")
        replay(profile_of(), (folder / "t.json").mkdir)  # after it was found to be writable
        names = ["-o", folder / "p.json", "--html", folder / "p.html", "--trace", folder / "t.json"]
        done = profile(tiny, "--unsigned", *names, "--json")
        assert f"cannot write {folder}/t.json: is a directory" in error_of(done, "OutputError")
        assert sorted(path.name for path in folder.iterdir()) == ["p.json", "t.json"]
        assert (folder / "p.json").read_text() == "old"

    def test_what_fails_leaves_old_files_alone(self, profile: Run, tiny: Path, tmp_path: Path) -> None:
        (tmp_path / "p.json").write_text("old")
        done = profile(tiny, "--unsigned", *QUICK, "--device=usb", "-o", tmp_path / "p.json", "--json")
        error_of(done, "DeviceError")
        assert (tmp_path / "p.json").read_text() == "old"
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
            "p.json",
            "tiny.edgekit",
        ]

    @pytest.mark.parametrize("option", ["-o", "--html", "--trace"])
    @pytest.mark.parametrize(
        ("target", "words"),
        [
            ("nowhere/x", "no such file or directory"),
            ("tiny.edgekit/x", "not a directory"),
            (".", "is a directory"),
            ("fifo", "not a regular file"),
            ("tiny.edgekit", "it is the bundle"),
            ("link", "it is the bundle"),
            ("hard", "it is the bundle"),
            ("x.npy", "it is an input"),
            ("./x=1.npy", "it is an input"),
            ("key.pem", "it is the trusted key"),
            ("old.json", "it is the profile to compare with"),
        ],
    )
    def test_targets_are_refused_before_anything_is_measured(
        self,
        profile: Run,
        tiny: Path,
        tmp_path: Path,
        replay: Any,
        monkeypatch: pytest.MonkeyPatch,
        option: str,
        target: str,
        words: str,
    ) -> None:
        replay(profile_of(), lambda: pytest.fail("it was measured"))
        monkeypatch.chdir(tmp_path)
        for name in ("x.npy", "x=1.npy", "key.pem", "old.json"):
            Path(name).write_text("content")
        Path("link").symlink_to(tiny)
        Path("hard").hardlink_to(tiny)
        os.mkfifo("fifo")
        reads = ["x.npy", "pixels=x=1.npy", "--trust=key.pem", "--against=old.json"]
        assert words in error_of(profile(tiny, *reads, option, target, "--json"), "OutputError")
        assert Path("old.json").read_text() == "content"

    @pytest.mark.parametrize(
        ("one", "other"), [("p", "p"), ("p", "./p"), ("p", "sub/../p"), ("p", "link"), ("./link", "link")]
    )
    def test_two_things_do_not_go_to_one_file(
        self, profile: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: str, other: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("sub").mkdir()
        Path("link").symlink_to("p")
        done = profile(tiny, "--unsigned", *QUICK, "-o", one, "--html", other, "--json")
        assert "cannot write two things" in error_of(done, "OutputError")
        assert not Path("p").exists()


@pytest.mark.parametrize(
    ("options", "code", "kind"),
    [
        ([], 1, "TrustRequiredError"),
        (["--trust", "k.pem", "--unsigned"], 2, "UsageError"),
        (["--unsigned", "--runs", "0"], 2, "UsageError"),
        (["--unsigned", "--warmup", "-1"], 2, "UsageError"),
        (["--unsigned", "--threads", "1,0"], 2, "UsageError"),
        (["--unsigned", "--threads", "1,,2"], 2, "UsageError"),
        (["--unsigned", "--threads", "2,2"], 2, "UsageError"),
        (["--unsigned", "--threads", "1e3"], 2, "UsageError"),
        (["--unsigned", "--threads", "1,1025"], 2, "UsageError"),
        (["--unsigned", "--batch", "²"], 2, "UsageError"),
        (["--unsigned", "--ops-method", "guess"], 2, "UsageError"),
        (["--unsigned", "--ssh-option", "Port=1"], 2, "UsageError"),
        (["--unsigned", "--remote-edgekit", "x"], 2, "UsageError"),
        (["--unsigned", "--host", "-x"], 1, "RemoteError"),
        (["--unsigned", "--host", "x", "--ssh-option", "Port"], 1, "RemoteError"),
        (["--unsigned", "--device", "usb"], 1, "DeviceError"),
        (["--unsigned", "absent.npy"], 1, "BadSampleError"),
        (["--unsigned", "."], 1, "InputError"),
    ],
)
def test_refusals(profile: Run, tiny: Path, options: list[str], code: int, kind: str) -> None:
    done = profile(tiny, *QUICK, *options, "--json")
    assert done.exit_code == code, done.output
    assert json.loads(done.stdout)["error"]["kind"] == kind


@pytest.mark.parametrize("words", [[], ["--host", "127.0.0.1"]])
@pytest.mark.parametrize("content", [None, b"", b"PK\3\4"])
def test_no_bundle(profile: Run, tmp_path: Path, words: list[str], content: bytes | None) -> None:
    path = tmp_path / "x.edgekit"
    if content is not None:
        path.write_bytes(content)
    kind = "BundleError" if content is None else "MalformedBundleError"
    assert str(path) in error_of(profile(path, "--unsigned", *words, "--json"), kind)
