"""The Edge TPU seam: real libraries through the real ``load_delegate``, in the real child process.

No Edge TPU and no libedgetpu: the libraries are compiled here, each with one of the ways in which it can fail.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends import probe
from edgekit.backends.choose import choose
from edgekit.backends.edgetpu import EdgeTpu, EdgeTpuBackend, Host, find_device, list_devices, pci_cards
from edgekit.backends.installed import first_installed
from edgekit.errors import DeviceError

# What a delegate's library exports (tensorflow/lite/delegates/external/external_delegate_interface.h), with a
# TfLiteDelegate (tensorflow/lite/core/c/common.h) that leaves every operator to the CPU.
LIBRARY = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
struct delegate {{
    void *data; int (*prepare)(void *, struct delegate *);
    void *from, *to, *release; int64_t flags; void *builder;
}};
static int prepare(void *context, struct delegate *self) {{ {prepare} return 0; }}
const char *edgetpu_version(void) {{ return "BuildLabel(test), RuntimeVersion(14)"; }}
void *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {{
    if (count != 1 || strcmp(keys[0], "device")) {{ report("no device was named"); return NULL; }}
    FILE *log = fopen("{log}", "a"); fprintf(log, "+%s\\n", values[0]); fclose(log);
    {create}
    struct delegate *made = calloc(1, sizeof *made);
    made->prepare = prepare;
    return made;
}}
void tflite_plugin_destroy_delegate(void *made) {{
    FILE *log = fopen("{log}", "a"); fprintf(log, "-\\n"); fclose(log);
    {destroy}
    free(made);
}}
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a library notes "+device" when a delegate is made and "-" when it is destroyed."""
    path = tmp_path / "log"
    path.touch()
    return path


@pytest.fixture
def compiled(tmp_path: Path, log: Path) -> Callable[..., str]:
    """Compiles a library, and returns its path."""

    def make(create: str = "", prepare: str = "", destroy: str = "", source: str = LIBRARY) -> str:
        code, library = tmp_path / "delegate.c", tmp_path / "libedgetpu.so.1"
        code.write_text(source.format(create=create, prepare=prepare, destroy=destroy, log=log))
        try:
            subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, code], check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("gcc is not installed")
        return str(library)

    return make


def write_stick(root: Path, port: str, ids: tuple[str, str], number: int = 4, mode: int = 0o600) -> None:
    folder = root / "sys/bus/usb/devices" / port
    folder.mkdir(parents=True)
    entries = {"idVendor": ids[0], "idProduct": ids[1], "busnum": "2", "devnum": str(number)}
    for name, text in entries.items():
        (folder / name).write_text(f"{text}\n")
    node = root / "dev/bus/usb/002" / f"{number:03}"
    node.parent.mkdir(parents=True, exist_ok=True)
    node.touch(mode)


def host_at(root: Path, library: str = "libedgetpu.so.1", timeout_s: float = 20) -> Host:
    return Host(root / "sys", root / "dev", library, timeout_s)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A machine with one Coral stick that is fresh from the box."""
    write_stick(tmp_path, "1-1.2", ("1a6e", "089a"))
    return tmp_path


def test_sticks_are_found_before_and_after_their_first_use(tmp_path: Path) -> None:
    write_stick(tmp_path, "1-1", ("1d6b", "0002"))
    write_stick(tmp_path, "1-1.2", ("1a6e", "089a"), 4)
    write_stick(tmp_path, "2-1", ("18d1", "9302"), 12)
    fresh, used = list_devices(host_at(tmp_path))
    assert fresh == EdgeTpu("usb", 0, "1-1.2", tmp_path / "dev/bus/usb/002/004", used_before=False)
    assert used == EdgeTpu("usb", 1, "2-1", tmp_path / "dev/bus/usb/002/012", used_before=True)
    assert (fresh.device, used.device) == ("usb:0", "usb:1")


def test_cards_are_found_by_their_drivers_files(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    for number in (0, 1, 10, 2):
        (tmp_path / f"dev/apex_{number}").touch()
    places = [tpu.place.rpartition("/")[2] for tpu in list_devices(host_at(tmp_path))]
    assert places == ["apex_0", "apex_1", "apex_2", "apex_10"]


def test_a_machine_that_says_nothing_has_none(tmp_path: Path) -> None:
    assert list_devices(host_at(tmp_path)) == ()


def test_a_device_is_found_by_bus_and_number(board: Path) -> None:
    write_stick(board, "2-1", ("18d1", "9302"), 12)
    (board / "dev/apex_0").touch()
    host = host_at(board)
    found = [
        find_device(*wanted, host).device
        for wanted in [("auto", None), ("usb", 1), ("pci", None), ("pci", 0)]
    ]
    assert found == ["usb:0", "usb:1", "pci:0", "pci:0"]


def test_a_number_too_high_lists_what_is_there(board: Path) -> None:
    with pytest.raises(DeviceError, match="no Edge TPU usb:3") as caught:
        find_device("usb", 3, host_at(board))
    assert caught.value.hint == "found: usb:0"


def test_a_card_without_a_driver_is_told_from_no_card(tmp_path: Path) -> None:
    folder = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    folder.mkdir(parents=True)
    (folder / "vendor").write_text("0x1ac1\n")
    (folder / "device").write_text("0x089a\n")
    host = host_at(tmp_path)
    assert pci_cards(host) == ("0000:01:00.0",)
    with pytest.raises(DeviceError, match=r"at PCI 0000:01:00\.0, and no driver serves it") as caught:
        find_device("pci", None, host)
    assert caught.value.hint is not None
    assert "coral-pcie-m2" in caught.value.hint
    with pytest.raises(DeviceError, match="no Edge TPU is found on USB"):
        find_device("usb", None, host)


def test_a_stick_of_another_group_names_plugdev(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "os.access", lambda path, mode: False
    )  # root, who runs tests in containers, may do all
    with pytest.raises(
        DeviceError, match=r"may not open the Edge TPU usb:0 \(.*/dev/bus/usb/002/004\)"
    ) as caught:
        find_device("usb", 0, host_at(board))
    assert caught.value.hint is not None
    assert "usermod -aG plugdev" in caught.value.hint


def open_on(board: Path, library: str, model: bytes, timeout_s: float = 20) -> Any:
    backend = EdgeTpuBackend(first_installed(), "usb:0", host_at(board, library, timeout_s))
    return backend.open(model)


def test_a_delegate_that_works_runs_a_model(board: Path, compiled: Any, log: Path, dense: Any) -> None:
    interpreter = open_on(board, compiled(), dense.model)
    assert log.read_text() == "+usb:0\n-\n+usb:0\n"  # the child's, closed, and this process's
    interpreter.set_input(interpreter.inputs[0].index, np.full((1, 4, 4, 3), 127, np.int8))
    interpreter.invoke()
    assert interpreter.output(interpreter.outputs[0].index).tolist() == [[127, 127, 127]]
    assert not log.read_text().endswith("-\n")  # it lives as long as the interpreter does
    del interpreter
    assert log.read_text().endswith("-\n")


def test_a_pair_is_probed_once_a_process(board: Path, compiled: Any, log: Path, dense: Any) -> None:
    library = compiled()
    open_on(board, library, dense.model)
    open_on(board, library, dense.model)
    assert log.read_text().count("+") == 3


def test_the_choice_is_the_edge_tpu_where_it_works(board: Path, compiled: Any, dense: Any) -> None:
    choice = choose(
        "auto",
        variants={"model.tflite": dense.model, "model_edgetpu.tflite": dense.model},
        runtime={},
        targets=("coral-usb-accelerator",),
        fallback=False,
        host=host_at(board, compiled()),
    )
    assert (choice.device, choice.variant, choice.fallback) == ("usb:0", "model_edgetpu.tflite", None)
    assert choice.backend.name == "ai-edge-litert"
    assert choice.backend.open(dense.model).inputs[0].name == "pixels"


@pytest.mark.parametrize(
    ("parts", "step"),
    [
        ({"create": "abort();"}, r"\(SIGABRT\) while opening the device"),
        ({"prepare": "raise(11);"}, r"\(SIGSEGV\) while building an interpreter with the delegate"),
        ({"destroy": "abort();"}, r"\(SIGABRT\) while closing the device"),
    ],
    ids=["aborts", "segfaults-in-the-interpreter", "aborts-when-closed"],
)
def test_a_pair_that_kills_the_process_is_named_and_kills_only_the_child(
    board: Path, compiled: Any, dense: Any, parts: dict[str, str], step: str
) -> None:
    library = compiled(**parts)
    said = (
        rf"ai-edge-litert [\d.]+ with {library} \(BuildLabel\(test\), RuntimeVersion\(14\)\) end the process"
    )
    with pytest.raises(DeviceError, match=f"{said} {step}") as caught:
        open_on(board, library, dense.model)
    hint = str(caught.value.hint)
    assert "ai-edge-litert 2.2.0 with feranick's libedgetpu 16.0TF2.19.1-1" in hint
    assert "edgekit targets coral-usb-accelerator" in hint
    assert "2.3.0" not in hint  # nobody is known to have run it with an Edge TPU


def test_a_library_that_is_missing_names_the_install_lines(board: Path, dense: Any) -> None:
    with pytest.raises(
        DeviceError, match=r"libedgetpu\.so\.1 cannot be loaded: .*cannot open shared object"
    ) as caught:
        open_on(board, "/nowhere/libedgetpu.so.1", dense.model)
    assert "edgekit targets coral-usb-accelerator" in str(caught.value.hint)


def test_a_missing_libusb_is_told_from_a_missing_libedgetpu() -> None:
    message = "libusb-1.0.so.0: cannot open shared object file: No such file or directory"
    report = probe.Report("library", 1, ("OSError", message), "", "")
    error = probe.explain(report, "ai-edge-litert 2.2.0", "libedgetpu.so.1", "usb:0", 30)
    assert error.hint == "sudo apt install libusb-1.0-0"


def test_a_device_that_does_not_open_says_what_to_look_at(board: Path, compiled: Any, dense: Any) -> None:
    library = compiled(create="return NULL;")  # as libedgetpu does without a device: with an empty message
    with pytest.raises(DeviceError, match=r"does not open the Edge TPU usb:0 \([^()]* with .*\)$") as caught:
        open_on(board, library, dense.model)
    assert "another process" in str(caught.value.hint)


def test_the_reason_that_a_delegate_gives_is_shown(board: Path, compiled: Any, dense: Any) -> None:
    library = compiled(create='report("the firmware is from 1999"); return NULL;')
    with pytest.raises(DeviceError, match="the firmware is from 1999"):
        open_on(board, library, dense.model)


def test_a_device_that_hangs_is_given_up(board: Path, compiled: Any, dense: Any) -> None:
    with pytest.raises(DeviceError, match=r"did not answer within 1\.5 s while opening the device") as caught:
        open_on(board, compiled(create="sleep(60);"), dense.model, timeout_s=1.5)
    assert "replug" in str(caught.value.hint)


def test_a_library_of_another_kind_is_refused(board: Path, compiled: Any, dense: Any) -> None:
    library = compiled(source="int nothing;")
    with pytest.raises(DeviceError, match=r"is not libedgetpu: .*tflite_plugin_create_delegate"):
        open_on(board, library, dense.model)


def test_a_file_that_is_no_library_is_refused(board: Path, tmp_path: Path, dense: Any) -> None:
    text = tmp_path / "libedgetpu.so.1"
    text.write_text("not ELF " * 100)
    with pytest.raises(DeviceError, match=r"cannot be loaded: .*invalid ELF header"):
        open_on(board, str(text), dense.model)


def test_a_delegate_that_refuses_the_model_is_no_crash(board: Path, compiled: Any, dense: Any) -> None:
    with pytest.raises(DeviceError, match=r"fail while (building|allocating)"):
        open_on(board, compiled(prepare="return 1;"), dense.model)


def test_a_failed_probe_is_tried_again(board: Path, compiled: Any, log: Path, dense: Any) -> None:
    library = compiled(create="return NULL;")
    for _ in range(2):
        with pytest.raises(DeviceError):
            open_on(board, library, dense.model)
    assert log.read_text().count("+usb:0") == 2


def test_a_crash_falls_back_where_that_is_allowed(board: Path, compiled: Any, dense: Any) -> None:
    choice = choose(
        "usb:0",
        variants={"model.tflite": dense.model, "model_edgetpu.tflite": dense.model},
        runtime={},
        targets=("coral-usb-accelerator",),
        fallback=True,
        host=host_at(board, compiled(create="abort();")),
    )
    assert (choice.device, choice.variant) == ("cpu", "model.tflite")
    assert choice.fallback is not None
    assert "SIGABRT" in choice.fallback


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # LiteRT's own Delegate.__del__
def test_an_unplugged_device_after_the_probe_is_a_device_error(
    board: Path, compiled: Any, dense: Any
) -> None:
    library = compiled()
    backend = EdgeTpuBackend(first_installed(), "usb:0", host_at(board, library))
    backend.probe(dense.model)
    Path(library).unlink()
    with pytest.raises(DeviceError, match="can no longer be opened"):
        backend.open(dense.model)


@pytest.mark.parametrize("said", [b"", b"\xff\xfe\n[1]\nnot json\n", b'{"error": 5}\n{"error": ["a"]}\n'])
def test_whatever_the_child_says_ends_in_an_error(said: bytes) -> None:
    report = probe.read_report(-11, said, b"\xff\n\n")
    assert (report.step, report.error) == ("import", None)
    error = probe.explain(report, "ai-edge-litert 2.3.0", "libedgetpu.so.1", "pci:0", 30)
    assert "SIGSEGV" in str(error)
    assert "coral-pcie-m2" in str(error.hint)


def test_a_librarys_own_prints_do_not_confuse(board: Path, compiled: Any, dense: Any) -> None:
    library = compiled(create='puts("hello"); fflush(stdout);')
    assert open_on(board, library, dense.model).inputs[0].name == "pixels"


def test_the_child_says_each_step_before_it_takes_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    class Stdin:
        class buffer:  # noqa: N801
            read = staticmethod(lambda: b"")

    monkeypatch.setattr("sys.stdin", Stdin)
    assert probe.main(["no_such_runtime", "lib.so", "usb:0"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {"step": "import"}
    assert lines[1]["error"][0] == "ModuleNotFoundError"
