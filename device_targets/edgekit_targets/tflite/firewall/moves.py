"""What operators compute that move, cut, join or choose values: their shapes, and constants as indices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from edgekit_targets.tflite.firewall.call import MOST_DIMENSIONS, MOST_STEP, Call, Shape, listed


def reshape(call: Call) -> None:
    """RESHAPE: as many elements after as before. A wrong count overflowed the heap: tensorflow#124982."""
    call.same_types(0)
    elements = prod(call.shape(0))
    if call.has(1):
        wanted = call.values(1)  # of another type or rank, LiteRT takes the shape of the options instead
    else:
        new = call.operator.options["new_shape"]
        assert isinstance(new, tuple)
        wanted = new
    call.require(
        len(wanted) <= MOST_DIMENSIONS
        and wanted.count(-1) <= 1
        and min(wanted, default=1) >= -1
        and 0 not in wanted,
        f"the shape {listed(wanted)} cannot be had",
    )
    if -1 in wanted:
        rest = -prod(wanted)
        call.require(elements % rest == 0, f"{elements} elements cannot become {listed(wanted)}")
        wanted = tuple(elements // rest if size == -1 else size for size in wanted)
    call.require(prod(wanted) == elements, f"{elements} elements cannot become {listed(wanted)}")
    call.gives(wanted)


def squeeze(call: Call) -> None:
    """SQUEEZE: drops dimensions of 1, all of them where none is named."""
    call.same_types(0)
    shape, named = call.shape(0), call.operator.options["squeeze_dims"]
    assert isinstance(named, tuple)
    dropped = {call.axis(axis, len(shape)) for axis in named} or {i for i, n in enumerate(shape) if n == 1}
    call.require(all(shape[axis] == 1 for axis in dropped), f"{list(shape)} is not 1 along {sorted(dropped)}")
    call.gives([size for axis, size in enumerate(shape) if axis not in dropped])


def expand(call: Call) -> None:
    """EXPAND_DIMS."""
    call.same_types(0)
    shape = call.shape(0)
    axis = call.axis(call.scalar(1, wide=True), len(shape) + 1)
    call.gives((*shape[:axis], 1, *shape[axis:]))


def concatenate(call: Call) -> None:
    """CONCATENATION."""
    positions = range(len(call.inputs))
    call.same_types(*positions)
    shapes = [call.shape(position) for position in positions]
    axis = call.axis(call.number("axis"), len(shapes[0]))
    rest = {shape[:axis] + shape[axis + 1 :] for shape in shapes if len(shape) == len(shapes[0])}
    call.require(
        len(rest) == 1 and all(len(shape) == len(shapes[0]) for shape in shapes),
        f"inputs of {', '.join(str(list(shape)) for shape in shapes)} cannot be joined along {axis}",
    )
    joined = sum(shape[axis] for shape in shapes)
    call.gives((*shapes[0][:axis], joined, *shapes[0][axis + 1 :]))
    parts = [call.few(position) for position in positions]
    if None not in parts:
        call.learn([value for part in parts for value in part or ()])


def pack(call: Call) -> None:
    """PACK."""
    positions, shape = range(len(call.inputs)), call.shape(0)
    call.same_types(*positions)
    count = call.number("values_count")
    call.require(
        count == len(call.inputs), f"values_count is {count}, and there are {len(call.inputs)} inputs"
    )
    call.require(all(call.shape(p) == shape for p in positions), "its inputs have different shapes")
    axis = call.axis(call.number("axis"), len(shape) + 1)
    call.gives((*shape[:axis], count, *shape[axis:]))
    parts = [None] if shape else [call.few(position) for position in positions]
    if None not in parts:
        call.learn([value for part in parts for value in part or ()])


def unpack(call: Call) -> None:
    """UNPACK."""
    call.same_types(0)
    shape = call.shape(0)
    axis = call.axis(call.number("axis"), len(shape))
    count = call.number("num")
    call.require(
        count == len(call.outputs) == shape[axis],
        f"num is {count}, there are {len(call.outputs)} outputs, and {shape[axis]} slices",
    )
    _outputs(call, [shape[:axis] + shape[axis + 1 :]] * count)


def split(call: Call) -> None:
    """SPLIT: inputs are the axis and the data."""
    call.same_types(1)
    shape = call.shape(1)
    axis, count = call.axis(call.scalar(0), len(shape)), call.number("num_splits")
    call.require(
        count == len(call.outputs) and count > 0 and shape[axis] % count == 0,
        f"{shape[axis]} values along {axis} into {count} parts and {len(call.outputs)} outputs",
    )
    _outputs(call, [(*shape[:axis], shape[axis] // count, *shape[axis + 1 :])] * count)


def split_sizes(call: Call) -> None:
    """SPLIT_V: inputs are the data, the sizes and the axis; one size may be -1, the rest."""
    call.same_types(0)
    shape, sizes = call.shape(0), call.values(1, most=len(call.outputs))
    axis, count = call.axis(call.scalar(2), len(shape)), call.number("num_splits")
    call.require(count == len(call.outputs) == len(sizes), f"{len(sizes)} sizes, and {count} parts")
    if sizes.count(-1) == 1:
        rest = shape[axis] - sum(sizes) - 1
        sizes = tuple(rest if size == -1 else size for size in sizes)
    call.require(
        min(sizes) > 0 and sum(sizes) == shape[axis],
        f"sizes {listed(sizes)} of {shape[axis]} values along {axis}",
    )
    _outputs(call, [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes])


def _outputs(call: Call, shapes: Sequence[Shape]) -> None:
    for number, shape in enumerate(shapes):
        kind, first = call.outputs[number].type, call.outputs[0].type
        call.require(kind == first, f"output {number} is {kind.lower()}, and the first {first.lower()}")
        call.gives(shape, number)


def pad(call: Call) -> None:
    """PAD, PADV2 and MIRROR_PAD."""
    call.same_types(0, *([2] if call.operator.opcode == "PADV2" else []))
    shape, before_after = call.shape(0), call.values(1, 2, wide=True)
    call.require(
        call.shape(1) == (len(shape), 2), f"paddings of {list(call.shape(1))} for {len(shape)} dimensions"
    )
    call.require(min(before_after, default=0) >= 0, f"paddings {listed(before_after)} are negative")
    if call.operator.opcode == "PADV2":
        call.require(prod(call.shape(2)) == 1, "its value is not one number")
    if call.operator.opcode == "MIRROR_PAD":
        least = 1 if call.operator.options["mode"] == "REFLECT" else 0
        fits = all(p <= shape[i // 2] - least for i, p in enumerate(before_after))
        call.require(fits, f"paddings {listed(before_after)} are wider than {list(shape)} can mirror")
    call.gives([n + before_after[2 * i] + before_after[2 * i + 1] for i, n in enumerate(shape)])


def transpose(call: Call) -> None:
    """TRANSPOSE."""
    call.same_types(0)
    shape, order = call.shape(0), call.values(1)
    call.require(
        sorted(order) == list(range(len(shape))), f"{listed(order)} is no order of {len(shape)} dimensions"
    )
    call.gives([shape[axis] for axis in order])


def cut(call: Call) -> None:
    """SLICE: a size of -1 is all that is left."""
    call.same_types(0)
    shape, begin, size = call.shape(0), call.values(1, wide=True), call.values(2, wide=True)
    call.require(len(begin) == len(size) == len(shape), f"{len(begin)} begins for {len(shape)} dimensions")
    size = tuple(n - b if s == -1 else s for n, b, s in zip(shape, begin, size, strict=True))
    for n, b, s in zip(shape, begin, size, strict=True):
        call.require(b >= 0 and s > 0 and b + s <= n, f"from {b} on {s} values of {n}")
    call.gives(size)


def strided_slice(call: Call) -> None:
    """STRIDED_SLICE. Source: the masks of tf.strided_slice, in terms of Python's slices."""
    call.same_types(0)
    shape, begin, end, strides = call.shape(0), call.values(1), call.values(2), call.values(3)
    call.require(len(begin) == len(end) == len(strides), "begin, end and strides differ in length")
    # Ends that count from the beginnings run out of the tensor in LiteRT 2.3.0's built-in kernel where masks are set.
    call.require(not call.number("offset"), "its ends are offsets, which converters do not write")
    kept = list(_slices(call, shape, begin, end, strides))
    call.gives([len(part) for part in kept if isinstance(part, range)])
    values = call.few(0) if len(shape) == len(kept) == 1 else None
    if values is not None:
        part = kept[0]
        call.learn([values[part]] if isinstance(part, int) else [values[i] for i in part])


def _slices(call: Call, shape: Shape, begin: Shape, end: Shape, strides: Shape) -> Iterator[range | int]:
    """What is taken along each dimension, a new one as range(1); an index where the dimension goes."""
    begin_mask, end_mask, ellipsis, new, shrink = (
        call.number(f"{name}_mask") for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    )
    call.require(bin(ellipsis & 0xFFFFFFFF).count("1") <= 1, "more than one ellipsis")
    axis = 0
    for i, (first, last, stride) in enumerate(zip(begin, end, strides, strict=True)):
        if ellipsis >> i & 1:
            after = sum(1 for j in range(i + 1, len(begin)) if not new >> j & 1)
            # LiteRT 2.3.0 takes it for one dimension then, and shifts what follows it.
            call.require(axis < len(shape) - after, "an ellipsis stands for no dimension")
            while axis < len(shape) - after:
                yield range(shape[axis])
                axis += 1
            continue
        if new >> i & 1:
            yield range(1)
            continue
        call.require(axis < len(shape), f"it slices more than the {len(shape)} dimensions of its input")
        call.require(0 < abs(stride) <= MOST_STEP, f"a stride is {stride}")
        size, axis = shape[axis], axis + 1
        if shrink >> i & 1:
            at = 0 if begin_mask >> i & 1 else first
            call.require(stride == 1 and -size <= at < size, f"index {at} of {size}, by {stride}")
            yield at % size
            continue
        part = range(size)[
            slice(None if begin_mask >> i & 1 else first, None if end_mask >> i & 1 else last, stride)
        ]
        call.require(len(part) > 0, f"{first}:{last}:{stride} takes nothing of {size}")
        yield part
    for size in shape[axis:]:
        yield range(size)


def gather(call: Call) -> None:
    """GATHER; indices that are constants must be in range, computed ones are checked by the kernel."""
    call.same_types(0)
    call.indices(1)
    shape, taken = call.shape(0), call.shape(1)
    axis = call.axis(call.number("axis"), len(shape))
    batch = call.number("batch_dims")
    batch = batch + len(taken) if batch < 0 else batch
    call.require(
        0 <= batch <= min(axis, len(taken)) and shape[:batch] == taken[:batch],
        f"batch_dims {batch} of {list(shape)} and {list(taken)}",
    )
    _in_range(call, call.constant(1), shape[axis])
    call.gives((*shape[:axis], *taken[batch:], *shape[axis + 1 :]))
    values, places = call.few(0), call.few(1)
    if values is not None and places is not None:
        call.learn([values[place] for place in places])


def gather_slices(call: Call) -> None:
    """GATHER_ND."""
    call.same_types(0)
    call.indices(1)
    shape, taken = call.shape(0), call.shape(1)
    call.require(bool(taken) and 1 <= taken[-1] <= len(shape), f"indices of {list(taken)} into {list(shape)}")
    depth = taken[-1]
    values = call.constant(1)
    for axis in range(depth if values else 0):
        _in_range(call, values[axis::depth] if values else None, shape[axis])
    call.gives((*taken[:-1], *shape[depth:]))


def _in_range(call: Call, values: Sequence[int] | None, size: int) -> None:
    if values:
        low, high = min(values), max(values)
        call.require(low >= 0 and high < size, f"indices from {low} to {high} into {size}")


def embed(call: Call) -> None:
    """EMBEDDING_LOOKUP: inputs are the numbers and the table."""
    call.same_types(1)
    call.require(call.input(0).type == "INT32", "its indices must be int32")
    rows = call.rank(0, 1)
    table = call.shape(1)
    call.require(len(table) >= 2, "its table must have two dimensions or more")
    _in_range(call, call.constant(0), table[0])
    call.gives((*rows, *table[1:]))


def reverse(call: Call) -> None:
    """REVERSE_V2."""
    call.same_types(0)
    axes = [call.axis(value, len(call.shape(0))) for value in call.values(1)]
    call.require(bool(axes) and len(set(axes)) == len(axes), f"axes {axes}")
    call.gives(call.shape(0))


def tile(call: Call) -> None:
    """TILE."""
    call.same_types(0)
    shape, times = call.shape(0), call.values(1, wide=True)
    call.require(
        len(times) == len(shape) and min(times, default=1) > 0, f"{listed(times)} times {list(shape)}"
    )
    call.gives([size * count for size, count in zip(shape, times, strict=True)])


def broadcast_to(call: Call) -> None:
    """BROADCAST_TO."""
    call.same_types(0)
    shape, wanted = call.shape(0), call.values(1, wide=True)
    padded = (1,) * (len(wanted) - len(shape)) + shape
    fits = len(wanted) >= len(shape) and all(
        a in (1, b) and b > 0 for a, b in zip(padded, wanted, strict=True)
    )
    call.require(fits, f"{list(shape)} cannot be broadcast to {listed(wanted)}")
    call.gives(wanted)


def fill(call: Call) -> None:
    """FILL: inputs are the shape and the value."""
    call.same_types(1)
    call.require(prod(call.shape(1)) == 1 and not call.shape(1), "its value is not a scalar")
    call.gives(call.values(0, wide=True))


def shape_of(call: Call) -> None:
    """SHAPE; what it gives is known, because all shapes are static."""
    call.require(call.outputs[0].type in ("INT32", "INT64"), "its output must be int32 or int64")
    call.gives((len(call.shape(0)),))
    call.learn(call.shape(0))


def rank_of(call: Call) -> None:
    """RANK."""
    call.require(call.outputs[0].type == "INT32", "its output must be int32")
    call.gives(())
    call.learn([len(call.shape(0))])


def space_to_depth(call: Call) -> None:
    """SPACE_TO_DEPTH and DEPTH_TO_SPACE."""
    call.same_types(0)
    batch, height, width, channels = call.rank(0, 4)
    block = call.positive("block_size", 1024)
    if call.operator.opcode == "SPACE_TO_DEPTH":
        call.require(height % block == width % block == 0, f"blocks of {block} in {height} x {width}")
        call.gives((batch, height // block, width // block, channels * block * block))
    else:
        call.require(channels % (block * block) == 0, f"blocks of {block} from {channels} channels")
        call.gives((batch, height * block, width * block, channels // (block * block)))


def space_to_batch(call: Call) -> None:
    """SPACE_TO_BATCH_ND: inputs are the data, the blocks and the paddings."""
    shape, blocks, edges = _blocks(call)
    sizes = [n + edges[2 * i] + edges[2 * i + 1] for i, n in enumerate(shape[1 : 1 + len(blocks)])]
    call.require(
        all(size % block == 0 for size, block in zip(sizes, blocks, strict=True)),
        f"blocks of {list(blocks)} in {sizes}",
    )
    inner = [size // block for size, block in zip(sizes, blocks, strict=True)]
    call.gives((shape[0] * prod(blocks), *inner, *shape[1 + len(blocks) :]))


def batch_to_space(call: Call) -> None:
    """BATCH_TO_SPACE_ND: inputs are the data, the blocks and the crops."""
    shape, blocks, edges = _blocks(call)
    call.require(shape[0] % prod(blocks) == 0, f"blocks of {list(blocks)} from a batch of {shape[0]}")
    inner = [shape[1 + i] * block - edges[2 * i] - edges[2 * i + 1] for i, block in enumerate(blocks)]
    call.require(min(inner) > 0, f"crops {listed(edges)} leave nothing")
    call.gives((shape[0] // prod(blocks), *inner, *shape[1 + len(blocks) :]))


def _blocks(call: Call) -> tuple[Shape, Shape, Shape]:
    call.same_types(0)
    shape, blocks, edges = call.rank(0, 3, 4), call.values(1), call.values(2, 2)
    call.require(
        len(blocks) == len(shape) - 2 and min(blocks) > 0, f"blocks of {listed(blocks)} for {list(shape)}"
    )
    call.require(
        call.shape(2) == (len(blocks), 2) and min(edges) >= 0, f"paddings or crops of {listed(edges)}"
    )
    return shape, blocks, edges


def resize(call: Call) -> None:
    """RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR."""
    call.same_types(0)
    batch, _, _, channels = call.rank(0, 4)
    sizes = call.values(1)
    call.require(len(sizes) == 2 and min(sizes) > 0, f"the sizes {listed(sizes)}")
    both = call.number("align_corners") and call.number("half_pixel_centers")
    call.require(not both, "align_corners and half_pixel_centers exclude each other")
    call.gives((batch, *sizes, channels))


def update_slice(call: Call) -> None:
    """DYNAMIC_UPDATE_SLICE: the kernel brings the start into range."""
    call.same_types(0, 1)
    call.indices(2)
    shape, update = call.shape(0), call.shape(1)
    fits = len(shape) == len(update) and all(u <= s for u, s in zip(update, shape, strict=True))
    call.require(fits and call.shape(2) == (len(shape),), f"{list(update)} into {list(shape)}")
    call.gives(shape)
