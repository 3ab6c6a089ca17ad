"""Programs in a process group of their own, what they leave behind, and the cache: with programs of this computer."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import EmulatorError, SysrootError
from edgekit_converters.certify.boards import HOST
from edgekit_converters.certify.cache import cache_folder, locked
from edgekit_converters.certify.emulator import Ended, Machine, run
from edgekit_converters.certify.recipes import RECIPES
from edgekit_converters.certify.sysroot import APT_LINE, Sysroot, prepare, require_tool
from edgekit_converters.certify.trial import Answers, Failure, try_kernels
from edgekit_converters.certify.vectors import Vectors
from edgekit_converters.progress import SILENT


def program(text: str, tmp_path: Path, timeout_s: float = 60) -> Ended:
    return run([sys.executable, "-S", "-c", text], dict(os.environ), tmp_path, timeout_s, "here")


def test_what_a_program_wrote_and_how_it_ended(tmp_path: Path) -> None:
    ended = program("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)", tmp_path)
    assert (ended.code, ended.stdout, ended.stderr, ended.fault) == (7, b"out\n", b"err\n", None)


@pytest.mark.parametrize("name", ["SIGILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE"])
def test_a_signal_of_its_own_is_named(tmp_path: Path, name: str) -> None:
    assert program(f"import os, signal; os.kill(os.getpid(), signal.{name})", tmp_path).fault == name
    assert not list(tmp_path.glob("core*"))


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_signal_from_outside_is_an_error_with_the_output(tmp_path: Path, name: str) -> None:
    text = f"import os, signal; print('so far', flush=True); os.kill(os.getpid(), signal.{name})"
    with pytest.raises(
        EmulatorError, match=f"here: the emulator was ended from outside, by {name}"
    ) as caught:
        program(text, tmp_path)
    assert "so far" in str(caught.value)


def test_a_hung_program_is_ended_with_its_children(tmp_path: Path) -> None:
    child = "import time; time.sleep(600)"
    text = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-S', '-c', {child!r}])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    with pytest.raises(EmulatorError, match="still running after 3 s") as caught:
        program(text, tmp_path, timeout_s=3)
    pid = int(str(caught.value).splitlines()[-1])
    for _ in range(200):  # an orphan's end is not for us to wait for
        if not is_running(pid):
            break
        time.sleep(0.05)
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EmulatorError, match="cannot be started"):
        run([str(tmp_path / "missing")], {}, tmp_path, 5, "here")


class Scripted:
    """The Python at hand in place of a board's, with modules of the test's on its path."""

    def __init__(self, tmp_path: Path, module: str) -> None:
        self.site = tmp_path / "site-ai-edge-litert"
        package = self.site / "ai_edge_litert"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "interpreter.py").write_text(module, "utf-8")
        executable = tmp_path / "python"
        executable.write_text(f'#!/bin/sh\nunset PYTHONHOME\nexec {sys.executable} "$@"\n', "utf-8")
        executable.chmod(0o755)
        system = Sysroot(RECIPES["amd64", "bookworm"], tmp_path, {})
        self.machine = Machine(HOST, system, executable, "none")


RUNTIME = """
import enum, os, signal
import numpy as np
OpResolverType = enum.Enum("OpResolverType", ["BUILTIN", "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF"])
{top}
class Interpreter:
    def __init__(self, model_content, num_threads, experimental_op_resolver_type):
        self.resolver = experimental_op_resolver_type.name
        {opening}
    def allocate_tensors(self): pass
    def get_input_details(self): return [{{"index": 5}}]
    def get_output_details(self): return [{{"index": 6}}]
    def set_tensor(self, index, array): assert index == 5; self.array = array
    def invoke(self): self.answer = self.array + np.int8(1)
    def get_tensor(self, index): assert index == 6; return self.answer
"""
VECTORS = Vectors((np.arange(6, dtype=np.int8).reshape(3, 2),), 3, {})


def trial(tmp_path: Path, *, top: str = "", opening: str = "pass") -> dict[str, Answers | Failure]:
    scripted = Scripted(tmp_path, RUNTIME.format(top=top, opening=opening))
    kernels = ("xnnpack", "builtin", "reference")
    found = try_kernels(scripted.machine, "ai-edge-litert", kernels, b"model", VECTORS, 60)
    assert tuple(found) == kernels
    return {str(key): value for key, value in found.items()}


def test_every_set_of_kernels_answers(tmp_path: Path) -> None:
    for outcome in trial(tmp_path).values():
        assert isinstance(outcome, Answers)
        assert np.array_equal(outcome.outputs[0], VECTORS.inputs[0] + 1)


def test_kernels_that_die_do_not_take_the_others_along(tmp_path: Path) -> None:
    dying = "if self.resolver == 'BUILTIN': os.kill(os.getpid(), signal.SIGILL)"
    found = trial(tmp_path, opening=dying)
    assert found["xnnpack"] == Failure("SIGILL", "open the model", "")
    assert isinstance(found["builtin"], Answers)
    assert isinstance(found["reference"], Answers)


def test_a_runtime_that_cannot_be_imported_fails_them_all(tmp_path: Path) -> None:
    for outcome in trial(tmp_path, top="raise ImportError('GLIBC_2.38 not found')").values():
        assert isinstance(outcome, Failure)
        assert (outcome.signal, outcome.step) == (None, "import ai_edge_litert.interpreter")
        assert outcome.said.endswith("ImportError: GLIBC_2.38 not found")


def test_a_program_that_leaves_without_an_answer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EmulatorError, match="without an answer"):
        trial(tmp_path, opening="os._exit(0)")


def test_the_cache_is_where_the_environment_says(tmp_path: Path) -> None:
    assert cache_folder({"EDGEKIT_CACHE": str(tmp_path), "XDG_CACHE_HOME": "/x"}) == tmp_path
    assert cache_folder({"XDG_CACHE_HOME": "/x"}) == Path("/x/edgekit")
    assert cache_folder({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache/edgekit"


def test_the_second_holder_of_a_lock_waits_and_says_so(tmp_path: Path) -> None:
    waited, order = threading.Event(), []

    def second() -> None:
        with locked(tmp_path / "a" / "lock", waited.set):
            order.append("second")

    with locked(tmp_path / "a" / "lock", lambda: None):
        thread = threading.Thread(target=second)
        thread.start()
        assert waited.wait(30)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_a_missing_tool_is_named_with_the_apt_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for tool in ("mmdebstrap", "qemu-aarch64-static"):
        with pytest.raises(SysrootError, match=f"{tool} is not installed") as caught:
            require_tool(tool)
        assert caught.value.hint == APT_LINE
    with pytest.raises(SysrootError, match="mmdebstrap is not installed"):
        prepare(RECIPES["arm64", "bookworm"], SILENT, tmp_path / "cache")


def test_a_builder_that_fails_is_quoted_and_leaves_no_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "mmdebstrap"
    tool.write_text("#!/bin/sh\necho 'E: cannot resolve deb.debian.org'\nexit 25\n", "utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    recipe = RECIPES["arm64", "bookworm"]
    with pytest.raises(SysrootError, match="status 25:\nE: cannot resolve") as caught:
        prepare(recipe, SILENT, tmp_path / "cache")
    assert caught.value.hint is not None
    assert not (tmp_path / "cache" / "sysroots" / recipe.name).exists()


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SysrootError, match="cannot use the cache folder") as caught:
        prepare(RECIPES["arm64", "bookworm"], SILENT, tmp_path / "file")
    assert "$EDGEKIT_CACHE" in str(caught.value.hint)


def test_a_broken_lock_file_is_named(tmp_path: Path) -> None:
    recipe = RECIPES["arm64", "bookworm"]
    folder = tmp_path / "sysroots" / recipe.name
    folder.mkdir(parents=True)
    (folder / "lock.json").write_text("{", "ascii")
    with pytest.raises(SysrootError, match="cannot be read") as caught:
        prepare(recipe, SILENT, tmp_path)
    assert str(folder) in str(caught.value.hint)
    (folder / "lock.json").write_text(json.dumps({"packages": {"libc6": {"version": "2.36"}}}), "ascii")
    assert prepare(recipe, SILENT, tmp_path).packages == {"libc6": "2.36"}
