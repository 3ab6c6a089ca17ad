"""An IoT app in one loop: frames come faster than the model answers, the newest counts, and a lost device is reopened.

    python examples/live/app.py digits.edgekit FRAMES_FOLDER             # on the processor, or the Edge TPU of the bundle
    python examples/live/app.py digits.edgekit FRAMES_FOLDER --simulate  # on a slow device that is unplugged for a while

FRAMES_FOLDER holds one uint8 frame a file (.npy); they stand in for a camera, for which `edgekit.adapters.camera` has
`picamera2_frames` and `opencv_frames`. What is simulated takes the place of the runtime alone: preprocessing, labels,
streams and errors are those of the real thing, and the answers mean nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import edgekit
from edgekit.backends.faults import Unplug
from edgekit.errors import EdgekitError, SessionError
from edgekit.trust import UnsignedBundleWarning

MOST_REOPENED = 5


class Camera:
    """Frames at their own pace, whoever waits for them.

    A stream closes what it was given, if that can be closed; this cannot, so that it survives the session.
    """

    def __init__(self, folder: Path, fps: float) -> None:
        self._paths = iter(sorted(folder.glob("*.npy")))
        self._pause_s = 1 / fps

    def __iter__(self) -> Iterator[np.ndarray]:
        return self

    def __next__(self) -> np.ndarray:
        time.sleep(self._pause_s)
        return np.load(next(self._paths))


def watch(bundle: Path, camera: Camera, device: str | edgekit.Simulation) -> int:
    """Answers frames until there are no more; returns how many were answered."""
    answered = reopened = 0
    while True:
        try:
            with edgekit.load(bundle, trust=edgekit.UNSIGNED, device=device) as model:
                for result in model.stream(camera, when_full="drop-oldest"):
                    label, score = result.labels[0]
                    print(f"{label} {score:.2f} in {result.timing.invoke_ns / 1e6:.2f} ms on {result.device}")
                    answered += 1
                return answered
        except (
            SessionError
        ) as error:  # the device is gone, or the runtime failed: what a new session may mend
            reopened += 1
            print(f"reopening: {error}", file=sys.stderr)
            if reopened > MOST_REOPENED:
                raise
            time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("frames", type=Path)
    parser.add_argument("--fps", type=float, default=100)
    parser.add_argument("--simulate", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UnsignedBundleWarning)
    slow = edgekit.Simulation(latency_ms=4, jitter_ms=1, faults=[Unplug(after=3, opens=2)])
    camera = Camera(options.frames, options.fps)
    try:
        count = watch(options.bundle, camera, slow if options.simulate else "auto")
    except EdgekitError as error:
        sys.exit(f"{error}\nhint: {error.hint}")
    print(f"{count} frames answered")


if __name__ == "__main__":
    main()
