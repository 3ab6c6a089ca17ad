"""What can be settled, and refused, before TensorFlow starts: a mistyped word must not cost a minute."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import NoDataError, OutputError, UnknownModelError
from edgekit.files import ensure_writable
from edgekit_converters.calibration import DataSpec, require_existing
from edgekit_converters.labels import FROM_FOLDER, read_labels
from edgekit_converters.metrics import Metric, parse_metric
from edgekit_converters.request import Request
from edgekit_converters.sources.kinds import identify


@dataclass(frozen=True, slots=True)
class Settled:
    """Parts of a request that are read once, at the beginning.

    Attributes:
        calibration: Where the samples are, which is known to exist.
        metric: The user's own one loaded, a built-in one by name; None lets the labels decide.
        labels: Class names out of a file, or None.
    """

    calibration: DataSpec
    metric: Metric | str | None
    labels: tuple[str, ...] | None


def settle(request: Request) -> Settled:
    """Checks a request as far as that takes no model.

    Raises:
        EdgekitError: Words are wrong, or a file that is named is not there or not what it should be.
        OutputError: The bundle cannot be written where it shall go.
    """
    request.check()
    if request.calibration is None:
        raise NoDataError(
            "there are no calibration data, and int8 ranges can only be set by real samples",
            hint="--calibration DATA: 100 to 500 samples of what the device will see (.npz, .npy, .csv or a folder)",
        )
    if isinstance(request.model, str | os.PathLike):
        identify(Path(request.model))
    if request.weights is not None and not Path(request.weights).is_file():
        raise UnknownModelError(f"--weights {request.weights}: there is no such file", hint="check its path")
    require_existing(request.calibration)
    if request.evaluation is not None:
        require_existing(request.evaluation)
    labels = None if request.labels in (None, FROM_FOLDER) else read_labels(str(request.labels))
    parsed = None if request.metric is None else parse_metric(request.metric)
    if request.output is not None:
        _refuse_overwriting(request.output, request)
        ensure_writable(request.output)
    return Settled(request.calibration, parsed if isinstance(parsed, Metric) else request.metric, labels)


def _refuse_overwriting(output: Path, request: Request) -> None:
    for source in (request.model, request.weights, request.calibration, request.evaluation, request.labels):
        read = Path(source) if isinstance(source, str | os.PathLike) else None
        if read is not None and read.exists() and output.exists() and output.samefile(read):
            raise OutputError(
                f"cannot write {output}: it is read as well", hint="choose another name with -o"
            )
