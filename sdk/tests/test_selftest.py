"""The self-test: real models in a real sandboxed child, and everything that may go wrong with it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import Built, build_dense, build_pair, build_tokens

from edgekit.arrays import write_arrays
from edgekit.backends.litert import LiteRtBackend
from edgekit.bundle import GOLDEN, MANIFEST, MODEL, read_unverified, write_bundle
from edgekit.errors import MalformedModelError, SelfTestError, SessionError
from edgekit.manifest import GoldenRecord, Manifest
from edgekit.selftest import landlock
from edgekit.selftest.conduct import self_test
from edgekit.selftest.golden import Expected, Golden, compare, expected
from edgekit.selftest.planning import planned, record_key
from edgekit.selftest.process import run
from edgekit.selftest.sandbox import environment, rules_for, search_path
from edgekit.trust import VerifiedBundle, accept_unsigned

COUNT = 3
OWN = f"litert-{LiteRtBackend().version}"
MACHINE = os.uname().machine

Arrays = dict[str, np.ndarray[Any, Any]]
Make = Callable[..., VerifiedBundle]


def golden_of(built: Built, runtime: str = OWN) -> Arrays:
    """Golden vectors as edgekit convert records them: what LiteRT answers here."""
    generator = np.random.default_rng(1)
    arrays: Arrays = {}
    for number, spec in enumerate(built.inputs):
        low, high = (0, 4) if spec.dtype == "int32" else (-128, 128)
        arrays[f"input.{number}"] = generator.integers(low, high, (COUNT, *spec.shape[1:])).astype(spec.dtype)
    interpreter = LiteRtBackend().open(built.model)
    rows = []
    for row in range(COUNT):
        for number, details in enumerate(interpreter.inputs):
            interpreter.set_input(details.index, arrays[f"input.{number}"][row][None])
        interpreter.invoke()
        rows.append([interpreter.output(details.index) for details in interpreter.outputs])
    for number, column in enumerate(zip(*rows, strict=True)):
        arrays[f"output.{number}.{runtime}.xnnpack"] = np.concatenate(column)
    return arrays


@pytest.fixture
def make(manifest: Manifest) -> Make:
    """A bundle of a real model with golden vectors, some of them changed."""

    def bundle(
        built: Built,
        change: Callable[[Arrays], object] = lambda arrays: None,
        *,
        runtime: str = OWN,
        machine: str = MACHINE,
        tolerance: Mapping[str, int] | None = None,
    ) -> VerifiedBundle:
        arrays = golden_of(built, runtime)
        change(arrays)
        record = GoldenRecord(COUNT, 0, "drawn", {"xnnpack": 1} if tolerance is None else tolerance)
        fitting = replace(
            manifest,
            inputs=built.inputs,
            outputs=built.outputs,
            labels=None,
            golden=record,
            tools={**manifest.tools, "machine": machine},
        )
        members = {MODEL: built.model, MANIFEST: fitting.to_bytes(), GOLDEN: write_arrays(arrays)}
        return accept_unsigned(read_unverified(write_bundle(members)))

    return bundle


def off_by(steps: int, row: int = 1, runtime: str = OWN) -> Callable[[Arrays], object]:
    """One value of one golden answer, so many steps off."""

    def change(arrays: Arrays) -> None:
        values = arrays[f"output.0.{runtime}.xnnpack"].reshape(COUNT, -1)
        values[row, 0] += steps if values[row, 0] < 100 else -steps

    return change


@pytest.mark.parametrize("build", [build_dense, build_pair, build_tokens])
@pytest.mark.parametrize("threads", [None, 2])
def test_a_sound_bundle_passes_exactly(make: Make, build: Callable[[], Built], threads: int | None) -> None:
    report = self_test(make(build()), threads=threads)
    assert (report.tested, report.inputs, report.exact, report.tolerance, report.largest) == (
        True,
        COUNT,
        True,
        0,
        0,
    )
    assert (report.runtime, report.kernels, report.device) == (f"ai-edge-litert {OWN[7:]}", "xnnpack", "cpu")
    assert "rlimits" in report.sandbox
    assert "no_new_privs" in report.sandbox
    assert "3 golden inputs answered exactly as recorded" in report.sentence
    assert json.loads(json.dumps(report.to_json()))["sandbox"] == list(report.sandbox)


def test_landlock_is_in_force_where_the_kernel_has_it(make: Make) -> None:
    if not landlock.version():
        pytest.skip("this kernel has no Landlock")
    assert f"landlock abi {landlock.version()}" in self_test(make(build_dense())).sandbox


def test_the_answer_of_this_very_version_must_be_exact(make: Make) -> None:
    with pytest.raises(
        SelfTestError, match=r"golden input 1: output 'scores' is 1 steps off .* exactly"
    ) as caught:
        self_test(make(build_dense(), off_by(1)))
    assert "1 of 3 inputs are wrong" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("other", [{"runtime": "litert-2.0.0"}, {"machine": "riscv64"}])
def test_another_version_or_machine_has_a_tolerance(make: Make, other: dict[str, str]) -> None:
    runtime = other.get("runtime", OWN)
    report = self_test(make(build_dense(), off_by(1, runtime=runtime), **other))
    assert (report.exact, report.tolerance, report.largest) == (False, 1, 1)
    with pytest.raises(SelfTestError, match="2 steps off what is on record, and 1 are allowed"):
        self_test(make(build_dense(), off_by(2, runtime=runtime), **other))


def test_a_bundle_without_golden_inputs_has_nothing_to_test(bundle_file: Callable[..., Path]) -> None:
    bundle = accept_unsigned(read_unverified(bundle_file(build_dense()).read_bytes()))
    report = self_test(bundle)
    assert not report.tested
    assert report.sentence.startswith("nothing to test")


def test_what_strictness_depends_on() -> None:
    import edgekit.selftest.golden as module

    answers = {
        (OWN, "xnnpack"): (np.zeros(1),), (OWN, "builtin"): (np.ones(1),), ("litert-1.0", "builtin"): (np.ones(1),),
    }  # fmt: skip
    golden = Golden({"x": np.zeros(1)}, answers)

    tolerance = GoldenRecord(1, 0, "drawn", {"xnnpack": 1, "builtin": 16})
    said: Any = SimpleNamespace(golden=tolerance, tools={"machine": "x86_64"})

    def strictness(
        runtime: str, kernels: str, device: str = "cpu", machine: str = "x86_64"
    ) -> tuple[bool, int]:
        found = expected(golden, said, runtime=runtime, kernels=kernels, device=device, machine=machine)
        return found.exact, found.tolerance

    here = f"ai-edge-litert {OWN[7:]}"
    assert strictness(here, "xnnpack") == (True, 0)
    assert strictness(here, "builtin") == (True, 0)
    assert strictness(here, "xnnpack", machine="aarch64") == (False, 1)
    assert strictness("ai-edge-litert 9.9", "xnnpack") == (False, 1)
    assert strictness("tflite-runtime 2.14.0", "builtin") == (False, 16)
    assert strictness(here, "reference") == (False, 16)
    assert strictness(here, "xnnpack", device="usb:0") == (False, 16)
    assert (
        module.expected(
            golden,
            said,
            runtime="tflite-runtime 2.14.0",
            kernels="builtin",
            device="cpu",
        ).outputs
        is answers[OWN, "builtin"]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("input.0"), "lacks the array 'input.0'"),
        (lambda a: a.pop(f"output.0.{OWN}.xnnpack"), "has inputs and no answers"),
        (lambda a: a.update({"input.0": a["input.0"][:2]}), "input.0 is int8"),
        (lambda a: a.update({"input.0": a["input.0"].astype(np.int16)}), "input.0 is int16"),
        (lambda a: a.update({f"output.0.{OWN}.xnnpack": a["input.0"]}), "the manifest asks for"),
    ],
)
def test_golden_vectors_that_do_not_fit(make: Make, change: Callable[[Arrays], object], message: str) -> None:
    with pytest.raises(SelfTestError, match=re.escape(message)) as caught:
        self_test(make(build_dense(), change))
    assert caught.value.hint


def test_the_firewall_stands_before_the_runtime_in_the_child_too(make: Make) -> None:
    built = build_dense()
    with pytest.raises(MalformedModelError, match=r"model\.tflite: refused before it reaches the runtime"):
        self_test(_with_model(make(built), built.model + b"PK" + bytes(100)))


def _with_model(bundle: VerifiedBundle, model: bytes) -> VerifiedBundle:
    members = {**bundle.members, MODEL: model}
    return accept_unsigned(read_unverified(write_bundle(members)))


def test_what_the_runtime_refuses_is_said_as_when_loading(make: Make) -> None:
    """A model whose manifest speaks of other outputs."""
    bundle = make(build_dense())
    manifest = replace(bundle.manifest, outputs=(replace(bundle.manifest.outputs[0], zero_point=7),))
    members = {**bundle.members, MANIFEST: manifest.to_bytes()}
    with pytest.raises(SessionError, match="zero point"):
        self_test(accept_unsigned(read_unverified(write_bundle(members))))


# A runtime that misbehaves. No model is known that passes the firewall and makes LiteRT 2.3.0 do any of this, so a
# package of LiteRT's name stands in for it, in the child alone: the child is real, and so are its crash, its limits and
# its sandbox.

MISBEHAVIOUR = {
    "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"crashed on the golden inputs \(SIGSEGV\)"),
    "aborts": ("print('free(): invalid pointer', file=__import__('sys').stderr, flush=True); __import__('os').abort()",
               r"\(SIGABRT\): free\(\): invalid pointer"),
    "exits": ("import os; os._exit(3)", "exit code 3"),
    "says it was well": ("import os; os._exit(0)", "exit code 0"),
    "hangs": ("import time; time.sleep(60)", "did not end within 2 s and was killed"),
    "spins": ("while True: pass", "did not end within 2 s|SIGXCPU"),
    "eats the memory": ("hog = bytearray(1 << 40)", "ran out of memory"),
    "eats the memory bit by bit": ("hog = [bytearray(1 << 28) for _ in range(100)]", "ran out of memory"),
    "floods its stderr": ("import sys\nfor _ in range(5000): print('x' * 999, file=sys.stderr)\nraise KeyError('end')",
                          "exit code 1: KeyError: 'end'"),
    "forges an answer": ("import os\nfor fd in range(9):\n  try: os.write(fd, b'{}')\n  except OSError: pass\nos._exit(0)",
                         "exit code 0"),
    "floods the answer": (
        "import os\nfor fd in range(3, 20):\n  try:\n    while True: os.write(fd, b'x' * 65536)\n  except OSError: pass",
        "said more than it was asked for",
    ),
}  # fmt: skip


@pytest.fixture
def runtime_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a package of LiteRT's name on the child's search path, which does something when it is imported."""

    def install(code: str) -> None:
        package = tmp_path / "site/ai_edge_litert"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "interpreter.py").write_text(code + "\n")
        (tmp_path / "site/ai_edge_litert-2.3.0.dist-info").mkdir()
        monkeypatch.syspath_prepend(str(tmp_path / "site"))

    return install


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_a_runtime_that_misbehaves_never_takes_this_process_down(
    make: Make, runtime_that: Callable[[str], None], name: str
) -> None:
    code, message = MISBEHAVIOUR[name]
    bundle = make(build_dense())
    runtime_that(code)
    with pytest.raises(SelfTestError, match=message) as caught:
        self_test(bundle, timeout_s=2 if name in ("hangs", "spins") else 30)
    assert caught.value.hint


PROBE = """
import json, os, socket, subprocess, sys
from edgekit.selftest.sandbox import Rules, enter
rules, secret, folder, port = json.loads(sys.argv[1])
layers = enter(Rules.from_json(rules))

def attempt(work):
    try:
        work()
    except BaseException as error:
        return type(error).__name__
    return "done"

def connect():
    socket.create_connection(("127.0.0.1", port), 2).close()

def grow():
    with open("/proc/self/statm") as file:
        int(file.read().split()[0])
    bytearray(1 << 40)

print(json.dumps({
    "layers": layers,
    "write a file": attempt(lambda: open(os.path.join(folder, "new"), "w").write("x")),
    "change a file": attempt(lambda: open(secret, "a").write("x")),
    "read a secret": attempt(lambda: open(secret).read()),
    "read a home": attempt(lambda: os.listdir(os.path.expanduser("~"))),
    "read /etc/passwd": attempt(lambda: open("/etc/passwd").read()),
    "read another's environment": attempt(lambda: open(f"/proc/{os.getppid()}/environ").read()),
    "remove a file": attempt(lambda: os.unlink(secret)),
    "connect": attempt(connect),
    "exec": attempt(lambda: os.execv("/bin/true", ["true"])),
    "exec python": attempt(lambda: os.execv(sys.executable, [sys.executable, "-c", ""])),
    "signal the parent": attempt(lambda: os.kill(os.getppid(), 0)),
    "grow": attempt(grow),
    "import numpy": attempt(lambda: __import__("numpy").ones(3).sum()),
    "import the runtime": attempt(lambda: __import__("ai_edge_litert.interpreter")),
    "read the processor": attempt(lambda: open("/proc/cpuinfo").read()),
    "environment": sorted(os.environ),
}))
"""


@pytest.fixture
def probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a child in the sandbox could do."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    monkeypatch.setenv("EDGEKIT_TOKEN", "secret")
    monkeypatch.setenv("HOME", str(tmp_path))
    rules = rules_for("cpu", runtime="ai-edge-litert", threads=None, bundle_bytes=1000, timeout_s=20)
    with socket.create_server(("127.0.0.1", 0)) as server:
        request = json.dumps([rules.to_json(), str(secret), str(tmp_path), server.getsockname()[1]])
        ended = run(
            [sys.executable, "-P", "-c", PROBE, request],
            b"",
            environment=environment(search_path()) | {"HOME": str(tmp_path)},
            timeout_s=30,
            most=1 << 16,
        )
    assert ended.code == 0, ended.words.decode()
    assert secret.read_text() == "secret"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret"]
    found: dict[str, Any] = json.loads(ended.said)
    return found


def test_what_the_sandbox_allows(probed: dict[str, Any]) -> None:
    for what in ("import numpy", "import the runtime", "read the processor"):
        assert probed[what] == "done", what
    assert not [name for name in probed["environment"] if "TOKEN" in name]


def test_what_limits_deny_on_any_kernel(probed: dict[str, Any]) -> None:
    assert probed["grow"] == "MemoryError"
    assert {"rlimits", "no_new_privs"} <= set(probed["layers"])
    assert probed["change a file"] != "done"


@pytest.mark.parametrize(
    ("what", "abi"),
    [
        ("write a file", 1),
        ("change a file", 1),
        ("read a secret", 1),
        ("read a home", 1),
        ("read /etc/passwd", 1),
        ("read another's environment", 1),
        ("remove a file", 1),
        ("exec", 1),
        ("exec python", 1),
        ("connect", 4),
        ("signal the parent", 6),
    ],
)
def test_what_landlock_denies(probed: dict[str, Any], what: str, abi: int) -> None:
    if landlock.version() < abi:
        pytest.skip(f"this kernel's Landlock has version {landlock.version()}, and {abi} is needed")
    assert probed[what] == "PermissionError"


def test_nothing_of_the_child_is_left(tmp_path: Path) -> None:
    """A grandchild that holds the pipes ends with its group, and does not keep the parent waiting."""
    code = (
        "import subprocess, sys; "
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True)"
    )
    ended = run([sys.executable, "-c", code], b"", environment=dict(os.environ), timeout_s=3, most=100)
    assert ended.code == 0
    grandchild = int(ended.said)
    for _ in range(200):
        status = Path(f"/proc/{grandchild}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.02)
    else:
        pytest.fail("the grandchild lives on")


def test_the_child_gets_the_bytes_and_nothing_else() -> None:
    code = "import sys, os; sys.stdout.buffer.write(sys.stdin.buffer.read()); print(sorted(os.listdir('/proc/self/fd')))"
    ended = run(
        [sys.executable, "-c", code], b"abc" * 1000, environment=dict(os.environ), timeout_s=20, most=1 << 16
    )
    assert ended.said.startswith(b"abc" * 1000 + b"['0', '1', '2', '3']")


def test_planning_imports_no_runtime(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "x.edgekit"
    path.write_bytes(make(build_dense()).data)
    code = (
        "import sys; from edgekit.bundle import read_unverified; from edgekit.trust import accept_unsigned; "
        "from edgekit.selftest.planning import planned; "
        f"p = planned(accept_unsigned(read_unverified(open({str(path)!r}, 'rb').read()))); "
        "print(p.runtime, p.kernels, p.device, 'ai_edge_litert' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["ai-edge-litert", OWN[7:], "xnnpack", "cpu", "False"]


def test_a_record_is_for_one_bundle_runtime_and_kind_of_device(make: Make) -> None:
    plan = planned(make(build_dense()))
    key = record_key("ab" * 32, plan.runtime, plan.kernels, plan.device)
    assert re.fullmatch(r"[A-Za-z0-9.+-]{1,200}", key)
    others = [
        record_key("ac" * 32, plan.runtime, plan.kernels, plan.device),
        record_key("ab" * 32, "ai-edge-litert 2.3.1", plan.kernels, plan.device),
        record_key("ab" * 32, plan.runtime, "builtin", plan.device),
        record_key("ab" * 32, plan.runtime, plan.kernels, "usb:0"),
    ]
    assert len({key, *others}) == 5
    assert record_key("ab", "r 1", "k", "usb:0") == record_key("ab", "r 1", "k", "usb:1")


def test_differences_beyond_64_bits_are_differences() -> None:
    least, none = np.array([[-(2**63)]]), np.array([[0]])
    with pytest.raises(SelfTestError, match="golden input 0: output 'index'"):
        compare(Expected((none,), exact=True, tolerance=0), [least], ["index"], "litert")
    close = np.array([[2**62 + 1]])
    with pytest.raises(SelfTestError):
        compare(Expected((np.array([[2**62]]),), exact=True, tolerance=0), [close], ["index"], "litert")
