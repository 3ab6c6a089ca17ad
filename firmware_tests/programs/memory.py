"""Prints the peak of resident memory in KiB, after 50 runs and after 2,000 more: ``memory.py BUNDLE INPUTS.npz``."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

import edgekit


def peak_kib():
    """Of this program alone: getrusage counts what the process was before it became this program, too."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


warnings.simplefilter("ignore")  # that the bundle runs unsigned
sample = np.load(sys.argv[2])["input.0"][0]
peaks = []
with edgekit.load(sys.argv[1], trust=edgekit.UNSIGNED) as model:
    for runs in (50, 2000):
        for _ in range(runs):
            model.run_quantized(sample)
        peaks.append(peak_kib())
print(json.dumps(peaks))
