"""Every rewrite against the original, both run by LiteRT in float: the same values, and no operator left that int8 lacks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from tflite_models import Net, Op, T, net

from edgekit_converters.quantize.legalize import legalize
from edgekit_converters.runner import Runner
from edgekit_targets.tflite import read_graph

FLOAT = "FLOAT32"
VALUES = np.float32([[-30, -5, -1.5, -0.2, 0, 0.2, 1.5, 30]])


def number(value: float) -> T:
    return T((), FLOAT, data=np.float32(value))


def vector() -> T:
    return T((1, 8), FLOAT)


def chain(tensors: Mapping[str, T], *ops: Op) -> Net:
    """Of vectors, unless `tensors` says otherwise; from x to y."""
    names = {name for op in ops for name in (*op.inputs, *op.outputs) if name is not None}
    return Net({name: tensors.get(name, vector()) for name in sorted(names)}, ops, ("x",), ("y",))


def unary(opcode: str, table: str | None = None) -> Net:
    return net(opcode, {"x": vector()}, {"y": vector()}, table=table)


ONE = {"one": number(1)}
SOFTPLUS = (
    Op("EXP", ("x",), ("e",), "ExpOptions"),
    Op("ADD", ("e", "one"), ("s",), "AddOptions"),
    Op("LOG", ("s",), ("y",)),
)
SELU = (
    Op("GREATER", ("x", "zero"), ("positive",), "GreaterOptions"),
    Op("EXP", ("x",), ("e",), "ExpOptions"),
    Op("SUB", ("e", "one"), ("below",), "SubOptions"),
    Op("MUL", ("below", "alpha"), ("scaled",), "MulOptions"),
    Op("SELECT", ("positive", "x", "scaled"), ("y",), "SelectOptions"),
)
SELU_TENSORS = {"zero": number(0), "one": number(1), "alpha": number(1.67), "positive": T((1, 8), "BOOL")}


def run(model: bytes, x: np.ndarray = VALUES) -> list[np.ndarray]:
    return list(Runner(model).run_real({"x": x}).values())


def opcodes(model: bytes) -> list[str]:
    return [operator.opcode for operator in read_graph(model).main.operators]


@pytest.mark.parametrize(
    ("original", "rewritten", "note"),
    [
        (unary("NEG", "NegOptions"), ["MUL"], "NEG 'y' became MUL by -1"),
        (unary("SQUARE", "SquareOptions"), ["MUL"], "SQUARE 'y' became MUL with itself"),
        (unary("ELU"), ["MUL", "RELU", "MUL", "EXP", "SUB", "RELU", "ADD"], "ELU 'y' became RELU + EXP"),
        (
            chain(ONE, *SOFTPLUS),
            ["ABS", "MUL", "EXP", "ADD", "LOG", "RELU", "ADD"],
            "LOG 'y' became RELU + LOG",
        ),
        (
            chain(SELU_TENSORS, *SELU),
            ["GREATER", "MUL", "RELU", "MUL", "EXP", "SUB", "MUL", "SELECT"],
            "EXP 'e' became EXP of the negative part",
        ),
    ],
    ids=lambda value: value[:5] if isinstance(value, str) else "",
)
def test_rewrite_computes_the_same(original: Net, rewritten: list[str], note: str) -> None:
    before = original.build()
    after, notes = legalize(before)
    assert opcodes(after) == rewritten
    assert len(notes) == 1
    assert notes[0].startswith(note)
    assert np.concatenate(run(after)) == pytest.approx(np.concatenate(run(before)), rel=1e-6, abs=1e-6)
    assert legalize(after) == (after, ())


def test_softplus_no_longer_overflows() -> None:
    after, _ = legalize(chain(ONE, *SOFTPLUS).build())
    assert run(after, np.full((1, 8), 200, np.float32))[0] == pytest.approx(200)


@pytest.mark.parametrize(
    "kept",
    [
        unary("LOG"),
        unary("EXP", "ExpOptions"),
        chain({"one": number(1.5)}, *SOFTPLUS),  # log(exp(x) + 1.5)
        chain(ONE, SOFTPLUS[0], Op("ADD", ("e", "one"), ("s",), "AddOptions", {"fusedActivationFunction": 1}), SOFTPLUS[2]),
        chain(SELU_TENSORS | {"zero": number(0.5)}, *SELU),  # x between 0 and 0.5 goes through exp(x)
        chain(SELU_TENSORS, *SELU[:4], Op("SELECT", ("positive", "scaled", "x"), ("y",), "SelectOptions")),
        chain(SELU_TENSORS, *SELU[:4], Op("SELECT", ("positive", "x", "e"), ("z",), "SelectOptions"),
              Op("ADD", ("z", "scaled"), ("y",), "AddOptions")),
    ],
)  # fmt: skip
def test_what_only_looks_alike_is_left_alone(kept: Net) -> None:
    model = kept.build()
    assert legalize(model) == (model, ())


def taken_apart(kind: str, unread: bool) -> Net:
    """x [1, 6, 2] in three parts along axis 1, of which y = first * last (+ middle)."""
    parts = {part: T((1, 2) if kind == "UNPACK" else (1, 2, 2), FLOAT) for part in "abc"}
    x = T((1, 3, 2) if kind == "UNPACK" else (1, 6, 2), FLOAT)
    constants = {
        "axis": T((), "INT32", data=np.int32(1)),
        "sizes": T((3,), "INT32", data=np.int32([2, 2, 2])),
    }
    op = {
        "SPLIT": Op("SPLIT", ("axis", "x"), tuple("abc"), "SplitOptions", {"numSplits": 3}),
        "SPLIT_V": Op("SPLIT_V", ("x", "sizes", "axis"), tuple("abc"), "SplitVOptions", {"numSplits": 3}),
        "UNPACK": Op("UNPACK", ("x",), tuple("abc"), "UnpackOptions", {"num": 3, "axis": -len(x.shape) + 1}),
    }[kind]
    ops = [op, Op("MUL", ("a", "c"), ("m",), "MulOptions")]
    if not unread:
        ops.append(Op("ADD", ("m", "b"), ("n",), "AddOptions"))
    ops.append(Op("LOGISTIC", ("m" if unread else "n",), ("y",)))
    tensors = {"x": x, **parts, **constants, **dict.fromkeys("mny", parts["a"])}
    return Net(tensors, tuple(ops), ("x",), ("y",))


@pytest.mark.parametrize("kind", ["SPLIT", "SPLIT_V", "UNPACK"])
def test_parts_that_nobody_reads_are_not_made(kind: str) -> None:
    original = taken_apart(kind, unread=True)
    before = original.build()
    after, notes = legalize(before)
    assert notes == (f"{kind} 'a' became 2 SLICE, since nothing reads the rest",)
    assert kind not in opcodes(after)
    x = np.random.default_rng(0).normal(size=original.tensors["x"].shape).astype(np.float32)
    assert np.array_equal(run(after, x)[0], run(before, x)[0])

    whole = taken_apart(kind, unread=False).build()
    assert legalize(whole) == (whole, ())
