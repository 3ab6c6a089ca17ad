"""What networks of the benchmarks are fed in place of the stored samples."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIZE = 96
BINS = 64


def enlarged(grey: np.ndarray) -> np.ndarray:
    """Images as a backbone for photos takes them: uint8 (n, 28, 28) to uint8 RGB (n, 96, 96, 3), bilinear."""
    large = np.stack(
        [np.asarray(Image.fromarray(each).resize((SIZE, SIZE), Image.Resampling.BILINEAR)) for each in grey]
    )
    return np.repeat(large[..., None], 3, axis=3)


def spectra(readings: np.ndarray) -> np.ndarray:
    """Magnitudes of the Fourier transform over time: (n, 128, axes) to float32 (n, 64, axes).

    Gravity and the gait stand a thousandfold above most bins, as in every spectrum without a logarithm.
    """
    magnitudes = np.abs(np.fft.rfft(readings.astype(np.float32), axis=1))
    return (magnitudes[:, :BINS] / np.sqrt(BINS)).astype(np.float32)
