"""Rounding by a Hessian beside brute force, and refitting beside weights that are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgekit_converters.quantize.rounding import DAMPING, WEIGHT_LIMIT, Equations, compensated, refitted

INFINITE = (-np.inf, np.inf)


def equations(inputs: np.ndarray, targets: np.ndarray, bounds: tuple[float, float] = INFINITE) -> Equations:
    means = inputs.mean(axis=0, dtype=np.float64)
    centred = (inputs - means).astype(np.float32)
    return Equations(centred, means, targets.astype(np.float32), bounds)


def correlated(generator: np.random.Generator, positions: int, inputs: int) -> np.ndarray:
    """Inputs that share much of what they do, as neighbouring pixels do."""
    common = generator.normal(size=(positions, 1))
    return common + 0.2 * generator.normal(size=(positions, inputs))


def nearest(rows: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip(np.round(rows / scale[:, None]), -WEIGHT_LIMIT, WEIGHT_LIMIT)


def loss(steps: np.ndarray, rows: np.ndarray, scale: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """[outputs]: the power of the output's error."""
    error = steps * scale[:, None] - rows
    return np.einsum("oi,ij,oj->o", error, hessian, error)


@pytest.mark.parametrize("seed", range(8))
def test_compensated_comes_close_to_brute_force_where_inputs_go_together(seed: int) -> None:
    generator = np.random.default_rng(seed)
    inputs = correlated(generator, 400, 8)
    rows, scale = generator.normal(0, 3, (6, 8)), np.full(6, 1.0)
    hessian, _ = equations(inputs, inputs @ rows.T).hessian(DAMPING)
    found = loss(compensated(rows, scale, hessian), rows, scale, hessian)
    plain = loss(nearest(rows, scale), rows, scale, hessian)
    up_or_down = np.array(list(itertools.product((0, 1), repeat=8)))
    ones = np.ones(len(up_or_down))
    best = [loss(np.floor(row) + up_or_down, row, ones, hessian).min() for row in rows]
    # Greedy, so that a single output may come out a little worse; all of them together may not.
    assert found.sum() < 0.5 * plain.sum()
    assert found.sum() < 1.1 * sum(best)


def test_compensated_is_nearest_where_inputs_have_nothing_to_do_with_each_other() -> None:
    generator = np.random.default_rng(0)
    rows, scale = generator.normal(size=(4, 9)), generator.uniform(0.01, 0.1, 4)
    hessian = np.diag(generator.uniform(0.1, 5, 9))
    assert np.array_equal(compensated(rows, scale, hessian), nearest(rows, scale))


def test_compensated_stays_within_the_limit_and_whole() -> None:
    generator = np.random.default_rng(2)
    rows = generator.normal(size=(5, 12))
    scale = np.abs(rows).max(axis=1) / WEIGHT_LIMIT
    scale[0] /= 3  # weights that do not fit at all
    hessian, _ = equations(correlated(generator, 300, 12), np.zeros((300, 5))).hessian(DAMPING)
    steps = compensated(rows, scale, hessian)
    assert np.abs(steps).max() == WEIGHT_LIMIT
    assert np.array_equal(steps, np.round(steps))


def test_depthwise_batch_is_the_same_as_one_at_a_time() -> None:
    generator = np.random.default_rng(3)
    inputs = np.stack([correlated(generator, 200, 9) * power for power in (0.1, 1, 7)], axis=2)
    rows, scale = generator.normal(0, 2, (3, 9)), np.array([0.7, 1.0, 0.3])
    targets = np.einsum("pio,oi->po", inputs, rows) + generator.normal(0, 0.3, (200, 3))
    together = equations(inputs, targets)
    hessian, added = together.hessian(0.1)
    fitted, _ = refitted(together, rows, 0.1)
    assert hessian.shape == (3, 9, 9)
    for output in range(3):
        alone = equations(inputs[:, :, output], targets[:, [output]])
        mine, mine_added = alone.hessian(0.1)
        assert np.allclose(hessian[output], mine, rtol=1e-5)
        assert added[output] == pytest.approx(mine_added, rel=1e-5)
        assert np.allclose(fitted[output], refitted(alone, rows[[output]], 0.1)[0], atol=1e-5)
        assert np.allclose(together.outputs(rows)[:, [output]], alone.outputs(rows[[output]]), atol=1e-4)
        bias = together.bias(rows, targets)[output]
        assert bias == pytest.approx(alone.bias(rows[[output]], targets[:, [output]])[0], abs=1e-4)
    # One order of inputs serves all outputs; with hessians of one diagonal it is that of each alone.
    shared = hessian / np.sqrt(np.einsum("oii,ojj->oij", hessian, hessian))
    batch = compensated(rows, scale, shared)
    for output in range(3):
        single = compensated(rows[[output]], scale[[output]], shared[output])
        assert np.array_equal(batch[output], single[0])


def test_refitted_with_a_huge_ridge_keeps_the_float_weights() -> None:
    generator = np.random.default_rng(4)
    inputs, rows = correlated(generator, 300, 6), generator.normal(size=(4, 6))
    wild = equations(inputs, generator.normal(0, 10, (300, 4)))
    fitted, targets = refitted(wild, rows, 1e6)
    assert np.allclose(fitted, rows, atol=1e-3)
    assert np.array_equal(targets, wild.targets)
    assert not np.allclose(refitted(wild, rows, 0.01)[0], rows, atol=0.1)


def test_refitted_recovers_the_weights_behind_noise() -> None:
    generator = np.random.default_rng(5)
    truth = generator.normal(size=(3, 6))
    inputs = generator.normal(0.5, 1, (4000, 6))
    targets = inputs @ truth.T + 2 + generator.normal(0, 0.2, (4000, 3))
    wrong = truth + generator.normal(0, 0.5, truth.shape)
    system = equations(inputs, targets)
    fitted, fitted_to = refitted(system, wrong, 1e-3)
    assert np.abs(fitted - truth).max() < 0.05 < np.abs(wrong - truth).max()
    assert system.bias(fitted, fitted_to) == pytest.approx(np.full(3, 2.0), abs=0.1)


def test_targets_beyond_a_bound_need_not_be_met() -> None:
    """What a RELU cuts off says only that it is cut off: letting it go leaves more for what passes."""
    generator = np.random.default_rng(6)
    inputs = generator.normal(size=(2000, 4))
    before = inputs @ np.array([[1.0, -0.5, 0.3, 0.8]]).T
    targets = np.where(before < 0, 6 * before, before)  # far down where nothing passes
    hinged = equations(inputs, targets, (0.0, np.inf))
    plain = equations(inputs, targets)
    start = np.zeros((1, 4))

    def error(system: Equations) -> float:
        rows, fitted_to = refitted(system, start, 1e-3)
        answers = np.maximum(system.outputs(rows) + fitted_to.mean(axis=0), 0)
        return float(np.square(answers - np.maximum(targets, 0)).mean())

    assert error(hinged) < 0.5 * error(plain)
    _, fitted_to = refitted(hinged, start, 1e-3)
    passing = targets > 0
    assert np.array_equal(fitted_to[passing], hinged.targets[passing])
    assert (fitted_to[~passing] <= 0).all()
