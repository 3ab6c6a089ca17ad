"""How long one inference would take on a device, before anyone owns it, with the error of the estimate.

The estimate is a roofline: an operator takes as long as its multiplications or as the bytes that it moves,
whichever is longer, and a fixed time beside. An accelerator also waits for the parameters that do not fit on it;
a processor shares all but a fixed part of the work among its threads.

The constants of an engine (a processor core, an Edge TPU on a bus) are fitted to published times of int8
networks, each with its source, by benchmarks/latency.py; it prints the fit, and what it misses by when a network,
or a whole family of networks, is left out. A device whose engine nobody has published a time of has no estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit_targets.cost import cost, macs
from edgekit_targets.ops import EIGHT_BIT, OpView
from edgekit_targets.placing import Placement
from edgekit_targets.rules.edgetpu_memory import forecast_parameters
from edgekit_targets.target import Cpu, Kind, Target

_CHIP_KIB = 8192  # of an Edge TPU whose device file does not say

FREE = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
"""Operators that are not executed at all: their result is their input. They only count what they move."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What multiplies, and how long that takes, at its clock and with one thread.

    Attributes:
        name: A processor core as `Cpu.model` names it, or an accelerator and its bus.
        clock_mhz: The clock that the times hold for; 0 for an accelerator, which has but one.
        mac_ns: Of a multiplication with its addition.
        depthwise_ns: The same in a depthwise convolution.
        byte_ns: Of a byte moved; of an accelerator, of a byte of activations.
        op_ns: Of an operator, whatever it does.
        streamed_ns: Of a byte of parameters that an accelerator cannot keep.
        parallel: The part of the work that threads share, 0 to 1.
        factor: Nine in ten published times are within this factor when their family is left out of the fit.
        times: How many published times it was fitted on.
        networks: Of how many networks.
    """

    name: str
    clock_mhz: float
    mac_ns: float
    depthwise_ns: float
    byte_ns: float
    op_ns: float
    streamed_ns: float
    parallel: float
    factor: float
    times: int
    networks: int


# Printed by benchmarks/latency.py, which also checks that they are what it fits. The published times and their
# sources stand in benchmarks/published_latencies.toml.
# fmt: off
ENGINES: tuple[Engine, ...] = (
    #      name               MHz   mac_ns    depthwise byte_ns   op_ns     streamed parallel factor times networks
    Engine("Cortex-A53",      1400, 0.172,    1.77,     0.649,    19600.0,  0.0,     0.83,    1.4,   44,   22),
    Engine("Cortex-A72",      1500, 0.0835,   1.1,      0.516,    19000.0,  0.0,     0.86,    1.3,   55,   10),
    Engine("Cortex-A76",      2400, 0.013,    0.33,     0.302,    11400.0,  0.0,     0.82,    2.0,   20,   5),
    Engine("Edge TPU, USB 3", 0,    0.000736, 0.087,    0.000101, 27000.0,  1.74,    0.0,     1.8,   21,   21),
    Engine("Edge TPU, PCIe",  0,    0.000739, 0.0303,   0.000101, 39300.0,  2.11,    0.0,     1.8,   13,   13),
    Engine("Edge TPU, USB 2", 0,    0.000774, 0.0473,   0.000503, 384000.0, 34.2,    0.0,     1.7,   4,    4),
    Engine("Cortex-M4F",      120,  48.0,     249.0,    39.7,     9600.0,   0.0,     0.0,     1.6,   4,    4),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """How long one inference would take.

    Attributes:
        ms: Milliseconds.
        factor: Nine in ten published times are within this factor of such an estimate.
        basis: What the estimate rests on, and what it leaves out, in one sentence.
    """

    ms: float
    factor: float
    basis: str

    @property
    def text(self) -> str:
        """The estimate as a person reads it: "about 17 ms (published fits are within 1.6x)"."""
        return f"about {_two_digits(self.ms)} ms (published fits are within {self.factor:g}x)"


def estimate(
    ops: Sequence[OpView], placements: Sequence[Placement] | None, target: Target, threads: int
) -> LatencyEstimate | None:
    """Estimates how long one inference takes.

    Args:
        ops: The operators of an int8 model.
        placements: Where each runs, as forecast; None for all of them on the accelerator, or on the processor
            of a device without one.
        target: The device.
        threads: Of the runtime on the processor; more than it has cores count as its cores.

    Returns:
        The estimate. None where nobody published a time of the device's engine, where the model is not int8 or
        cannot run, and where multiplications stay on a host that edgekit does not know.
    """
    places = placements if placements is not None else [Placement.TPU] * len(ops)
    if not _is_int8(ops) or Placement.UNSUPPORTED in places:
        return None
    if target.kind is Kind.EDGETPU:
        return _beside_processor(ops, places, target, threads)
    engine = _core(target.cpu)
    if engine is None or target.kind not in (Kind.CPU, Kind.MICROCONTROLLER):
        return None
    ms, conditions = _on_processor(ops, engine, target.cpu, threads)
    return LatencyEstimate(ms, engine.factor, f"{_fitted(engine)}; {conditions}")


def op_ns(op: OpView, engine: Engine) -> float:
    """Returns how long an operator takes on an engine with one thread, parameters that are streamed aside."""
    found = cost(op)
    moved = found.bytes_moved if engine.streamed_ns == 0 else found.input_bytes + found.output_bytes
    each = engine.depthwise_ns if op.opcode == "DEPTHWISE_CONV_2D" else engine.mac_ns
    fixed = 0.0 if op.opcode in FREE else engine.op_ns
    return max(found.macs * each, moved * engine.byte_ns) + fixed


def processor_ms(ops: Sequence[OpView], engine: Engine, clock_mhz: float, threads: int) -> float:
    """Returns how long operators take on a processor, in milliseconds.

    Args:
        ops: The operators.
        engine: Its core.
        clock_mhz: Its clock; times are taken to go with it.
        threads: How many share the work.
    """
    serial = 1 - engine.parallel
    shared = serial + engine.parallel / threads
    return sum(op_ns(op, engine) for op in ops) * shared * engine.clock_mhz / clock_mhz / 1e6


def accelerator_ms(ops: Sequence[OpView], engine: Engine, chip_bytes: int) -> float:
    """Returns how long operators take on an accelerator, in milliseconds.

    Args:
        ops: The operators that run on it.
        engine: It.
        chip_bytes: Memory on the chip.
    """
    streamed = forecast_parameters(ops, chip_bytes).streamed_bytes * engine.streamed_ns
    return (sum(op_ns(op, engine) for op in ops) + streamed) / 1e6


def _two_digits(ms: float) -> str:
    rounded = float(f"{ms:.2g}")
    return f"{rounded:g}" if rounded < 1e5 else f"{rounded:.0f}"


def _is_int8(ops: Sequence[OpView]) -> bool:
    """Whether most multiplications are of 8-bit values; the fits say nothing of others."""
    total = sum(map(macs, ops))
    eight = sum(macs(op) for op in ops if op.outputs[:1] and op.outputs[0].dtype in EIGHT_BIT)
    return 2 * eight >= total


def _core(cpu: Cpu | None) -> Engine | None:
    """Returns the engine of a processor, or None where nobody published a time of its core."""
    if cpu is None or cpu.model is None:
        return None
    return next((engine for engine in ENGINES if engine.name == cpu.model.value), None)


def _accelerator(target: Target) -> Engine | None:
    """Returns the engine of an Edge TPU on its bus, or None where nobody published a time of it."""
    chip = target.accelerator
    if chip is None or chip.bus is None:
        return None
    bus = chip.bus.value.replace("USB 3.0", "USB 3").replace("USB 2.0", "USB 2")
    name = f"{chip.model.value}, {bus.split(' Gen')[0]}"
    return next((engine for engine in ENGINES if engine.name == name), None)


def _fitted(engine: Engine) -> str:
    return f"fitted on {engine.times} published times of {engine.networks} networks on {engine.name}"


def _on_processor(ops: Sequence[OpView], engine: Engine, cpu: Cpu | None, threads: int) -> tuple[float, str]:
    """Returns the time on a processor, and the conditions it holds for."""
    clock = cpu.clock_mhz.value if cpu is not None and cpu.clock_mhz is not None else engine.clock_mhz
    cores = cpu.cores.value if cpu is not None and cpu.cores is not None else 1
    used = max(1, min(threads, cores))
    conditions = f"{used} thread{'s' if used > 1 else ''}, {clock:g} MHz"
    if cpu is None or cpu.clock_mhz is None:
        conditions += ", the clock of the board that was timed"
    elif clock != engine.clock_mhz:
        conditions += f", scaled from {engine.clock_mhz:g} MHz"
    return processor_ms(ops, engine, clock, used), conditions


def _beside_processor(
    ops: Sequence[OpView], places: Sequence[Placement], target: Target, threads: int
) -> LatencyEstimate | None:
    """Estimates a model of which an accelerator runs a part and its host the rest."""
    engine = _accelerator(target)
    on = [op for op, place in zip(ops, places, strict=True) if place is not Placement.CPU]
    off = [op for op, place in zip(ops, places, strict=True) if place is Placement.CPU]
    if engine is None or not on:
        return None
    chip = target.accelerator
    kib = chip.sram_kib.value if chip is not None and chip.sram_kib is not None else _CHIP_KIB
    ms, basis = accelerator_ms(on, engine, kib * 1024), _fitted(engine)
    host = _core(target.cpu)
    if not off:
        return LatencyEstimate(ms, engine.factor, basis)
    if host is not None:
        more, conditions = _on_processor(off, host, target.cpu, threads)
        basis += f"; {_count(off)} on the host's {host.name}, {conditions}"
        return LatencyEstimate(ms + more, max(engine.factor, host.factor), basis)
    if any(map(macs, off)):
        return None
    return LatencyEstimate(ms, engine.factor, f"{basis}; {_count(off)} on the host not counted")


def _count(ops: Sequence[OpView]) -> str:
    return f"{len(ops)} operator{'s' if len(ops) > 1 else ''}"
