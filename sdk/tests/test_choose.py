from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgekit.backends import edgetpu
from edgekit.backends.choose import CORALS, choose, refuse_older
from edgekit.backends.installed import first_installed, installed_backends, installed_version, numbers
from edgekit.backends.litert import LiteRtBackend
from edgekit.backends.tensorflow import TensorFlowBackend
from edgekit.backends.tflite_runtime import TfliteRuntimeBackend
from edgekit.errors import DeviceError, RuntimeNotFoundError, SessionError
from edgekit_targets.catalog import open_catalog
from edgekit_targets.target import Kind

CPU_ONLY = {"model.tflite": b""}
COMPILED = {**CPU_ONLY, "model_edgetpu.tflite": b""}
CORAL = ("raspberry-pi-4", "coral-usb-accelerator")


def pick(device: Any = "auto", **changes: Any) -> Any:
    settings: dict[str, Any] = {"variants": CPU_ONLY, "runtime": {}, "targets": CORAL, "fallback": False}
    return choose(device, **(settings | changes))


@pytest.fixture
def empty(tmp_path: Path) -> edgetpu.Host:
    """A machine without an Edge TPU."""
    return edgetpu.Host(tmp_path / "sys", tmp_path / "dev")


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_the_cpu_runs_what_is_not_compiled(device: str) -> None:
    choice = pick(device)
    assert (choice.device, choice.variant, choice.kernels) == ("cpu", "model.tflite", "xnnpack")
    assert (choice.backend.name, choice.fallback) == ("ai-edge-litert", None)


def test_a_compiled_bundle_wants_its_edge_tpu(empty: edgetpu.Host) -> None:
    with pytest.raises(DeviceError, match="no Edge TPU is found") as caught:
        pick(variants=COMPILED, host=empty)
    assert "fallback=True" in str(caught.value.hint)


def test_a_fallback_that_was_allowed_says_why(empty: edgetpu.Host) -> None:
    choice = pick(variants=COMPILED, host=empty, fallback=True)
    assert (choice.device, choice.variant) == ("cpu", "model.tflite")
    assert choice.fallback == "no Edge TPU is found"


def test_auto_is_the_cpu_for_targets_without_an_edge_tpu(empty: edgetpu.Host) -> None:
    choice = pick(variants=COMPILED, targets=("raspberry-pi-4",), host=empty)
    assert (choice.device, choice.fallback) == ("cpu", None)


def test_a_device_of_ones_own_counts_when_somebody_compiled_for_it(empty: edgetpu.Host) -> None:
    with pytest.raises(DeviceError):
        pick(variants=COMPILED, targets=("our-gateway",), host=empty)


def test_an_edge_tpu_cannot_run_what_is_not_compiled(empty: edgetpu.Host) -> None:
    with pytest.raises(DeviceError, match=r"holds no model_edgetpu\.tflite"):
        pick("usb", host=empty)
    assert pick("usb", host=empty, fallback=True).fallback is not None


@pytest.mark.parametrize(
    "device", ["", "gpu", "usb:", "usb:-1", "usb:x", "usb:٣", "cpu:0", "auto:1", "pci:1234"]
)
def test_an_unknown_device_is_refused_with_the_known_ones(device: str) -> None:
    with pytest.raises(SessionError, match="there is no device") as caught:
        pick(device, fallback=True)
    assert '"usb:N"' in str(caught.value.hint)


def test_a_device_is_a_word_or_a_simulation() -> None:
    with pytest.raises(SessionError, match="a device is no int"):
        pick(0)


def test_the_corals_are_those_of_the_catalogue() -> None:
    targets = open_catalog().targets.values()
    linux = {target.name for target in targets if target.kind is Kind.EDGETPU and target.systems}
    assert linux == CORALS


def test_a_runtime_older_than_the_bundle_needs_is_refused() -> None:
    with pytest.raises(
        SessionError, match=r"needs ai-edge-litert 99\.1 or later, and ai-edge-litert"
    ) as caught:
        pick(runtime={"model.tflite": {"ai-edge-litert": "99.1"}})
    assert caught.value.hint == "pip install --upgrade 'edgekit[runtime]'"
    with pytest.raises(SessionError, match=r"needs litert 99\.1"):
        pick(runtime={"model.tflite": {"litert": "99.1"}})


@pytest.mark.parametrize(
    "least",
    [
        {},
        {"tensorflow-lite": "1.14.0"},
        {"tensorflow-lite": "2.20.0"},
        {"ai-edge-litert": "2.0"},
        {"tflite-runtime": "99.0"},
        {"edgetpu": "14"},
    ],
)
def test_what_another_runtime_needs_is_no_concern(least: dict[str, str]) -> None:
    assert pick(runtime={"model.tflite": least}).device == "cpu"


class Installed:
    """Stands for a release that is not installed here: `refuse_older` asks for name and version alone."""

    def __init__(self, name: str, version: str) -> None:
        self.name, self.version = name, version


@pytest.mark.parametrize(
    ("name", "version", "tflite", "fits"),
    [
        ("tflite-runtime", "2.14.0", "2.14.0", True),
        ("tflite-runtime", "2.14.0", "2.15.0", False),
        ("tensorflow", "2.21.0", "2.9.0", True),
        ("tensorflow", "2.15.1", "2.16.0", False),
        ("ai-edge-litert", "1.0.1", "2.17.0", True),
        ("ai-edge-litert", "1.0.1", "2.18.0", False),
        ("ai-edge-litert", "1.2.0", "2.19.0", True),
        ("ai-edge-litert", "1.2.0", "2.20.0", False),
        ("ai-edge-litert", "2.3.0", "2.23.0", True),  # refuses by itself what it lacks
        ("ai-edge-litert", "unknown", "2.20.0", True),
    ],
)
def test_releases_of_tensorflow_lite_are_compared(name: str, version: str, tflite: str, fits: bool) -> None:
    backend: Any = Installed(name, version)
    if fits:
        refuse_older(backend, {"tensorflow-lite": tflite})
    else:
        with pytest.raises(SessionError, match=f"needs tensorflow-lite {tflite} or later"):
            refuse_older(backend, {"tensorflow-lite": tflite})


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("2.14.0", (2, 14)),
        ("2.14", (2, 14)),
        ("2.16.2rc1", (2, 16, 2)),
        ("16.0TF2.19.1-1", (16,)),
        ("10.0.9", (10, 0, 9)),
        ("unknown", ()),
        ("", ()),
    ],
)
def test_versions_compare_as_numbers(version: str, release: tuple[int, ...]) -> None:
    assert numbers(version) == release


def write_package(folder: Path, module: str, info: str | None) -> None:
    (folder / module).mkdir(parents=True)
    (folder / module / "__init__.py").write_text("raise SystemExit('imported')")
    if info is not None:
        (folder / info).mkdir()


def test_a_version_is_found_without_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    write_package(tmp_path, "tflite_runtime", "tflite_runtime-2.14.0.dist-info")
    write_package(tmp_path, "no_info", None)
    assert TfliteRuntimeBackend.is_installed()
    assert TfliteRuntimeBackend().version == "2.14.0"
    assert installed_version("no_info", "no-info") == "unknown"
    assert installed_version("not_there", "not-there") == "unknown"


PROGRAM = """
import sys
sys.path[:] = {path!r} + [entry for entry in sys.path if not entry.endswith("site-packages")]
from edgekit.backends.installed import first_installed
print(first_installed().name, "importlib.metadata" in sys.modules)
"""


@pytest.mark.parametrize(
    ("modules", "chosen"),
    [
        (["ai_edge_litert", "tflite_runtime", "tensorflow"], "ai-edge-litert"),
        (["tflite_runtime", "tensorflow"], "tflite-runtime"),
        (["tensorflow"], "tensorflow"),
    ],
)
def test_the_lightest_runtime_is_chosen_and_none_imported(
    tmp_path: Path, modules: list[str], chosen: str
) -> None:
    for module in modules:
        write_package(tmp_path, module, None)
    source = [
        str(Path(__file__).parents[1]),
        str(Path(__file__).parents[2] / "device_targets"),
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(path=source)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [chosen, "False"], done.stderr


def test_without_any_runtime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    for name in ("ai_edge_litert", "tflite_runtime", "tensorflow"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert installed_backends() == ()
    with pytest.raises(RuntimeNotFoundError) as caught:
        first_installed()
    assert caught.value.hint == "pip install 'edgekit[runtime]'"


def test_all_that_are_installed_are_listed_best_first() -> None:
    names = [backend.name for backend in installed_backends()]
    order = [backend.name for backend in (LiteRtBackend, TfliteRuntimeBackend, TensorFlowBackend)]
    assert names == [name for name in order if name in names]
    assert names[0] == "ai-edge-litert"
