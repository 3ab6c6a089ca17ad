"""Fits the latency estimate to published times and shows what it is worth.

Prints for each engine its constants, how far the fit is from the times it was made of, and how far from the times of a
network, or of a whole family of networks, that was left out; then the whole table. The published times stand in
published_latencies.toml, the networks in networks.py.

    python benchmarks/latency.py            fit, cross-validation, table
    python benchmarks/latency.py --engines  the lines for edgekit_targets/latency.py

Engines that resemble each other are fitted together: each has its own constants, drawn towards those of the others (by
clock, and by what is known of the hardware: OFFSETS), because few of them were timed on enough different networks.
"""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

import numpy as np
from networks import operators
from scipy.optimize import least_squares

from edgekit_targets.cost import cost
from edgekit_targets.latency import ENGINES, FREE, Engine, accelerator_ms, processor_ms
from edgekit_targets.rules.edgetpu_memory import forecast_parameters

CHIP_BYTES = 8 << 20
PUBLISHED = Path(__file__).with_name("published_latencies.toml")
COSTS = ("mac_ns", "depthwise_ns", "byte_ns", "op_ns", "streamed_ns")


@dataclass(frozen=True)
class Time:
    """A published time."""

    engine: str
    network: str
    ms: float
    threads: int
    clock_mhz: float
    kernels: str
    board: str
    source: str
    left_out: str | None

    @property
    def family(self) -> str:
        return self.network.split()[0].split("-")[0]


@dataclass(frozen=True)
class Group:
    """Engines that are fitted together.

    Attributes:
        clocks: The clock of each, MHz; 0 for accelerators.
        prior: A first guess of each cost in ns (of a processor, times its clock in GHz).
        offsets: By how much a cost of an engine is expected to differ from the group's, as a factor.
        least: The least ns of a multiplication: what the hardware can do at all.
    """

    clocks: Mapping[str, float]
    prior: Sequence[float]
    offsets: Mapping[tuple[str, str], float]
    least: Mapping[str, float]


# int8 multiplications in a cycle at most, by Arm's software optimization guides: 8 where SMLAL takes 8 values (Cortex-A53
# and A72), 32 where SDOT takes 16 and two start in a cycle (Cortex-A76). An Edge TPU is sold with 4 TOPS, two a MAC.
GROUPS = (
    Group(
        {"Cortex-A53": 1400, "Cortex-A72": 1500, "Cortex-A76": 2400},
        (0.15, 1.0, 0.6, 20e3),
        {("Cortex-A76", "mac_ns"): 1 / 4},
        {"Cortex-A53": 1 / (8 * 1.4), "Cortex-A72": 1 / (8 * 1.5), "Cortex-A76": 1 / (32 * 2.4)},
    ),
    Group(
        {"Edge TPU, USB 3": 0, "Edge TPU, PCIe": 0, "Edge TPU, USB 2": 0},
        (0.5e-3, 0.02, 0.1e-3, 15e3, 1.7),
        {
            ("Edge TPU, USB 2", "streamed_ns"): 15,
            ("Edge TPU, USB 2", "op_ns"): 8,
            ("Edge TPU, USB 2", "byte_ns"): 5,
        },
        {"Edge TPU, USB 3": 0.5e-3, "Edge TPU, PCIe": 0.5e-3, "Edge TPU, USB 2": 0.5e-3},
    ),
    Group({"Cortex-M4F": 120}, (7.2, 9.6, 4.8, 1.2e3), {}, {}),
)
TOWARDS_GROUP, TOWARDS_PRIOR = 0.35, 0.25  # weights beside a published time's 1; in natural logarithms


def published() -> list[Time]:
    table = tomllib.loads(PUBLISHED.read_text("utf-8"))
    times = []
    for s in table["series"]:
        assert s["source"] in table["sources"], s["source"]
        reason = None if s.get("fitted", True) else s["reason"]
        times += [
            Time(s["engine"], network, ms, s.get("threads", 1), s.get("clock_mhz", 0), s["kernels"], s["board"],
                 s["source"], reason)
            for network, ms in s["ms"].items()
        ]  # fmt: skip
    return times


@cache
def _arrays(network: str, streams: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    """Multiplications, depthwise multiplications and bytes of each operator; operators that take time; bytes streamed."""
    ops = operators(network)
    costs = [cost(op) for op in ops]
    depthwise = np.array([op.opcode == "DEPTHWISE_CONV_2D" for op in ops])
    macs = np.array([c.macs for c in costs], float)
    moved = np.array([c.input_bytes + c.output_bytes if streams else c.bytes_moved for c in costs], float)
    timed = sum(op.opcode not in FREE for op in ops)
    streamed = forecast_parameters(ops, CHIP_BYTES).streamed_bytes if streams else 0
    return np.where(depthwise, 0, macs), np.where(depthwise, macs, 0), moved, timed, streamed


class Fit:
    """The constants of a group, as logarithms in one vector: the group's, each engine's, shares, the old kernels'."""

    def __init__(self, group: Group, times: Sequence[Time]) -> None:
        self.group, self.names, self.n = group, list(group.clocks), len(group.prior)
        self.streams = self.n == 5
        ghz = np.array([clock / 1000 or 1 for clock in group.clocks.values()])
        self.offsets = np.array(
            [[np.log(group.offsets.get((name, key), 1)) for key in COSTS[: self.n]] for name in self.names]
        ) - np.log(ghz)[:, None]  # fmt: skip
        start = np.concatenate(
            [
                np.log(group.prior),
                (np.log(group.prior) + self.offsets).ravel(),
                [1.9] * len(self.names),
                [np.log(1.4)],
            ]
        )
        low = np.full(len(start), -np.inf)
        for i, name in enumerate(self.names):
            low[self.n * (i + 1)] = np.log(group.least.get(name, 1e-9))
        # Several thread counts of one network say less than as many networks.
        same = Counter((t.engine, t.network, t.kernels) for t in times)
        self.weighted = [(t, same[t.engine, t.network, t.kernels] ** -0.5) for t in times]
        self.x = least_squares(self._misses, np.maximum(start, low + 1e-3), bounds=(low, np.inf)).x

    def _parts(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        n, engines = self.n, len(self.names)
        end = n * (engines + 1)
        return x[:n], x[n:end].reshape(engines, n), 1 / (1 + np.exp(-x[end : end + engines])), x[-1]

    def _predict(self, x: np.ndarray, t: Time) -> float:
        _, costs, parallel, older = self._parts(x)
        i = self.names.index(t.engine)
        ns = np.exp(costs[i])
        macs, depthwise, moved, timed, streamed = _arrays(t.network, self.streams)
        total = np.maximum(macs * ns[0] + depthwise * ns[1], moved * ns[2]).sum() + timed * ns[3]
        if self.streams:
            total += streamed * ns[4]
        else:
            shared = 1 - parallel[i] + parallel[i] / t.threads
            total *= shared * self.group.clocks[t.engine] / t.clock_mhz
        return float(np.log(total / 1e6) + (older if t.kernels == "builtin" else 0))

    def _misses(self, x: np.ndarray) -> np.ndarray:
        mean, costs, _, older = self._parts(x)
        shares = x[self.n * (len(self.names) + 1) : -1]
        return np.concatenate(
            [
                [(self._predict(x, t) - np.log(t.ms)) * weight for t, weight in self.weighted],
                (TOWARDS_GROUP * (costs - mean - self.offsets)).ravel(),
                TOWARDS_PRIOR * (mean - np.log(self.group.prior)),
                0.2 * (shares - 1.9),
                [0.5 * (older - np.log(1.4))],
            ]
        )

    def ms(self, t: Time) -> float:
        return float(np.exp(self._predict(self.x, t)))

    @property
    def older(self) -> float:
        return float(np.exp(self.x[-1]))

    def engine(self, name: str) -> Engine:
        _, costs, parallel, _ = self._parts(self.x)
        i = self.names.index(name)
        ns = [float(f"{value:.3g}") for value in np.exp(costs[i])]
        used = [t for t, _ in self.weighted if t.engine == name]
        return Engine(
            name,
            self.group.clocks[name],
            *(*ns, 0.0)[:5],
            parallel=0.0 if len({t.threads for t in used}) == 1 else round(float(parallel[i]), 2),
            factor=0.0,
            times=len(used),
            networks=len({t.network for t in used}),
        )


def left_out(group: Group, times: Sequence[Time], by: Callable[[Time], str]) -> dict[Time, float]:
    """What each time is estimated as by a fit that saw nothing of its network, or of its family."""
    estimates = {}
    for key in sorted({by(t) for t in times}):
        fit = Fit(group, [t for t in times if by(t) != key])
        estimates.update({t: fit.ms(t) for t in times if by(t) == key})
    return estimates


def _factors(estimates: Mapping[Time, float], engine: str | None = None) -> np.ndarray:
    ratios = np.array([ms / t.ms for t, ms in estimates.items() if engine in (None, t.engine)])
    return np.maximum(ratios, 1 / ratios)


def _line(what: str, factors: np.ndarray) -> str:
    within = (factors <= 2).mean()
    return (f"  {what:24s} median {np.median(factors):.2f}x   9 in 10 within {np.quantile(factors, 0.9):.2f}x   "
            f"worst {factors.max():.2f}x   within 2x {within:6.1%} of {len(factors)}")  # fmt: skip


def stated_factor(estimates: Mapping[Time, float], engine: str) -> float:
    """What edgekit says: the factor of nine in ten with families left out, rounded up to a tenth."""
    return float(np.ceil(round(np.quantile(_factors(estimates, engine), 0.9), 3) * 10) / 10)


def product_ms(t: Time, engine: Engine) -> float:
    """What the product's own code makes of a network, on the kernels that it would use."""
    if engine.streamed_ns:
        return accelerator_ms(operators(t.network), engine, CHIP_BYTES)
    return processor_ms(operators(t.network), engine, t.clock_mhz, t.threads)


def main(argv: Sequence[str]) -> int:
    times = published()
    fitted = [t for t in times if t.left_out is None]
    engines: list[Engine] = []
    fits: dict[str, Fit] = {}
    everything: dict[str, dict[Time, float]] = {"fit": {}, "network left out": {}, "family left out": {}}
    for group in GROUPS:
        own = [t for t in fitted if t.engine in group.clocks]
        fit = Fit(group, own)
        found = {
            "fit": {t: fit.ms(t) for t in own},
            "network left out": left_out(group, own, lambda t: t.network),
            "family left out": left_out(group, own, lambda t: t.family),
        }
        fits.update(dict.fromkeys(group.clocks, fit))
        for name in group.clocks:
            engine = replace(fit.engine(name), factor=stated_factor(found["family left out"], name))
            engines.append(engine)
            if "--engines" not in argv:
                print(f"{name}: {engine.times} times of {engine.networks} networks; " + ", ".join(
                    f"{key} {getattr(engine, key):g}" for key in (*COSTS, "parallel")))  # fmt: skip
                for what, estimates in found.items():
                    print(_line(what, _factors(estimates, name)))
        if any(t.kernels == "builtin" for t in own) and "--engines" not in argv:
            print(f"  older builtin kernels take {fit.older:.2f} times as long as XNNPACK's")
        for what, estimates in found.items():
            everything[what].update(estimates)
    if "--engines" in argv:
        for engine in engines:
            print("    Engine(" + ", ".join(repr(getattr(engine, f.name)) for f in fields(engine)) + "),")
        return 0
    print("\nall engines")
    for what, estimates in everything.items():
        print(_line(what, _factors(estimates)))
    _table(times, fits, everything["network left out"])
    if tuple(engines) != ENGINES:
        print("\nedgekit_targets/latency.py has other constants: take those of --engines")
        return 1
    return 0


def _table(times: Sequence[Time], fits: Mapping[str, Fit], unseen: Mapping[Time, float]) -> None:
    """The published times beside what the fit, and the fits that did not see the network, make of them."""
    print(f"\n{'engine':16s} {'network':32s} thr kernels  published       fit    unseen   source")
    for t in times:
        other = f"{unseen[t]:9.1f}" if t.left_out is None else "        -"
        why = "" if t.left_out is None else f" (not fitted: {t.left_out})"
        print(f"{t.engine:16s} {t.network:32s} {t.threads:3d} {t.kernels:8s} {t.ms:9.1f} {fits[t.engine].ms(t):9.1f} "
              f"{other}   {t.source}{why}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
