"""Frames of a camera, in the channel order that the model wants, for `Session.stream`.

On a Raspberry Pi, with picamera2::

    from picamera2 import Picamera2
    from edgekit.adapters.camera import picamera2_frames

    camera = Picamera2()
    camera.configure(camera.create_video_configuration(main={"format": "BGR888", "size": (640, 480)}))
    camera.start()
    for result in model.stream(picamera2_frames(camera, model), when_full="drop-oldest"):
        print(result.labels[0])

With OpenCV::

    import cv2
    from edgekit.adapters.camera import opencv_frames

    for result in model.stream(opencv_frames(cv2.VideoCapture(0), model, live=True), when_full="drop-oldest"):
        print(result.labels[0])

The camera stays yours: start it before, stop it after. Neither library is imported here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.adapters.images import HasManifest, fit, image_input
from edgekit.errors import InputError
from edgekit.manifest import TensorSpec

PICAMERA2_ORDERS: Final[Mapping[str, str]] = {
    "RGB888": "BGR",
    "BGR888": "RGB",
    "XRGB8888": "BGRX",
    "XBGR8888": "RGBX",
}
"""Format of a picamera2 stream -> order of the bytes in its arrays, which is the reverse of what the name suggests.

The names are libcamera's, and count from the most significant byte of a little-endian word. Sources:
https://github.com/raspberrypi/picamera2/blob/main/picamera2/request.py (the table in Helpers.make_image), and its
maintainer in https://github.com/raspberrypi/picamera2/issues/191 and /issues/848.
"""


class Picamera2Like(Protocol):
    """What is used of ``picamera2.Picamera2``."""

    def camera_configuration(self) -> Any:
        """What the camera is configured to: a dict by stream name, or None."""

    def capture_array(self, name: str) -> NDArray[Any]:
        """The next frame of a stream, a copy."""


class VideoCaptureLike(Protocol):
    """What is used of ``cv2.VideoCapture``."""

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """Whether frames can come."""

    def read(self) -> tuple[bool, Any]:
        """Whether there is a frame, and the frame."""


def picamera2_frames(
    camera: Picamera2Like,
    model: HasManifest,
    *,
    stream: str = "main",
    resize: str | None = None,
    input: str | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Frames of a Raspberry Pi camera, without end.

    Args:
        camera: A ``Picamera2``, configured and started. Cheapest is the model's own size, and "BGR888" for a model
            that wants RGB.
        model: The session that will run them.
        stream: Which of the camera's streams: "main" or "lores".
        resize: How frames of another size are stretched, as for `edgekit.adapters.images.sample`.
        input: The name of the model's input, where several take images.

    Returns:
        An iterator over uint8 frames, height x width x channels, in the model's channel order; a fourth channel
        (padding) is dropped.

    Raises:
        InputError: At once: it is no camera, is not configured, or delivers another format than those of
            PICAMERA2_ORDERS. While iterating: a frame does not fit the model.
    """
    spec = image_input(model, input)
    _require(camera, ("camera_configuration", "capture_array"), "a Picamera2: Picamera2()")
    configured = (camera.camera_configuration() or {}).get(stream)
    if not configured:
        raise InputError(
            f"the camera has no stream {stream!r} configured",
            hint='camera.configure(camera.create_video_configuration(main={"format": "BGR888"}))',
        )
    name = str(configured["format"])
    if name not in PICAMERA2_ORDERS:
        raise InputError(
            f"the camera's stream {stream!r} has the format {name}, which is not taken apart here",
            hint=f"configure one of {', '.join(PICAMERA2_ORDERS)}; for a model that wants RGB take BGR888",
        )
    return _picamera2(camera, stream, spec, PICAMERA2_ORDERS[name], resize)


def opencv_frames(
    capture: VideoCaptureLike,
    model: HasManifest,
    *,
    live: bool,
    resize: str | None = None,
    input: str | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Frames of an OpenCV ``VideoCapture``, whose colour images are BGR.

    Source of the order: https://docs.opencv.org/4.x/d8/dfe/classcv_1_1VideoCapture.html, CAP_PROP_CONVERT_RGB.

    Args:
        capture: Opened on a camera or a video file.
        model: The session that will run them.
        live: Whether it is a camera. ``read()`` reports the end of a file and a camera that was unplugged alike:
            with True that is an error, with False the end.
        resize: How frames of another size are stretched, as for `edgekit.adapters.images.sample`.
        input: The name of the model's input, where several take images.

    Returns:
        An iterator over uint8 frames, height x width x channels, in the model's channel order.

    Raises:
        InputError: At once: it is no capture, or not opened. While iterating: a live camera gives no frame any more,
            or a frame does not fit the model.
    """
    spec = image_input(model, input)
    _require(capture, ("isOpened", "read"), "a video capture: cv2.VideoCapture(0)")
    if not capture.isOpened():
        raise InputError(
            "the video capture is not opened",
            hint="is the number of the camera, or the path of the file, right?",
        )
    return _opencv(capture, spec, live, resize)


def _require(device: object, methods: tuple[str, ...], wanted: str) -> None:
    if not all(callable(getattr(device, method, None)) for method in methods):
        raise InputError(f"{type(device).__name__} gives no frames", hint=f"give {wanted}")


def _picamera2(
    camera: Picamera2Like, stream: str, spec: TensorSpec, order: str, resize: str | None
) -> Iterator[NDArray[np.uint8]]:
    while True:
        yield fit(camera.capture_array(stream), spec, order, resize)


def _opencv(
    capture: VideoCaptureLike, spec: TensorSpec, live: bool, resize: str | None
) -> Iterator[NDArray[np.uint8]]:
    while True:
        there, frame = capture.read()
        if not there:
            break
        # With CAP_PROP_CONVERT_RGB off, a monochrome camera gives height x width.
        yield fit(frame, spec, "GRAY" if np.ndim(frame) == 2 else "BGR", resize)
    if live:
        raise InputError("the camera gives no frame any more", hint="is it still plugged in?")
