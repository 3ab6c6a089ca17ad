"""No runtime sees a model before the firewall has: in a session, before an Edge TPU is probed, signed or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Built, build_dense

import edgekit
from edgekit.backends.choose import choose
from edgekit.backends.edgetpu import EdgeTpuBackend, Host
from edgekit.backends.litert import LiteRtBackend
from edgekit.backends.standin import standin_model
from edgekit.bundle import EDGETPU_MODEL, MODEL, VARIANTS
from edgekit.errors import MalformedModelError
from edgekit.firewall import CUSTOM_OPS, check_variant
from edgekit.trust import UnsignedBundleWarning

HIDDEN = b"PK\3\4" + bytes(100)


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("the runtime was reached")


def with_hidden_bytes(built: Built) -> Built:
    return Built(built.model + HIDDEN, built.inputs, built.outputs)


def test_a_session_checks_before_it_opens(
    bundle_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiteRtBackend, "open", never)
    path = bundle_file(with_hidden_bytes(build_dense()))
    with (
        pytest.warns(UnsignedBundleWarning),
        pytest.raises(MalformedModelError, match=r"^model\.tflite: .*belong to nothing") as caught,
    ):
        edgekit.load(path, trust=edgekit.UNSIGNED, self_test="never")
    assert caught.value.hint


def test_an_edge_tpu_is_probed_with_a_checked_model_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EdgeTpuBackend, "probe", never)
    stick = tmp_path / "bus/usb/devices/1-1"
    stick.mkdir(parents=True)
    for name, value in {"idVendor": "1a6e", "idProduct": "089a"}.items():
        (stick / name).write_text(value)
    model = build_dense().model + HIDDEN
    with pytest.raises(MalformedModelError, match=r"^model_edgetpu\.tflite: "):
        choose(
            "usb",
            variants={MODEL: model, EDGETPU_MODEL: model},
            runtime={MODEL: {}, EDGETPU_MODEL: {}},
            targets=("coral-usb-accelerator",),
            fallback=False,
            host=Host(sys=tmp_path, dev=tmp_path),
        )


def test_every_variant_has_its_custom_operators() -> None:
    assert CUSTOM_OPS.keys() == set(VARIANTS)
    for name in VARIANTS:
        check_variant(name, build_dense().model)


def test_a_stand_in_passes_for_a_simulation_alone() -> None:
    built = build_dense()
    model = standin_model(built.inputs, built.outputs)
    check_variant(MODEL, model, executed=False)
    with pytest.raises(MalformedModelError, match="nothing computes the output"):
        check_variant(MODEL, model)
