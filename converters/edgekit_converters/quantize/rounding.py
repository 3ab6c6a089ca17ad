"""Rounding the weights of one linear layer so that its output changes least on real inputs: pure numpy.

Rounding each weight to the nearest step is best for the weights and not for the output: where two inputs go together, the
error of one weight can be taken back by the next. `compensated` does that in closed form (GPTQ: Frantar et al., "GPTQ:
Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023, algorithm 1, after the Optimal
Brain Surgeon of Hassibi and Stork, 1993). `refitted` goes before it where rounding is coarse: it solves for the weights
that, fed with the int8 model's own inputs, come closest to the float layer's outputs, as AdaRound's asymmetric
reconstruction does by gradients (Nagel et al., "Up or Down?", ICML 2020, section 4), here by ridge regression.

Everywhere: `rows` are weights [outputs, inputs]; a Hessian is the mean outer product of centred inputs, [inputs, inputs]
for all outputs or [outputs, inputs, inputs] for depthwise layers, where every output has inputs of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WEIGHT_LIMIT = 127
"""TFLite 8-bit quantization specification: weights lie in [-127, 127]."""

DAMPING = 0.01
"""Share of the mean diagonal that is added to a Hessian (GPTQ, section 3.3, step 3)."""

HINGE_STEPS = 3
"""Rounds of refitting with targets behind an activation function; on MobileNetV1 0.25 more changed nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """What one layer shall compute, at sampled positions.

    Attributes:
        inputs: float32 [positions, inputs], or [positions, inputs, outputs] of a depthwise layer: what the int8 model
            feeds it, centred on `means`.
        means: [inputs] or [inputs, outputs].
        targets: float32 [positions, outputs]: what the float layer computes there, before its activation function.
        bounds: Of that activation function: what lies beyond them need not be met.
    """

    inputs: np.ndarray
    means: np.ndarray
    targets: np.ndarray
    bounds: tuple[float, float]

    @property
    def depthwise(self) -> bool:
        """Whether every output has inputs of its own."""
        return self.inputs.ndim == 3

    def hessian(self, ridge: float) -> tuple[np.ndarray, np.ndarray]:
        """The damped Hessian, and what was added to its diagonal: [] or [outputs]."""
        count = len(self.inputs)
        if self.depthwise:
            taps = range(
                self.inputs.shape[1]
            )  # products of taps: batches of small matrices are slower by far
            pairs = [
                [np.einsum("po,po->o", self.inputs[:, i], self.inputs[:, j]) for j in taps] for i in taps
            ]
            plain = np.array(pairs).transpose(2, 0, 1) / count
        else:
            plain = self.inputs.T @ self.inputs / count
        size = plain.shape[-1]
        added = ridge * np.maximum(np.trace(plain, axis1=-2, axis2=-1).astype(np.float64) / size, 1e-12)
        return plain.astype(np.float64) + added[..., None, None] * np.eye(size), added

    def outputs(self, rows: np.ndarray) -> np.ndarray:
        """[positions, outputs] of those weights, without a bias."""
        if self.depthwise:
            answers = [self.inputs[:, tap] * rows[:, tap].astype(np.float32) for tap in range(rows.shape[1])]
            return np.asarray(sum(answers))
        return np.asarray(self.inputs @ rows.T.astype(np.float32))

    def correlations(self, targets: np.ndarray) -> np.ndarray:
        """[outputs, inputs]: how targets go with inputs."""
        centred = targets - targets.mean(axis=0)
        if self.depthwise:
            taps = [(centred * self.inputs[:, tap]).mean(axis=0) for tap in range(self.inputs.shape[1])]
            return np.stack(taps, axis=1)
        return np.asarray(centred.T @ self.inputs / len(self.inputs))

    def bias(self, rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """[outputs]: the bias that makes the mean output the mean target."""
        offsets = np.einsum("oi,io->o", rows, self.means) if self.depthwise else rows @ self.means
        return np.asarray(targets.mean(axis=0) - offsets)


def refitted(equations: Equations, rows: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights that come closest to the targets from the int8 model's own inputs.

    What an activation function cuts off need only stay cut off: where target and output both lie beyond a bound, there is
    no error. Solved by majorization: the targets beyond a bound follow the output, and the regression is done again.

    Args:
        equations: Of the layer.
        rows: [outputs, inputs], the float weights, from which the ridge lets them depart.
        ridge: Its strength, as a share of the mean diagonal of the Hessian.

    Returns:
        The weights [outputs, inputs], and the targets [positions, outputs] that they were fitted to.
    """
    low, high = equations.bounds
    hessian, added = equations.hessian(ridge)
    pull = np.asarray(added)[..., None] * rows
    targets = equations.targets
    fitted = rows
    for _ in range(HINGE_STEPS + 1 if np.isfinite((low, high)).any() else 1):
        right = equations.correlations(targets) + pull
        if equations.depthwise:
            fitted = np.linalg.solve(hessian, right[..., None])[..., 0]
        else:
            fitted = np.linalg.solve(hessian, right.T).T
        reached = equations.outputs(fitted) + targets.mean(axis=0)
        targets = np.where(equations.targets <= low, np.minimum(reached, low), equations.targets)
        targets = np.where(equations.targets >= high, np.maximum(reached, high), targets)
    return fitted, targets


def compensated(rows: np.ndarray, scale: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Rounds weight by weight, each time moving the weights that are still free to take the error back.

    Args:
        rows: [outputs, inputs], real values.
        scale: [outputs], the step of each output's weights.
        hessian: Damped, so that it has an inverse.

    Returns:
        float64 [outputs, inputs], whole numbers within WEIGHT_LIMIT.
    """
    # The inputs with most power first: their errors are taken back by all that follow.
    order = np.argsort(-np.diagonal(hessian, axis1=-2, axis2=-1).reshape(-1, hessian.shape[-1]).mean(axis=0))
    free = rows[:, order].astype(np.float64)
    inverse = np.linalg.inv(hessian[..., order[:, None], order])
    upper = np.swapaxes(np.linalg.cholesky(inverse), -1, -2)
    rounded = np.empty_like(free)
    for column in range(free.shape[1]):
        step = np.clip(np.round(free[:, column] / scale), -WEIGHT_LIMIT, WEIGHT_LIMIT)
        rounded[:, column] = step
        error = (free[:, column] - step * scale) / upper[..., column, column]
        free[:, column + 1 :] -= error[:, None] * upper[..., column, column + 1 :]
    result = np.empty_like(rounded)
    result[:, order] = rounded
    return result
