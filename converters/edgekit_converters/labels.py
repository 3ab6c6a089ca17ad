"""The names of the classes, from where the user says they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekit.errors import DataError
from edgekit.strictjson import UNPRINTABLE
from edgekit_converters.calibration import CalibrationSet

FROM_FOLDER = "from-folder"
_HINT = "give a text file with one class name a line, in the order of the model's outputs"


def read_labels(path: str) -> tuple[str, ...]:
    """Reads class names, one a line; empty lines are left out.

    Raises:
        DataError: The file cannot be read, holds no name, or one that no manifest may hold.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DataError(f"--labels {path}: {reason}", hint=_HINT) from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise DataError(f"--labels {path}: there is no name in it", hint=_HINT)
    for number, line in enumerate(lines, start=1):
        if UNPRINTABLE.search(line.strip()):
            raise DataError(f"--labels {path}: line {number} holds an unprintable character", hint=_HINT)
    return names


def folder_labels(sets: Sequence[CalibrationSet]) -> tuple[str, ...]:
    """The names of the class folders that data are in; the first set that has any decides.

    Raises:
        DataError: None has.
    """
    for each in sets:
        names = each.source.class_names()
        if names:
            return names
    raise DataError(
        "--labels from-folder: neither calibration nor evaluation data are in class folders", hint=_HINT
    )


def check_labels(labels: Sequence[str], outputs: Mapping[str, Sequence[int]]) -> None:
    """Refuses class names that no output has a place for.

    Args:
        labels: The names.
        outputs: Shape of each output by name.

    Raises:
        DataError: No output's last dimension is as long as there are names.
    """
    if any(tuple(shape[-1:]) == (len(labels),) for shape in outputs.values()):
        return
    found = ", ".join(f"'{name}' {list(shape)}" for name, shape in outputs.items())
    raise DataError(
        f"--labels has {len(labels)} names, and no output has that many classes: {found}",
        hint="one name for every class, in the order of the model's outputs; some models have a background class first",
    )
