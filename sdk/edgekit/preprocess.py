"""From a raw sample to the model's input and back: the one arithmetic that workstation and device share.

Everything here is arithmetic over numpy arrays, in float32 throughout, so that both sides compute the same bits.
A session does the same in one step and without allocating: `edgekit.feeding`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgekit.errors import InputError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from edgekit.manifest import Preprocessing

SPANS = {"uint8": (0, 255), "int16": (-32768, 32768)}
"""What `Preprocessing.range` maps to LO..HI. int16 ends at 32768, one above its largest value, so that
silence stays 0: x / 32768 is how wave files become -1..1 in tf.audio.decode_wav and in torchaudio.load."""


class ImageGeometry(NamedTuple):
    """Height, width and channels of a model input that takes images."""

    height: int
    width: int
    channels: int


def image_geometry(shape: tuple[int, ...], layout: str | None) -> ImageGeometry | None:
    """What images a model input of this shape takes.

    Args:
        shape: Of the input, batch first.
        layout: "NHWC", "NCHW", or None where nobody said it: then four dimensions that end in 1, 3 or 4 are
            NHWC.

    Returns:
        None where the shape is not an image's, or where that depends on a layout that nobody said.
    """
    if len(shape) != 4:
        return None
    if layout == "NCHW":
        return ImageGeometry(height=shape[2], width=shape[3], channels=shape[1])
    if layout == "NHWC" or shape[3] in (1, 3, 4):
        return ImageGeometry(height=shape[1], width=shape[2], channels=shape[3])
    return None


def to_model_input(
    raw: NDArray[Any], spec_shape: tuple[int, ...], layout: str | None, preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """Makes the float input of a model out of one raw sample.

    Args:
        raw: The sample, of dtype `preprocessing.dtype` ("float32" also takes float16 and float64). For the
            source "image": height x width x channels in the colour order of the manifest, whatever the
            layout of the model. For the others: the shape of the model. The batch axis may be missing, and
            so may a channel axis of 1.
        spec_shape: Of the model's input, batch 1 first.
        layout: "NHWC", "NCHW" or None; "NCHW" turns samples that end in their channels around.
        preprocessing: What was said at conversion.

    Returns:
        A new C-contiguous array of shape `spec_shape`. NaN and infinity pass through; values beyond float32
        become infinity.

    Raises:
        InputError: The dtype or the shape does not fit.
    """
    raw = np.asarray(raw)
    check_dtype(raw, preprocessing.dtype)
    arranged = arrange(raw, spec_shape, layout, preprocessing.source)
    with np.errstate(over="ignore"):
        values = arranged.astype(np.float32, order="C")
    for operation, operand in scaling(preprocessing, len(spec_shape), layout):
        operation(values, operand, out=values)
    return values


def scaling(
    preprocessing: Preprocessing, rank: int, layout: str | None
) -> tuple[tuple[np.ufunc, NDArray[np.float32]], ...]:
    """What turns raw float32 values into model input: operations with their right operands, done in this order.

    Args:
        preprocessing: What was said at conversion.
        rank: Dimensions of the model's input.
        layout: Of the model's input; "NCHW" has its channels second, all others last.
    """
    channel_axis = 1 if layout == "NCHW" else rank - 1
    steps: list[tuple[np.ufunc, NDArray[np.float32]]] = []
    if preprocessing.range is not None:
        # By dividing: x / 127.5 - 1 is then bit for bit what Keras does.
        (first, last), (low, high) = SPANS[preprocessing.dtype], preprocessing.range
        steps.append((np.divide, np.array((last - first) / (high - low), np.float32)))
        steps.append((np.add, np.array(low - first * (high - low) / (last - first), np.float32)))
    if preprocessing.mean is not None:
        steps.append((np.subtract, _per_channel(preprocessing.mean, rank, channel_axis)))
    if preprocessing.std is not None:
        steps.append((np.divide, _per_channel(preprocessing.std, rank, channel_axis)))
    return tuple(steps)


def quantize(
    values: NDArray[Any], scale: float, zero_point: int, dtype: str = "int8"
) -> NDArray[np.integer[Any]]:
    """Turns real values into a quantized tensor's integers: round(values / scale) + zero_point, saturated.

    Divides in float32 and rounds half away from zero, like TFLite's reference QUANTIZE (AffineQuantize in
    tensorflow/lite/kernels/internal/reference/quantize.h). Its XNNPACK kernel rounds exact halves to even, as
    numpy does, and so can differ by a step there.

    Args:
        values: Real numbers of any shape; infinities saturate.
        scale: Real units a step, above 0.
        zero_point: The integer that means 0.
        dtype: "int8", "uint8" or "int16".

    Raises:
        InputError: A value is NaN.
    """
    with np.errstate(over="ignore"):
        steps = np.asarray(values).astype(np.float32)
        steps /= np.float32(scale)
    stored = np.empty(steps.shape, dtype)
    round_into(stored, steps, np.empty_like(steps), zero_point)
    return stored


def round_into(
    stored: NDArray[np.integer[Any]],
    steps: NDArray[np.float32],
    scratch: NDArray[np.float32],
    zero_point: int,
) -> None:
    """Rounds values that are counted in steps into a quantized tensor's integers; `quantize` says how.

    Args:
        stored: Takes the result.
        steps: Real values divided by the scale; overwritten.
        scratch: Of the same shape; overwritten.
        zero_point: The integer that means 0.

    Raises:
        InputError: A value is NaN.
    """
    limits = np.iinfo(stored.dtype)
    # Before rounding, which changes nothing at whole limits, so that infinities never meet a subtraction.
    np.clip(steps, limits.min - zero_point, limits.max - zero_point, out=steps)
    if np.isnan(steps.sum()):  # every other value is finite by now
        raise InputError("the input holds NaN, which no integer can stand for")
    np.trunc(steps, out=scratch)
    steps -= scratch
    steps += steps
    scratch += np.trunc(steps, out=steps)  # the dropped half as -1, 0 or 1, without the error of adding 0.5
    scratch += zero_point
    np.copyto(stored, scratch, casting="unsafe")


def dequantize(values: NDArray[Any], scale: float, zero_point: int) -> NDArray[np.float32]:
    """The real values that a quantized tensor stands for: (values - zero_point) * scale, in float32."""
    real = np.asarray(values).astype(np.float32)
    real -= np.float32(zero_point)
    real *= np.float32(scale)
    return real


def check_dtype(raw: NDArray[Any], dtype: str) -> None:
    """Refuses a sample of another dtype than `Preprocessing.dtype`; "float32" also takes float16 and float64.

    Raises:
        InputError: It is of another dtype.
    """
    if raw.dtype == dtype or (dtype == "float32" and raw.dtype.kind == "f"):
        return
    if dtype == "float32":
        hint = "the bundle wants data that are model input already: apply the training's own scaling first"
    else:
        hint = f"feed the raw {dtype} values: the scaling is part of the bundle and is applied here"
    raise InputError(f"the sample is {raw.dtype}, and the model takes {dtype}", hint=hint)


def arrange(raw: NDArray[Any], spec_shape: tuple[int, ...], layout: str | None, source: str) -> NDArray[Any]:
    """A view of the sample in the model's shape.

    Args:
        raw: One sample; the batch axis may be missing, and so may a channel axis of 1.
        spec_shape: Of the model's input, batch 1 first.
        layout: "NCHW" turns samples that end in their channels around.
        source: `Preprocessing.source`; images always end in their channels.

    Raises:
        InputError: Its shape does not fit.
    """
    wanted = spec_shape
    if layout == "NCHW" and len(spec_shape) == 4 and (source == "image" or not _fits(raw.shape, wanted)):
        batch, channels, height, width = spec_shape
        channels_last = (batch, height, width, channels)
        if _fits(raw.shape, channels_last):
            return raw.reshape(channels_last).transpose(0, 3, 1, 2)
        wanted = channels_last if source == "image" else spec_shape
    elif _fits(raw.shape, wanted):
        return raw.reshape(wanted)
    raise InputError(
        f"the sample has shape {raw.shape}, and {wanted[1:]} is wanted",
        hint=_shape_advice(raw.shape, wanted[1:], source),
    )


def _fits(got: tuple[int, ...], want: tuple[int, ...]) -> bool:
    """Whether only the batch axis, or a last axis of 1, or both are missing."""
    forms = [want, want[1:]]
    if len(want) > 2 and want[-1] == 1:
        forms += [want[:-1], want[1:-1]]
    return got in forms


def _shape_advice(got: tuple[int, ...], want: tuple[int, ...], source: str) -> str:
    """The likely remedy for a sample of shape `got` where the model takes `want` (without batch)."""
    if source == "audio":
        if len(want) == 1 or want[1:] == (1,):
            return f"cut or pad every clip to {want[0]} samples, as in the training"
        return "the model takes features, not sound: compute them as in the training, and give them as arrays"
    if len(got) == len(want) + 1 and got[1:] == want:
        return f"this looks like a batch of {got[0]}: give one sample at a time"
    if len(got) == len(want) == 3:
        return _image_shape_advice(got, want)
    return "bring the data to the shape that the model was trained on"


def _image_shape_advice(got: tuple[int, ...], want: tuple[int, ...]) -> str:
    if got == (want[2], want[0], want[1]):
        return "the data are channels first: transpose them with numpy.transpose(x, (1, 2, 0))"
    if got == (want[1], want[2], want[0]):
        return "the model is channels first: say --layout NCHW, and edgekit turns the data around"
    if got[:2] == want[:2]:
        return f"the model takes {want[2]} channels: --color converts photos, arrays must come with theirs"
    if got[2] == want[2]:
        return "the size differs: say --resize bilinear for images, or bring the data to the model's size"
    return "bring the data to the shape that the model was trained on"


def _per_channel(numbers: tuple[float, ...], rank: int, axis: int) -> NDArray[np.float32]:
    shape = [1] * rank
    shape[axis] = len(numbers)
    return np.asarray(numbers, np.float32).reshape(shape)
