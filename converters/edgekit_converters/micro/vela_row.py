"""Vela's own estimate for an Ethos-U, in the form of a row of a certificate. Nothing runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from edgekit_converters.compilers.vela import compile_vela
from edgekit_targets.forecast import Placement
from edgekit_targets.target import Target

KERNELS = "vela-estimate"


@dataclass(frozen=True, slots=True)
class VelaRow:
    """What Vela estimates. A figure that it does not report is None.

    Attributes:
        board: The name of the target.
        runtime: The compiler and its version, such as "ethos-u-vela 5.2.0".
        mapped: How many operators it gives to the Ethos-U.
        operators: How many the model has.
        cycles: Of one inference.
        inference_ms: Of one inference at `clock_mhz`.
        clock_mhz: That Vela assumes.
        sram_bytes: Used of the SRAM.
        dram_bytes: Used of the DRAM.
        on_chip_flash_bytes: Used of the flash on the chip.
        off_chip_flash_bytes: Used of the flash beside it.
    """

    board: str
    runtime: str
    mapped: int
    operators: int
    cycles: float | None
    inference_ms: float | None
    clock_mhz: float | None
    sram_bytes: float | None
    dram_bytes: float | None
    on_chip_flash_bytes: float | None
    off_chip_flash_bytes: float | None

    def to_json(self) -> dict[str, object]:
        """The row as plain JSON types, with the keys of every row of a certificate."""
        ran = dict.fromkeys(("started", "signal", "bit_exact", "max_step", "top1_agreement"))
        return {"board": self.board, "runtime": self.runtime, "kernels": KERNELS} | ran | asdict(self)


def vela_estimate(
    model: bytes, target: Target, *, executable: Path | None = None, timeout_s: float = 600.0
) -> VelaRow:
    """Compiles a strictly int8 model for an Ethos-U and keeps what Vela says of it.

    Args:
        model: The .tflite.
        target: A device with an Ethos-U.
        executable: Vela; None for the installed one.
        timeout_s: The longest that it may take.

    Raises:
        MissingExtraError: Vela is not installed.
        CompilerError: It fails, does not end, or takes nothing.
        MalformedModelError: The model is no sound .tflite.
    """
    compiled = compile_vela(model, target, executable=executable, timeout_s=timeout_s)
    figure = compiled.figures.get
    return VelaRow(
        board=target.name,
        runtime=compiled.tool,
        mapped=compiled.forecast.count(Placement.NPU),
        operators=len(compiled.forecast.ops),
        cycles=figure("cycles"),
        inference_ms=figure("inference_ms"),
        clock_mhz=figure("clock_mhz"),
        sram_bytes=figure("sram_bytes"),
        dram_bytes=figure("dram_bytes"),
        on_chip_flash_bytes=figure("on_chip_flash_bytes"),
        off_chip_flash_bytes=figure("off_chip_flash_bytes"),
    )
