"""A root folder for QEMU: a system's files by link, with a /proc/cpuinfo and /sys of the board's own.

QEMU 7.2 hands the workstation's own /proc/cpuinfo and /sys to the program, and LiteRT, which reads the processor's cores
there, then crashes while it makes an interpreter. Files below the folder that ``qemu -L`` names come first.
"""

from __future__ import annotations

from pathlib import Path

from edgekit_converters.certify.boards import Board

_CPU = "sys/devices/system/cpu"


def fake_files(board: Board) -> dict[str, str]:
    """The files of a board's /proc and /sys, by their paths below the root; empty for the processor at hand."""
    if board.processor is None:
        return {}
    wide = board.debian == "arm64"
    core = (
        "processor\t: {number}\n"
        "BogoMIPS\t: 108.00\n"
        f"Features\t: {' '.join(board.features)}\n"
        "CPU implementer\t: 0x41\n"
        f"CPU architecture: {8 if wide else 7}\n"
        "CPU variant\t: 0x0\n"
        f"CPU part\t: {board.processor.part}\n"
        "CPU revision\t: 3\n\n"
    )
    cpuinfo = "".join(core.format(number=number) for number in range(board.cores))
    span = f"0-{board.cores - 1}\n" if board.cores > 1 else "0\n"
    files = {f"{_CPU}/{name}": span for name in ("possible", "present", "online")}
    return files | {
        "proc/cpuinfo": f"{cpuinfo}Model\t\t: {board.title}\n",
        "proc/device-tree/model": f"{board.title}\0",
        f"{_CPU}/kernel_max": "255\n",
    }


def lay_over(root: Path, folder: Path, board: Board) -> None:
    """Fills an empty folder with links to a system's folders, and with the board's fakes.

    Args:
        root: The system's file system.
        folder: To fill.
        board: Whose processor is shown.
    """
    for entry in root.iterdir():
        if entry.name not in ("proc", "sys"):
            (folder / entry.name).symlink_to(entry.resolve())
    for name, text in fake_files(board).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
