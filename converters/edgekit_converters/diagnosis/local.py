"""What happens inside of one layer on the float model's own values: what its weights, its step and its range cost there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit_converters.diagnosis.hybrid import Hybrid, State, through
from edgekit_converters.diagnosis.score import weights_of
from edgekit_converters.diagnosis.written import HIGHEST, LOWEST


@dataclass(frozen=True, slots=True)
class Local:
    """Powers of errors at the output of a layer that is fed exactly, relative to the power of that output.

    Attributes:
        weights: Of the layer with the int8 model's weights and biases; a bias correction counts here, which takes back
            what other layers do.
        shift: The part of `weights` that is the same in every sample and place of a channel: what a bias can take back.
        rounding: Of rounding its exact output to the steps of its scale.
        clipping: Of cutting its exact output to its range.
    """

    weights: float
    shift: float
    rounding: float
    clipping: float

    @property
    def cause(self) -> str:
        """The largest of the three: "weights", "rounding" or "clipping"; "nothing" where all are 0."""
        named = (
            ("weights", self.weights),
            ("rounding", self.rounding),
            ("clipping", self.clipping),
        )
        name, power = max(named, key=lambda pair: pair[1])
        return name if power > 0 else "nothing"


def measure(hybrid: Hybrid, number: int, states: Sequence[State]) -> Local:
    """Measures one block.

    Args:
        hybrid: The models.
        number: Of the block.
        states: The float model's tensors before it, of each sample.
    """
    chain = hybrid.chain
    block = chain.blocks[number]
    writes = frozenset(name for name in block.writes if name in chain.scales)
    exact, rounded = hybrid.block("float", number), hybrid.block("rounded", number)
    powers = np.zeros((len(states), 4))  # of the output, and of the error of weights, rounding and clipping
    shifts: dict[str, np.ndarray] = {}  # the sum of the weights' error, by channel
    sizes: dict[str, int] = {}
    for row, state in enumerate(states):
        inputs = {name: state[name] for name in block.reads}
        answers, changed = through(exact, inputs, writes), through(rounded, inputs, writes)
        for name in writes:
            error = changed[name].astype(np.float64) - answers[name]
            powers[row] += _powers(answers[name], error, *chain.scales[name])
            shifts[name] = shifts.get(name, 0.0) + _channel_sums(error)
            sizes[name] = sizes.get(name, 0) + error.size
    weights, rounding, clipping = (float(each) for each in weights_of(powers[:, 0]) @ powers[:, 1:])
    shift = sum(float(np.square(sums).sum()) * len(sums) / sizes[name] for name, sums in shifts.items())
    whole = float(powers[:, 1].sum())
    return Local(weights, weights * shift / whole if whole > 0 else 0.0, rounding, clipping)


def _powers(exact: np.ndarray, error: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """float64 [4]: the power of the output, of the weights' error, of rounding and of clipping."""
    values = exact.astype(np.float64)
    steps = values / scale + zero_point
    within = np.clip(steps, LOWEST, HIGHEST)
    parts = (values, error, (np.round(within) - within) * scale, (steps - within) * scale)
    return np.array([np.square(part).sum() for part in parts])


def _channel_sums(error: np.ndarray) -> np.ndarray:
    """float64 [channels], the last axis; one number where there is none."""
    result: np.ndarray = error.reshape(-1, error.shape[-1] if error.ndim else 1).sum(axis=0)
    return result
