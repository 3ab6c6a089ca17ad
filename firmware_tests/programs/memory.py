"""Prints the peak of resident memory in KiB, after 50 runs and after 2,000 more: ``memory.py BUNDLE INPUTS.npz``."""

import json
import resource
import sys
import warnings

import numpy as np

import edgekit

warnings.simplefilter("ignore")  # that the bundle runs unsigned
sample = np.load(sys.argv[2])["input.0"][0]
peaks = []
with edgekit.load(sys.argv[1], trust=edgekit.UNSIGNED) as model:
    for runs in (50, 2000):
        for _ in range(runs):
            model.run_quantized(sample)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(json.dumps(peaks))
