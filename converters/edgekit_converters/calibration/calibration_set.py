"""`CalibrationSet`: chosen samples beside the model inputs they become, checked while they stream."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edgekit.errors import DataError
from edgekit.manifest import Preprocessing
from edgekit_converters.calibration.sample import InputSpec, Sample, SampleSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(slots=True, eq=False)
class CalibrationSet:
    """Chosen rows of a source. Iterating reads them anew, in ascending order.

    Every sample is checked for shape, dtype, NaN and infinity. A set for calibration must also have two
    samples or more that differ, and no input that is one and the same number throughout.

    Attributes:
        source: Of the samples.
        rows: Ascending.
        inputs: Of the float model.
        preprocessing: Input name -> how its raw samples become floats.
        for_calibration: False for a set that only measures: then one sample, or equal ones, are fine.
    """

    source: SampleSource
    rows: Sequence[int]
    inputs: Sequence[InputSpec]
    preprocessing: Mapping[str, Preprocessing]
    for_calibration: bool = True
    _fingerprint: str | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.for_calibration and len(self.rows) == 1:
            raise DataError(
                f"{self.source.description}: one sample sets no range",
                hint="give at least 20 samples, better 100 or more, and check --samples",
            )

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[Sample, dict[str, NDArray[np.float32]]]]:
        """Yields each sample with its model inputs: input name -> float32 of the input's shape, batch first.

        Raises:
            BadSampleError: A sample is broken; the message names it.
            DataError: The set as a whole cannot calibrate, or differs from what an earlier pass read.
        """
        # Here, so that naming a CalibrationSet does not import numpy.
        from edgekit_converters.calibration.checks import Watch, model_input
        from edgekit_converters.calibration.fingerprint import sample_digest

        watch = Watch(self.source.description)
        total = hashlib.sha256()
        for sample in self.source.read(self.rows):
            digest = sample_digest(sample)
            total.update(digest)
            inputs = {
                spec.name: model_input(sample, spec, self.preprocessing[spec.name]) for spec in self.inputs
            }
            watch.see(digest, inputs)
            yield sample, inputs
        self._remember(total.hexdigest())
        if self.for_calibration:
            watch.refuse_useless()

    def without(self, places: Collection[int]) -> CalibrationSet:
        """The same set without the samples at these places in its order."""
        left = set(places)
        if not left:
            return self
        return replace(self, rows=[row for place, row in enumerate(self.rows) if place not in left])

    def fingerprint(self) -> str:
        """SHA-256 over the content of all samples and labels in order, in hexadecimal.

        A finished pass has it already; without one, the samples are read.
        """
        if self._fingerprint is None:
            for _ in self:
                pass
        assert self._fingerprint is not None
        return self._fingerprint

    def _remember(self, fingerprint: str) -> None:
        if self._fingerprint not in (None, fingerprint):
            raise DataError(
                f"{self.source.description}: the samples are not the same as in the pass before",
                hint="nothing may write to them meanwhile, and a function must be deterministic: the same "
                "samples at every call, without shuffling, and randomness only from a fixed seed",
            )
        self._fingerprint = fingerprint
