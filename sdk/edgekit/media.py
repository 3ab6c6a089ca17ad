"""From files to raw arrays: photos, wave files and .npy. What comes out still needs `edgekit.preprocess`."""

from __future__ import annotations

import tokenize
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import BadSampleError, InputError, MissingExtraError, PreprocessingError
from edgekit.manifest import Preprocessing
from edgekit.preprocess import image_geometry

if TYPE_CHECKING:
    from PIL import Image

NPY_ERRORS = (
    OSError, ValueError, EOFError, MemoryError, OverflowError, SyntaxError, tokenize.TokenError
)  # fmt: skip
"""What numpy raises on files that are cut off, damaged or something else."""

# Pillow's modes of 8 bits a channel: https://pillow.readthedocs.io/en/stable/handbook/concepts.html#modes
_GRAY_MODES = frozenset({"1", "L", "LA", "La"})
_COLOR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"})


def read_image(
    path: Path, size: tuple[int, int] | None, resize: str | None, color: str, *, color_to_gray: bool = True
) -> NDArray[np.uint8]:
    """Reads a photo: turned upright as its EXIF orientation says, without transparency, first frame only.

    Args:
        path: Of a JPEG, PNG, or whatever else Pillow reads with 8 bits a channel.
        size: Height and width in pixels that are wanted, or None for those of the file.
        resize: How a photo of another size is stretched to `size`: one of `edgekit.manifest.RESIZERS`. None:
            refused.
        color: Order of the channels in the result: "RGB", "BGR" or "GRAY" (ITU-R 601-2 luma).
        color_to_gray: Whether a colour photo may become "GRAY".

    Returns:
        Height x width x channels (3, or 1 for "GRAY").

    Raises:
        BadSampleError: The file is not a whole image, or has another size and nothing says how to resize it.
        PreprocessingError: A colour photo where `color_to_gray` is False.
        MissingExtraError: Pillow is not installed.
    """
    image = _open_image(path)
    if image.mode not in _GRAY_MODES | _COLOR_MODES:
        raise BadSampleError(
            f"{path}: has more than 8 bits a channel (Pillow mode {image.mode})",
            hint="save it with 8 bits a channel, or give the values as arrays in an .npz",
        )
    if color == "GRAY" and not color_to_gray and image.mode in _COLOR_MODES:
        raise PreprocessingError(
            f"{path}: is in colour, and the model takes one channel",
            hint="say --color GRAY to convert colour photos to gray",
        )
    image = image.convert("L" if color == "GRAY" else "RGB")
    if size is not None and size != (image.height, image.width):
        if resize is None:
            raise BadSampleError(
                f"{path}: is {image.height} x {image.width} pixels (height x width), "
                f"and the model takes {size[0]} x {size[1]}",
                hint="say --resize bilinear to stretch every photo to the model's size, or crop them before",
            )
        image = _stretch(image, size, resize)
    pixels = np.asarray(image)
    if color == "GRAY":
        return pixels[:, :, np.newaxis]
    return np.ascontiguousarray(pixels[:, :, ::-1]) if color == "BGR" else pixels


def resize_image(pixels: NDArray[np.uint8], size: tuple[int, int], resize: str) -> NDArray[np.uint8]:
    """Stretches an image to another size, just as `read_image` does.

    Args:
        pixels: Height x width x channels, of 1, 3 or 4 channels in any order, or height x width.
        size: Height and width of the result, in pixels.
        resize: One of `edgekit.manifest.RESIZERS`; all but "nearest" average over the whole area when they
            shrink.

    Raises:
        InputError: It is not such an image.
        MissingExtraError: Pillow is not installed.
    """
    channels = pixels.shape[2:]
    if pixels.dtype != np.uint8 or channels not in {(), (1,), (3,), (4,)} or 0 in pixels.shape:
        raise InputError(f"cannot resize {pixels.dtype} data of shape {pixels.shape} as an image")
    image = _pillow().fromarray(np.ascontiguousarray(pixels[:, :, 0] if channels == (1,) else pixels))
    return np.asarray(_stretch(image, size, resize)).reshape(*size, *channels)


def fit_image(
    raw: NDArray[Any], spec_shape: tuple[int, ...], layout: str | None, preprocessing: Preprocessing
) -> NDArray[Any]:
    """Brings a raw image to the height and width of the model, where the preprocessing says how.

    Args:
        raw: A sample as `edgekit.preprocess.to_model_input` takes it, of any height and width.
        spec_shape: Of the model's input, batch 1 first.
        layout: Of the model's input.
        preprocessing: What was said at conversion.

    Returns:
        `raw` itself where there is nothing to do; `to_model_input` then judges its shape.

    Raises:
        InputError: It is not an image that can be resized.
        MissingExtraError: Pillow is needed and not installed.
    """
    geometry = image_geometry(spec_shape, layout)
    if preprocessing.resize is None or geometry is None:
        return raw
    image = raw[0] if raw.ndim == 4 and raw.shape[0] == 1 else raw
    size = (geometry.height, geometry.width)
    if image.shape[:2] == size or image.shape[2:] not in {(), (geometry.channels,)}:
        return raw
    return resize_image(image, size, preprocessing.resize)


def read_wav(path: Path) -> tuple[NDArray[np.int16], int]:
    """Reads a wave file of 16-bit PCM, mono.

    Returns:
        The samples, of shape (n,), and the sample rate in Hz.

    Raises:
        BadSampleError: It is not a whole file of that kind.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, count = file.getparams()[:4]
            data = file.readframes(count)
    except (wave.Error, EOFError, OSError, RuntimeError) as error:
        raise _unreadable(path, "a wave file", error, _WAV_HINT) from error
    if (channels, width) != (1, 2):
        raise BadSampleError(
            f"{path}: has {channels} channel(s) of {8 * width} bits, and 1 channel of 16 bits is wanted",
            hint=_WAV_HINT,
        )
    if len(data) != 2 * count:
        raise BadSampleError(f"{path}: is cut off: {len(data) // 2} of {count} samples are there")
    return np.frombuffer(data, "<i2").astype(np.int16, copy=False), rate


def read_npy(path: Path) -> NDArray[Any]:
    """Reads one array from an .npy file.

    Raises:
        BadSampleError: It is not a whole .npy file, or holds Python objects.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except NPY_ERRORS as error:
        raise _unreadable(path, "an array", error, "is the file whole?") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise BadSampleError(f"{path}: is an .npz of several arrays, and one .npy array is wanted")
    return array


_WAV_HINT = "convert it: ffmpeg -i IN.wav -ac 1 -c:a pcm_s16le OUT.wav"


def _open_image(path: Path) -> Image.Image:
    """The decoded, upright first frame."""
    pillow = _pillow()
    from PIL import ImageOps

    try:
        with pillow.open(path) as image:
            return ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow's decoders let almost any exception through on broken files
        hint = "is the file whole? Replace it or take it out of the folder"
        raise _unreadable(path, "an image", error, hint) from error


def _stretch(image: Image.Image, size: tuple[int, int], resize: str) -> Image.Image:
    height, width = size
    return image.resize((width, height), _pillow().Resampling[resize.upper()])


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("reading images", "images") from error
    return Image


def _unreadable(path: Path, kind: str, error: Exception, hint: str) -> BadSampleError:
    if isinstance(error, FileNotFoundError):
        return BadSampleError(
            f"{path}: there is no such file", hint="paths are taken from the current folder"
        )
    return BadSampleError(f"{path}: cannot be read as {kind}: {_reason(error)}", hint=hint)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
