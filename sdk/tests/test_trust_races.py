"""Races: the file is swapped between check and load, and cut to nothing under a running session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from signing_kit import key_of, write_signed

import edgekit
from edgekit import opening
from edgekit.errors import BundleError, FileMismatchError, TrustError
from edgekit.files import write_atomically
from edgekit.session import Session

PACKAGES = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(PACKAGES / name) for name in ("sdk", "device_targets")),
}
RED = np.full((4, 4, 3), (255, 0, 0), np.uint8)

Swap = Callable[[Path, bytes], None]


def renamed_over(path: Path, data: bytes) -> None:
    write_atomically(path, data)


def written_in_place(path: Path, data: bytes) -> None:
    path.write_bytes(data)


SWAPS = pytest.mark.parametrize("swap", [renamed_over, written_in_place])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "release.pub.pem"
    path.write_bytes(key_of("maker").public.pem)
    return path


@pytest.fixture
def signed(bundle_file: Callable[..., Path], dense: Any) -> Path:
    """A signed bundle that answers a red photo with class 0."""
    return write_signed(bundle_file(dense, ("red", "green", "blue")), key_of("maker"))


@pytest.fixture
def evil(signed: Path) -> bytes:
    """The same bundle with other weights under the old signature: it answers a red photo with class 2."""
    from edgekit.archive import read_archive, write_archive

    members = {name: bytes(content) for name, content in read_archive(signed.read_bytes()).items()}
    model = members["model.tflite"]
    honest = b"\x7f\0\0" * 16 + b"\0\x7f\0" * 16 + b"\0\0\x7f" * 16
    assert model.count(honest) == 1
    members["model.tflite"] = model.replace(honest, b"\0\0\x7f" * 16 + b"\0\x7f\0" * 16 + b"\x7f\0\0" * 16)
    return write_archive(members)


def answer(model: Session) -> int:
    return int(model.run(RED).quantized["scores"].argmax())


def test_the_evil_bundle_would_answer_otherwise(signed: Path, evil: bytes, key: Path) -> None:
    with edgekit.load(signed, trust=key) as model:
        assert answer(model) == 0
    signed.write_bytes(evil)
    with pytest.raises(FileMismatchError):
        edgekit.load(signed, trust=key)
    with (
        pytest.warns(UserWarning, match="unsigned"),
        edgekit.load(signed, trust=edgekit.UNSIGNED) as model,
    ):
        assert answer(model) == 2


@SWAPS
@pytest.mark.parametrize("moment", ["read_capped", "read_unverified", "admit"])
def test_a_swap_after_any_step_of_load_changes_nothing(
    signed: Path, evil: bytes, key: Path, monkeypatch: pytest.MonkeyPatch, moment: str, swap: Swap
) -> None:
    step = getattr(opening, moment)
    swapped = []

    def step_then_swap(*arguments: Any, **options: Any) -> Any:
        done = step(*arguments, **options)
        swap(signed, evil)
        swapped.append(moment)
        return done

    monkeypatch.setattr(opening, moment, step_then_swap)
    with edgekit.load(signed, trust=key) as model:
        assert swapped == [moment]
        assert signed.read_bytes() == evil
        assert answer(model) == 0


@contextmanager
def swapping(path: Path, contents: list[bytes], swap: Swap) -> Iterator[None]:
    """Swaps the file's contents as fast as it can while the body runs."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            for content in contents:
                swap(path, content)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@SWAPS
def test_under_constant_swapping_a_load_gives_the_honest_model_or_an_error(
    signed: Path, evil: bytes, key: Path, swap: Swap
) -> None:
    honest = signed.read_bytes()
    answers, refusals = [], []
    with swapping(signed, [evil, honest], swap):
        for _ in range(20_000):
            if len(answers) >= 15 and len(refusals) >= 15:
                break
            try:
                with edgekit.load(signed, trust=key) as model:
                    answers.append(answer(model))
            except (BundleError, TrustError) as error:
                refusals.append(error)
    assert set(answers) == {0}
    assert refusals


RUN = """
import sys, warnings
from pathlib import Path
import numpy as np
import edgekit
path, key, harm = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
red = np.full((4, 4, 3), (255, 0, 0), np.uint8)
warnings.simplefilter("ignore")
with edgekit.load(path, trust=key or edgekit.UNSIGNED) as model:
    before = [model.run(red).quantized["scores"].tolist() for _ in range(3)]
    with path.open("r+b") as file:
        if harm == "truncate":
            file.truncate(0)
        elif harm == "overwrite":
            file.write(bytes(path.stat().st_size))
        else:
            path.unlink()
    after = [model.run(red).quantized["scores"].tolist() for _ in range(50)]
assert all(each == before[0] for each in before + after), (before, after)
print("same")
"""


@pytest.mark.parametrize("harm", ["truncate", "overwrite", "unlink"])
@pytest.mark.parametrize("trusted", [True, False], ids=["signed", "unsigned"])
def test_harm_to_the_file_under_a_running_session_changes_no_answer_and_is_no_sigbus(
    signed: Path, key: Path, harm: str, trusted: bool, tmp_path: Path
) -> None:
    words = [sys.executable, "-c", RUN, signed, str(key) if trusted else "", harm]
    environment = {**ENVIRONMENT, "EDGEKIT_STATE": str(tmp_path / "state")}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, "same\n"), done.stderr


MAPPED = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
model = Interpreter(model_path=sys.argv[1], experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
model.allocate_tensors()
model.invoke()
open(sys.argv[1], "r+b").truncate(0)
model.invoke()
"""


def test_a_runtime_that_maps_the_file_does_die_of_it(dense: Any, tmp_path: Path) -> None:
    """Why the bytes go to the runtime and never a path."""
    path = tmp_path / "model.tflite"
    path.write_bytes(dense.model)
    done = subprocess.run([sys.executable, "-c", MAPPED, path], capture_output=True, check=False)
    assert done.returncode == -signal.SIGBUS
