"""Calibration and evaluation data: from whatever holds them to checked model inputs, one sample at a time.

The nouns, in the order in which data pass through them:

- `SaidPreprocessing`: what the user said about raw data; `resolving.resolve_preprocessing` turns it into the
  manifest's `Preprocessing`, or refuses because it is unclear.
- `SampleSource`: a reader. `open_samples` picks the one that fits the content: ``arrays`` (.npz, .npy),
  ``files`` (folders of photos or wave files), ``tables`` (.csv), ``functions`` (Python).
- `choose`: which rows of a source are used.
- `CalibrationSet`: those rows, streamed as pairs of the raw `Sample` and its float32 model inputs, checked
  on the way. `open_set` does all of the above in one call.

No reader holds more than a sample and the labels in memory. Importing this package imports neither numpy nor
a reader.
"""

from edgekit_converters.calibration.calibration_set import CalibrationSet
from edgekit_converters.calibration.choosing import choose
from edgekit_converters.calibration.opening import DataSpec, open_samples, open_set, require_existing
from edgekit_converters.calibration.said import SaidPreprocessing
from edgekit_converters.calibration.sample import InputSpec, Sample, SampleSource

__all__ = [
    "CalibrationSet",
    "DataSpec",
    "InputSpec",
    "SaidPreprocessing",
    "Sample",
    "SampleSource",
    "choose",
    "open_samples",
    "open_set",
    "require_existing",
]
