"""Which compiler a device has, and what its result is called in a bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgekit.bundle import EDGETPU_MODEL, VELA_MODEL
from edgekit.errors import CompilerError
from edgekit_converters.compilers.compiled import Compiled
from edgekit_converters.compilers.edgetpu import compile_edgetpu, find_edgetpu_compiler
from edgekit_converters.compilers.vela import compile_vela, find_vela
from edgekit_targets.target import Kind, Target


@dataclass(frozen=True, slots=True)
class Compiler:
    """The compiler of an accelerator.

    Attributes:
        member: What its result is called in a bundle.
        find: Returns where it is installed, or raises with advice.
        compile: Takes the strictly int8 model and the device.
    """

    member: str
    find: Callable[[], Path]
    compile: Callable[[bytes, Target], Compiled]


COMPILERS = {
    Kind.EDGETPU: Compiler(EDGETPU_MODEL, find_edgetpu_compiler, compile_edgetpu),
    Kind.ETHOS_U: Compiler(VELA_MODEL, find_vela, compile_vela),
}


def compiler_of(target: Target) -> Compiler:
    """Returns the compiler for a device.

    Raises:
        CompilerError: The device needs none.
    """
    if target.kind not in COMPILERS:
        raise CompilerError(
            f"--compile: {target.name} has no accelerator with a compiler; it runs the int8 model as it is",
            hint="drop --compile",
        )
    return COMPILERS[target.kind]
