"""Small networks in float and in int8 whose scales are of one's choice, and what each of their layers does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from tflite_models import Net, Op, T

from edgekit_converters.diagnosis.ablation import Effect, ablate
from edgekit_converters.diagnosis.blocks import chain_of
from edgekit_converters.diagnosis.hybrid import Hybrid

FACTORS = {"c": -0.7, "d": 1.3}


def twins(
    ops: tuple[Op, ...], scales: Mapping[str, float], outputs: tuple[str, ...] = ("y",)
) -> tuple[Net, Net]:
    """A float model and its int8 version, whose scales are of one's choice; MUL by the factors above."""
    names = {name for op in ops for name in (*op.inputs, *op.outputs) if name is not None} - {*FACTORS}
    tensors = {name: T((1, 64), "FLOAT32") for name in sorted(names)}
    tensors |= {name: T((), "FLOAT32", data=np.float32(value)) for name, value in FACTORS.items()}
    exact = Net(tensors, ops, ("x",), outputs)
    stored = {
        name: replace(tensor, type="INT8", scale=scales[name])
        for name, tensor in tensors.items()
        if name in names
    }
    for name, value in FACTORS.items():
        stored[name] = T((), "INT8", scale=abs(value) / 100, data=np.int8(np.sign(value) * 100))
    return exact, replace(exact, tensors={name: stored[name] for name in tensors})


def times(read: str, factor: str, written: str) -> Op:
    return Op("MUL", (read, factor), (written,), "MulOptions")


TWO_LAYERS = (times("x", "c", "a"), times("a", "d", "y"))


def samples(count: int = 12) -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(1)
    return [{"x": generator.uniform(-1.9, 1.9, (1, 64)).astype(np.float32)} for _ in range(count)]


def effects_of(exact: Net, rough: Net, states: list[dict[str, np.ndarray]]) -> list[Effect]:
    float_model, int8_model = exact.build(), rough.build()
    return ablate(Hybrid(float_model, int8_model, chain_of(float_model, int8_model)), states)
