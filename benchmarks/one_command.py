"""The three models of the data folder, as they were downloaded, with one command each.

    python benchmarks/one_command.py --data FOLDER

The data hold no labels for the person detector: it is calibrated on the photos at hand, and its accuracy is
not measured.
"""

from __future__ import annotations

import argparse
import shlex
import tempfile
from pathlib import Path

from commands import EDGEKIT, output_of

COMMANDS = (
    "convert models/mobilenet_v1_0.25_224.h5 --target raspberry-pi-4 --range -1,1 "
    "--calibration imagenet-sample/calibration --evaluation imagenet-sample/evaluation -o mobilenet.edgekit",
    "convert models/mobilenet_v1_0.25_96_vww.h5 --target raspberry-pi-4 --range 0,1 --resize bilinear "
    "--calibration imagenet-sample/calibration -o person.edgekit",
    "convert models/ds_cnn_kws_saved_model --target raspberry-pi-4 "
    "--calibration speech-commands.npz#mfcc -o keywords.edgekit",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    data = parser.parse_args().data.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for entry in data.iterdir():
            (folder / entry.name).symlink_to(entry)
        for command in COMMANDS:
            print(f"$ edgekit {command}", flush=True)
            print(output_of([EDGEKIT, *shlex.split(command)], folder))


if __name__ == "__main__":
    main()
