"""Rows for microcontrollers: TensorFlow Lite Micro on the workstation, and Vela's estimate for an Ethos-U."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgekit_converters.certify.certificate import Row
from edgekit_converters.certify.compare import MICRO, Difference, Tolerance, find_fault
from edgekit_targets.target import Kind, Target


def is_microcontroller(target: Target) -> bool:
    """Whether a target has no system that could be emulated, but kernels that run on the workstation."""
    return target.kind in (Kind.MICROCONTROLLER, Kind.ETHOS_U)


def certify_microcontroller(
    model: bytes,
    inputs: Sequence[np.ndarray],
    target: Target,
    tolerances: Mapping[str, Tolerance],
    timeout_s: float,
) -> tuple[list[Row], list[Mapping[str, object]]]:
    """Runs a model as the target's firmware would, or lets its compiler estimate it.

    Args:
        model: The .tflite.
        inputs: One array for each input, [samples, *shape without batch].
        target: Which.
        tolerances: What is allowed.
        timeout_s: How long it may take, in seconds.

    Returns:
        Rows against each of LiteRT's sets of kernels, and the compiler's estimates.

    Raises:
        MissingExtraError: tflite-micro or Vela is not installed.
        CompilerError: Vela refuses the model.
    """
    if target.kind is Kind.ETHOS_U:
        from edgekit_converters.micro.vela_row import vela_estimate

        return [], [vela_estimate(model, target).to_json()]
    from edgekit_converters.micro.certify import certify_micro

    tolerance = tolerances[MICRO]
    rows = []
    for found in certify_micro(model, inputs, board=target.name, timeout_s=timeout_s):
        where = f"{target.name}, {found.runtime} against LiteRT's {found.kernels} kernels"
        fault = None
        if not found.started:
            how = f" ({found.signal})" if found.signal else ""
            fault = f"{where}: does not run{how}: {found.error}"
        elif found.bit_exact is not None and found.max_step is not None:
            difference = Difference(found.bit_exact, found.max_step, found.top1_agreement)
            why = find_fault(difference, tolerance, found.samples)
            fault = None if why is None else f"{where}: is {why}"
        rows.append(
            Row(
                target.name,
                found.runtime,
                found.kernels,
                found.started,
                found.signal,
                found.bit_exact,
                found.max_step,
                found.top1_agreement,
                "x86-64",
                str(tolerance),
                fault,
            )
        )
    return rows, []
