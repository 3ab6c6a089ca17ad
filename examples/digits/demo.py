"""What `make demo` runs: from training to a running int8 bundle, with the same commands that a user types."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "demo"


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def edgekit(*words: object, code: int = 0) -> None:
    """Runs one edgekit command as a user would, and shows it first; it must end with that exit code."""
    arguments = [str(word) for word in words]
    say("$ edgekit " + shlex.join(arguments))
    environment = {**os.environ, "EDGEKIT_STATE": str(BUILD / "state")}  # the demo leaves nothing elsewhere
    command = [Path(sys.executable).parent / "edgekit", *arguments]
    done = subprocess.run(command, cwd=BUILD, env=environment, check=False)
    if done.returncode != code:
        sys.exit(f"the demo expected exit code {code}, and got {done.returncode}")


def flip_one_bit(bundle: Path, copy: Path) -> None:
    """Writes a copy whose model differs in one bit; the archive's checksums are made to fit, as an attacker would."""
    from edgekit.archive import read_archive, write_archive

    members = {name: bytearray(content) for name, content in read_archive(bundle.read_bytes()).items()}
    members["model.tflite"][len(members["model.tflite"]) // 2] ^= 1
    copy.write_bytes(write_archive({name: bytes(content) for name, content in members.items()}))


def main() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    for folder in ("keys", "state"):
        shutil.rmtree(BUILD / folder, ignore_errors=True)
    (BUILD / "keys").mkdir()
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
    say("So that a device can tell that a bundle is yours, sign it.")
    edgekit("keygen", "-o", "keys/release", "--no-passphrase")
    edgekit("sign", "digits.edgekit", "--key", "keys/release.key.pem")
    trust = ("--trust", "keys/release.pub.pem")
    edgekit("verify", "digits.edgekit", *trust, "--self-test")
    edgekit("run", "digits.edgekit", *held_back, *trust, "--top", 1)
    say("Somebody flips one bit of the model on its way to the device.")
    flip_one_bit(BUILD / "digits.edgekit", BUILD / "flipped.edgekit")
    edgekit("run", "flipped.edgekit", *held_back, *trust, code=1)
    say(f"The bundle: {BUILD / 'digits.edgekit'}")


if __name__ == "__main__":
    main()
