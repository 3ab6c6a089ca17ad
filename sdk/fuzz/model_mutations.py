"""Structure-aware mutations of .tflite files: the result is nearly always a sound flatbuffer with something wrong in it.

Mutations are drawn by a seeded generator, so that a run can be repeated. Each takes the tree of schema objects
apart at one place: a shape, an index, an option, a scale, a constant, an order, a size.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit_converters.surgery import pack, unpack

Mutation = Callable[[Any, random.Random], None]

SIZES = (
    0,
    -1,
    1,
    2,
    3,
    5,
    7,
    8,
    16,
    127,
    128,
    255,
    256,
    4096,
    65535,
    65536,
    1 << 20,
    1 << 30,
    (1 << 31) - 1,
    -(1 << 31),
    -2,
)
REALS = (
    0.0,
    -1.0,
    1.0,
    1e-38,
    1e-30,
    1e-12,
    1e-6,
    0.5,
    2.0,
    1e6,
    1e30,
    3e38,
    float("inf"),
    float("-inf"),
    float("nan"),
)
TYPES = tuple(value for name, value in vars(schema.TensorType).items() if name.isupper())
OPCODES = tuple(v for name, v in vars(schema.BuiltinOperator).items() if name.isupper())


def mutate(model: bytes, generator: random.Random) -> bytes | None:
    """One to three mutations of a sound model.

    Returns:
        The mutant, or None where the tree that came out cannot be written.
    """
    tree = unpack(model)
    try:
        for _ in range(generator.choice((1, 1, 1, 2, 3))):
            generator.choice(MUTATIONS)(tree, generator)
        mutant = pack(tree)
    except (struct.error, TypeError, ValueError, OverflowError, AttributeError, IndexError, AssertionError):
        return None
    except Exception as error:  # flatbuffers' own errors are plain subclasses of Exception
        if type(error).__module__.startswith("flatbuffers"):
            return None
        raise
    return _bent(mutant, generator) if generator.random() < 0.1 else mutant


def _tensor(tree: Any, generator: random.Random) -> Any:
    return generator.choice(tree.subgraphs[0].tensors)


def _operator(tree: Any, generator: random.Random) -> Any:
    return generator.choice(tree.subgraphs[0].operators)


def shape(tree: Any, generator: random.Random) -> None:
    tensor = _tensor(tree, generator)
    sizes = [] if tensor.shape is None else list(tensor.shape)
    kind = generator.randrange(6)
    if kind == 0 or not sizes:
        sizes.insert(generator.randrange(len(sizes) + 1), generator.choice((1, 1, 2, 0, 9)))
    elif kind == 1:
        del sizes[generator.randrange(len(sizes))]
    elif kind == 2:
        generator.shuffle(sizes)
    elif kind == 3:
        place = generator.randrange(len(sizes))
        sizes[place] = int(sizes[place]) + generator.choice((-1, 1, 2))
    elif kind == 4:
        place = generator.randrange(len(sizes))
        sizes[place] = int(sizes[place]) * generator.choice((2, 4, 1024))
    else:
        sizes[generator.randrange(len(sizes))] = generator.choice(SIZES)
    tensor.shape = sizes
    if generator.random() < 0.3:
        tensor.shapeSignature = [generator.choice((-1, size)) for size in sizes]


def signature(tree: Any, generator: random.Random) -> None:
    tensor = _tensor(tree, generator)
    sizes = [] if tensor.shape is None else list(tensor.shape)
    tensor.shapeSignature = [generator.choice((-1, size, 7)) for size in sizes]


def tensor_type(tree: Any, generator: random.Random) -> None:
    _tensor(tree, generator).type = generator.choice(TYPES)


def tensor_buffer(tree: Any, generator: random.Random) -> None:
    _tensor(tree, generator).buffer = generator.choice(
        (*range(len(tree.buffers)), len(tree.buffers), 0, 1 << 20)
    )


def flags(tree: Any, generator: random.Random) -> None:
    tensor = _tensor(tree, generator)
    if generator.random() < 0.5:
        tensor.isVariable = True
    else:
        tensor.hasRank = not tensor.hasRank


def sparsity(tree: Any, generator: random.Random) -> None:
    tensor = _tensor(tree, generator)
    tensor.sparsity = schema.SparsityParametersT()
    tensor.sparsity.traversalOrder = [generator.choice(SIZES) for _ in range(generator.randrange(4))]


def quantization(tree: Any, generator: random.Random) -> None:
    tensor = _tensor(tree, generator)
    q = tensor.quantization
    if q is None or q.scale is None or generator.random() < 0.1:
        tensor.quantization = schema.QuantizationParametersT() if q is None else None
        return
    scale, zero = [float(s) for s in q.scale], [int(z) for z in q.zeroPoint if q.zeroPoint is not None]
    kind = generator.randrange(7)
    if kind == 0 and scale:
        scale[generator.randrange(len(scale))] = generator.choice(REALS)
    elif kind == 1 and zero:
        zero[generator.randrange(len(zero))] = generator.choice(
            (-129, -128, 127, 128, 255, 1 << 31, -(1 << 40), 1)
        )
    elif kind == 2:
        scale, zero = scale[:-1], zero[: generator.choice((None, -1))]
    elif kind == 3:
        scale, zero = scale * 2, zero * 2
    elif kind == 4:
        q.quantizedDimension = generator.choice(SIZES)
    elif kind == 5:
        q.scale, q.zeroPoint = None, None
        return
    else:
        scale = [s * generator.choice((1e-6, 1e6, 300.0)) for s in scale]
    q.scale, q.zeroPoint = scale, zero


def operands(tree: Any, generator: random.Random) -> None:
    operator = _operator(tree, generator)
    name = generator.choice(("inputs", "inputs", "outputs"))
    numbers = [int(n) for n in getattr(operator, name)]
    most = len(tree.subgraphs[0].tensors)
    kind = generator.randrange(6)
    if kind == 0 and numbers:
        numbers[generator.randrange(len(numbers))] = generator.randrange(most)
    elif kind == 1 and numbers:
        numbers[generator.randrange(len(numbers))] = generator.choice((-1, -2, most, 1 << 20, -(1 << 31)))
    elif kind == 2 and numbers:
        del numbers[generator.randrange(len(numbers))]
    elif kind == 3:
        numbers.append(generator.randrange(most))
    elif kind == 4:
        generator.shuffle(numbers)
    else:
        numbers = [generator.randrange(most)] * max(len(numbers), 1)
    setattr(operator, name, numbers)


def order(tree: Any, generator: random.Random) -> None:
    operators = tree.subgraphs[0].operators
    kind = generator.randrange(4)
    place = generator.randrange(len(operators))
    if kind == 0:
        generator.shuffle(operators)
    elif kind == 1:
        operators.append(operators[place])
    elif kind == 2:
        del operators[place]
    else:
        operators.insert(0, operators.pop(place))


def option(tree: Any, generator: random.Random) -> None:
    operator = _operator(tree, generator)
    options = operator.builtinOptions
    if options is None or not vars(options) or generator.random() < 0.05:
        operator.builtinOptions = None
        return
    name = generator.choice(sorted(vars(options)))
    value = getattr(options, name)
    if isinstance(value, float):
        setattr(options, name, generator.choice(REALS))
    elif isinstance(value, bool):
        setattr(options, name, not value)
    elif isinstance(value, int):
        setattr(options, name, generator.choice((*SIZES, value + 1, value - 1, -value)))
    elif name in ("newShape", "squeezeDims"):
        setattr(options, name, [generator.choice(SIZES) for _ in range(generator.randrange(6))])


def option_kind(tree: Any, generator: random.Random) -> None:
    operator = _operator(tree, generator)
    others = [o.builtinOptions for o in tree.subgraphs[0].operators if o.builtinOptions is not None]
    if others and generator.random() < 0.5:
        operator.builtinOptions = generator.choice(others)
    else:
        operator.builtinOptionsType = generator.randrange(130)


def opcode(tree: Any, generator: random.Random) -> None:
    code = generator.choice(tree.operatorCodes)
    kind = generator.randrange(4)
    if kind == 0:
        code.version = generator.choice((0, -1, 1, 2, 3, 4, 5, 9, 99, (1 << 31) - 1))
    elif kind == 1:
        code.customCode = generator.choice((b"FlexErf", b"edgetpu-custom-op", b"", b"x" * 5000))
    elif kind == 2:
        code.builtinCode = generator.choice(OPCODES)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    else:
        _operator(tree, generator).opcodeIndex = generator.randrange(len(tree.operatorCodes) + 1)


def buffer_size(tree: Any, generator: random.Random) -> None:
    held = [buffer for buffer in tree.buffers if buffer.data is not None and len(buffer.data)]
    buffer = generator.choice(held or tree.buffers)
    data = bytes(b"" if buffer.data is None else bytes(buffer.data))
    data = generator.choice((data[:-1], data[: len(data) // 2], data + b"\0", data * 2, b"", b"\x7f" * 64))
    buffer.data = np.frombuffer(data, np.uint8)


def constant(tree: Any, generator: random.Random) -> None:
    """Numbers in small constants of integers: shapes, axes, paddings, indices."""
    small = [
        tree.buffers[t.buffer]
        for t in tree.subgraphs[0].tensors
        if t.type in (schema.TensorType.INT32, schema.TensorType.INT64)
        and t.buffer < len(tree.buffers)
        and tree.buffers[t.buffer].data is not None
    ]
    if not small:
        return
    buffer = generator.choice(small)
    values = np.frombuffer(bytes(buffer.data)[: len(buffer.data) // 4 * 4], np.int32).copy()
    if not len(values):
        return
    if generator.random() < 0.3:
        generator.shuffle(values)
    else:
        place = generator.randrange(len(values))
        near = (int(values[place]) + 1, int(values[place]) - 1, -int(values[place]))
        values[place] = np.int64(generator.choice((*SIZES, *near, *near))).astype(np.int32)
    buffer.data = values.view(np.uint8)


def large_buffer(tree: Any, generator: random.Random) -> None:
    buffer = generator.choice(tree.buffers)
    buffer.offset = generator.choice((2, 8, 100, 1 << 20, 1 << 40))
    buffer.size = generator.choice((1, 16, 1 << 20, 1 << 40))


def ends(tree: Any, generator: random.Random) -> None:
    graph = tree.subgraphs[0]
    name = generator.choice(("inputs", "outputs"))
    numbers = [int(n) for n in getattr(graph, name)]
    most = len(graph.tensors)
    kind = generator.randrange(4)
    if kind == 0 and numbers:
        numbers[generator.randrange(len(numbers))] = generator.randrange(most)
    elif kind == 1 and numbers:
        numbers[generator.randrange(len(numbers))] = generator.choice((-1, most, 1 << 20))
    elif kind == 2:
        numbers.append(generator.randrange(most))
    else:
        numbers = numbers[:-1]
    setattr(graph, name, numbers)


def subgraph(tree: Any, generator: random.Random) -> None:
    if generator.random() < 0.5:
        tree.subgraphs.append(tree.subgraphs[0])
    else:
        _operator(tree, generator).intermediates = [generator.choice((-1, 0, 1, 1 << 20))]


def names(tree: Any, generator: random.Random) -> None:
    _tensor(tree, generator).name = generator.choice((b"", b"\xff\xfe", b"a" * 70_000, b"x\0y", None))


def _bent(model: bytes, generator: random.Random) -> bytes:
    """One offset or number of the flatbuffer itself, bent: the first part holds tables, the rest constants."""
    data = bytearray(model)
    at = generator.randrange(0, min(len(data) - 4, 4096)) & ~3
    value = struct.unpack_from("<i", data, at)[0] + generator.choice((-8, -4, -1, 1, 4, 8, 64, 1 << 16))
    struct.pack_into("<I", data, at, value & 0xFFFFFFFF)
    return bytes(data)


MUTATIONS: tuple[Mutation, ...] = (
    shape, shape, shape, signature, tensor_type, tensor_buffer, flags, sparsity, quantization, quantization, operands,
    operands, order, option, option, option, option_kind, opcode, buffer_size, constant, constant, constant, constant,
    large_buffer, ends, subgraph, names,
)  # fmt: skip
