"""What `make demo` runs: from training to a running int8 bundle, with the same commands that a user types."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "demo"


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def edgekit(*words: object) -> None:
    """Runs one edgekit command as a user would, and shows it first."""
    arguments = [str(word) for word in words]
    say("$ edgekit " + shlex.join(arguments))
    subprocess.run([Path(sys.executable).parent / "edgekit", *arguments], cwd=BUILD, check=True)


def main() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    say("Training a small CNN on 1,198 handwritten digits; 599 are held back.")
    trained = subprocess.run([sys.executable, HERE / "train.py", BUILD], stderr=subprocess.PIPE, text=True)
    if trained.returncode != 0:
        sys.exit(trained.stderr)
    edgekit(
        "convert", "digits.keras", "--target", "raspberry-pi-4", "--calibration", "calibration.npz",
        "--range", "0,1", "--evaluation", "evaluation.npz", "--labels", "labels.txt", "-o", "digits.edgekit",
    )  # fmt: skip
    held_back = sorted(path.relative_to(BUILD) for path in (BUILD / "held_back").glob("*.npy"))
    edgekit("run", "digits.edgekit", *held_back, "--unsigned", "--top", 1)
    say(f"The bundle: {BUILD / 'digits.edgekit'}")


if __name__ == "__main__":
    main()
