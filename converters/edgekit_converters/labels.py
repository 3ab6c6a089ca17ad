"""The names of the classes, from where the user says they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit.errors import DataError
from edgekit_converters.calibration import CalibrationSet
from edgekit_converters.runner import TensorIO

FROM_FOLDER = "from-folder"


def read_labels(said: str | None, sets: Sequence[CalibrationSet]) -> tuple[str, ...] | None:
    """Reads class names.

    Args:
        said: A text file with one name a line, "from-folder", or None for no names.
        sets: The data whose class folders may name the classes; the first that does so decides.

    Raises:
        DataError: The file cannot be read or holds no name, or no data have class folders.
    """
    if said is None:
        return None
    if said == FROM_FOLDER:
        for each in sets:
            names = each.source.class_names()
            if names:
                return names
        raise DataError(
            "--labels from-folder: neither calibration nor evaluation data are in class folders",
            hint="give a text file with one class name a line, in the order of the model's outputs",
        )
    try:
        lines = Path(said).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise DataError(
            f"--labels {said}: {reason}", hint="a text file with one class name a line"
        ) from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise DataError(
            f"--labels {said}: there is no name in it", hint="a text file with one class name a line"
        )
    return names


def check_labels(labels: Sequence[str] | None, outputs: Sequence[TensorIO]) -> None:
    """Refuses class names that no output has a place for.

    Raises:
        DataError: No output's last dimension is as long as there are names.
    """
    if labels is None or any(output.shape[-1:] == (len(labels),) for output in outputs):
        return
    found = ", ".join(f"'{output.name}' {list(output.shape)}" for output in outputs)
    raise DataError(
        f"--labels has {len(labels)} names, and no output has that many classes: {found}",
        hint="one name for every class, in the order of the model's outputs; "
        "some models have a background class first",
    )
