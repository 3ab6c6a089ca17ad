"""Models whose constants or shapes a kernel reads otherwise than the file has them, and what LiteRT makes of models."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from firewall_models import IMAGE, int32, moved, sound_models
from tflite_models import Net, Op, T, activation, dense, net, shape_constant

SOUND = sound_models()


def int64(*values: int) -> T:
    """An int64 constant."""
    return T((len(values),), "INT64", data=values)


def multiplied(kind: str, activation_of: int, *, scale: float | None = None) -> Net:
    """A RESHAPE to [10, 10] times [2, 2], which a MUL computes, for 400 values."""
    factors = {"a": T((2,), kind, scale, data=(10, 10)), "b": T((2,), kind, scale, data=(2, 2))}
    tensors = {"x": activation(400), **factors, "shape": T((2,), kind, scale), "y": activation(20, 20)}
    ops = (
        Op("MUL", ("a", "b"), ("shape",), "MulOptions", {"fusedActivationFunction": activation_of}),
        Op("RESHAPE", ("x", "shape"), ("y",), "ReshapeOptions"),
    )
    return Net(tensors, ops, ("x",), ("y",))


def squared(times: int) -> Net:
    """A RESHAPE to a number that is squared again and again: of 2^`times` times as many digits."""
    tensors = {"x": activation(1, 8), "a0": shape_constant((1 << 31) - 1), "y": activation(1, 8)}
    tensors |= {f"a{n}": int32(1) for n in range(1, times + 1)}
    squares = (Op("MUL", (f"a{n}", f"a{n}"), (f"a{n + 1}",), "MulOptions") for n in range(times))
    ops = (*squares, Op("RESHAPE", ("x", f"a{times}"), ("y",), "ReshapeOptions"))
    return Net(tensors, ops, ("x",), ("y",))


def regrouped(said: tuple[int, ...], then: Op, *shape: int, **inputs: T) -> Net:
    """A dense layer whose rows the file groups as `said`, and an operator that reads them as `k`."""
    depth = 16
    rows = int(np.prod(said)) // said[-1]
    first = dense().tensor("x", shape=(rows, depth))
    tensors = {
        **first.tensors,
        "k": activation(*said, scale=0.1),
        **inputs,
        "y": activation(*shape, scale=0.1),
    }
    ops = (first.op(outputs=("k",)).ops[0], then)
    return Net(tensors, ops, ("x",), ("y",))


def ellipsis_of_nothing() -> Net:
    """[0:4, ..., 2:3] of two dimensions."""
    taken = {"b": shape_constant(0, 0, 2), "e": shape_constant(4, 0, 3), "s": shape_constant(1, 1, 1)}
    x = {"x": activation(4, 5)}
    return moved("STRIDED_SLICE", {**x, **taken}, 4, 1, table="StridedSliceOptions", ellipsisMask=2)


def without_shape(sizes: int) -> Net:
    """A RESHAPE that has its shape as an option only."""
    return moved("RESHAPE", {"x": activation(1, 8)}, 1, 8, table="ReshapeOptions", newShape=[7] * sizes)


RESIZE = Op("RESIZE_NEAREST_NEIGHBOR", ("k", "size"), ("y",), "ResizeNearestNeighborOptions", version=2)

MISREAD: dict[str, tuple[Net, str]] = {
    "blocks of 64 bits": (SOUND["SPACE_TO_BATCH_ND"].tensor("blocks", type="INT64"), "1 is int64, and must be int32"),
    "paddings of 64 bits": (SOUND["SPACE_TO_BATCH_ND"].tensor("edges", type="INT64"), "2 is int64, and must be int32"),
    "crops of 64 bits": (SOUND["BATCH_TO_SPACE_ND"].tensor("edges", type="INT64"), "2 is int64, and must be int32"),
    "crops of truth values": (SOUND["BATCH_TO_SPACE_ND"].tensor("edges", type="BOOL"), "2 is bool, and must be int32"),
    "a reshape of 64 bits": (SOUND["RESHAPE"].tensor("shape", type="INT64"), "1 is int64, and must be int32"),
    "a reshape to a matrix of sizes": (SOUND["RESHAPE"].tensor("shape", shape=(1, 2)), "2 dimensions, and must have 1"),
    "a reshape to 60,000 sizes": (
        SOUND["RESHAPE"].tensor("shape", shape=(60_000,), data=(1 << 31) - 1), "60000 numbers, and may have 64$",
    ),
    "a reshape to 9 sizes": (SOUND["RESHAPE"].tensor("shape", shape=(9,), data=7), r"7, \.\.\. 9 in all\] cannot be had$"),
    "a reshape to 60,000 sizes of options": (without_shape(60_000), r"7, \.\.\. 60000 in all\] cannot be had$"),
    "a reshape to a clamped product": (multiplied("INT32", 3), "'shape'. must be a constant"),
    "a reshape to a product of bytes": (multiplied("INT8", 0, scale=1.0), "1 is int8, and must be int32"),
    "a reshape to a product without end": (squared(24), "'a24'. must be a constant"),
    "an order of 64 bits": (SOUND["TRANSPOSE"].tensor("order", type="INT64"), "1 is int64, and must be int32"),
    "a matrix as order": (SOUND["TRANSPOSE"].tensor("order", shape=(1, 4)), "2 dimensions, and must have 1"),
    "an ellipsis of nothing": (ellipsis_of_nothing(), "an ellipsis stands for no dimension"),
    "begins of 64 bits": (SOUND["STRIDED_SLICE"].tensor("begin", type="INT64"), "1 is int64, and must be int32"),
    "a split along an axis of 64 bits": (SOUND["SPLIT"].tensor("axis", type="INT64"), "0 is int64, and must be int32"),
    "a split along a byte": (SOUND["SPLIT"].tensor("axis", type="INT8", scale=1.0), "0 is int8, and must be int32"),
    "sizes of 64 bits": (SOUND["SPLIT_V"].tensor("sizes", type="INT64"), "1 is int64, and must be int32"),
    "sizes along an axis of 64 bits": (SOUND["SPLIT_V"].tensor("axis", type="INT64"), "2 is int64, and must be int32"),
    "a depth of 64 bits": (SOUND["ONE_HOT"].tensor("depth", type="INT64"), "1 is int64, and must be int32"),
    "a count of 64 bits": (SOUND["TOPK_V2"].tensor("k", type="INT64"), "1 is int64, and must be int32"),
    "a reversal along 64 bits": (SOUND["REVERSE_V2"].tensor("axes", type="INT64"), "1 is int64, and must be int32"),
    "sums along an axis of 64 bits": (SOUND["CUMSUM"].tensor("axis", type="INT64"), "1 is int64, and must be int32"),
    "reductions along 64 bits": (SOUND["MEAN"].tensor("axes", type="INT64"), "1 is int64, and must be int32"),
    "a transposed shape of 64 bits": (SOUND["TRANSPOSE_CONV"].tensor("shape", type="INT64"), "0 is int64, and must be"),
    "sizes of bytes": (SOUND["RESIZE_BILINEAR"].tensor("size", type="INT8", scale=1.0), "1 is int8, and must be int32"),
    "paddings of bytes": (SOUND["PAD"].tensor("edges", type="INT8", scale=1.0), "1 is int8, and must be int32 or int64"),
    "a dense layer that the file groups": (
        regrouped((1, 2, 2, 4), RESIZE, 1, 9, 9, 4, size=shape_constant(9, 9)), "2 dimensions, and must have 4",
    ),
}  # fmt: skip
"""By what is wrong: a model, and what the error must say. LiteRT 2.3.0 refuses some and gives others other shapes."""


def grouped_models() -> Iterator[tuple[str, Net]]:
    """Dense layers whose rows the file groups otherwise than the kernel, as converters of old write them."""
    for said in ((4,), (1, 1, 4), (1, 2, 4)):
        yield f"RELU of {said}", regrouped(said, Op("RELU", ("k",), ("y",), version=2), *said)
        count = int(np.prod(said))
        flat = Op("RESHAPE", ("k", "shape"), ("y",), "ReshapeOptions")
        yield f"RESHAPE of {said}", regrouped(said, flat, 1, count, shape=shape_constant(1, count))


def retyped_models() -> Iterator[tuple[str, Net]]:
    """Each constant of numbers of the sound models, in every other type and form."""
    for opcode, model in SOUND.items():
        for name, given in model.tensors.items():
            if given.data is None or given.type != "INT32":
                continue
            values = np.broadcast_to(np.asarray(given.data), given.shape)
            forms = {given.shape, (1, *given.shape), (*given.shape, 1), (values.size,), (1, values.size)}
            for kind in ("INT32", "INT64", "INT8", "UINT8", "BOOL"):
                scale = 1.0 if kind.endswith("T8") else None
                for form in sorted(forms):
                    changes: dict[str, Any] = {"type": kind, "shape": form, "scale": scale, "zero_point": 0}
                    kept = np.clip(values, 0, None) if kind in ("UINT8", "BOOL") else values
                    yield (
                        f"{opcode} {name} {kind}{form}",
                        model.tensor(name, **changes, data=kept.reshape(form)),
                    )
    # A shape of options that has as many elements, which LiteRT takes where that of the input is not to its liking.
    for kind in ("INT32", "INT64"):
        for form in ((4,), (1, 4)):
            wanted = T(form, kind, data=np.asarray([1, 6, 4, 4]).reshape(form))
            inputs, options = {"x": activation(*IMAGE), "shape": wanted}, {"newShape": [1, 4, 6, 4]}
            yield (
                f"RESHAPE options {kind}{form}",
                moved("RESHAPE", inputs, 1, 6, 4, 4, table="ReshapeOptions", **options),
            )


def sliced_models(generator: Any, count: int) -> Iterator[tuple[str, Net]]:
    """STRIDED_SLICE with random masks, ends and strides; its output's shape is a wrong one."""
    for number in range(count):
        sizes = [generator.randint(1, 5) for _ in range(generator.randint(1, 4))]
        length = generator.randint(1, len(sizes) + 1)
        masks = {
            f"{mask}Mask": generator.getrandbits(length) if generator.random() < 0.5 else 0
            for mask in ("begin", "end", "newAxis", "shrinkAxis")
        }
        masks["ellipsisMask"] = 1 << generator.randrange(length) if generator.random() < 0.4 else 0
        ends = {end: shape_constant(*(generator.randint(-6, 6) for _ in range(length))) for end in "be"}
        strides = shape_constant(*generator.choices((1, 1, 1, 2, -1, -2), k=length))
        inputs = {"x": activation(*sizes), **ends, "s": strides}
        wrong = {"y": activation(9, 9, 9, 9, 9, 9, 9)}
        table = "StridedSliceOptions"
        yield f"slice {number}", net("STRIDED_SLICE", inputs, wrong, table=table, options=masks, version=2)


_CHILD = """
import json, sys, numpy as np
from pathlib import Path
from ai_edge_litert.interpreter import Interpreter, OpResolverType
plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
for path in sorted(Path(sys.argv[1]).glob("*.tflite")):
    for resolver in (plain, OpResolverType.AUTO):
        print(json.dumps([path.stem, resolver is plain]), flush=True)
        try:
            interpreter = Interpreter(model_content=path.read_bytes(), experimental_op_resolver_type=resolver)
            interpreter.allocate_tensors()
            for details in interpreter.get_input_details():
                interpreter.set_tensor(details["index"], np.full(details["shape"], 1, details["dtype"]))
            interpreter.invoke()
        except (RuntimeError, ValueError):
            print("null", flush=True)
            continue
        outputs = [interpreter.get_tensor(details["index"]).shape for details in interpreter.get_output_details()]
        print(json.dumps(outputs), flush=True)
"""


def shapes_in_litert(
    models: Mapping[str, Net], folder: Path
) -> Iterator[tuple[str, list[tuple[int, ...]] | None]]:
    """What LiteRT computes of models, with its built-in kernels and with XNNPACK, in a process of its own.

    Yields:
        The name of a model, and the shapes of its outputs, or None where LiteRT refused it.

    Raises:
        AssertionError: The process ended before its time; the message names the model.
    """
    names = dict(enumerate(models))
    for number, name in names.items():
        (folder / f"{number:06}.tflite").write_bytes(models[name].build())
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(folder)], capture_output=True, text=True, check=False
    )
    lines: Sequence[Any] = [json.loads(line) for line in done.stdout.splitlines()]
    last = names[int(lines[-1][0])] if len(lines) % 2 else "at its end"
    assert done.returncode == 0, f"{last}: {done.returncode}: {done.stderr[-300:]}"
    for (stem, _), shapes in zip(lines[::2], lines[1::2], strict=True):
        yield names[int(stem)], None if shapes is None else [tuple(shape) for shape in shapes]
