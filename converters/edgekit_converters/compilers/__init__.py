"""Drives the compilers of accelerators that a user has installed, and reads what they did."""

from __future__ import annotations

from edgekit.errors import CompilerError, CompilerNotFoundError
from edgekit_converters.compilers.compiled import Compiled, Difference, differences

__all__ = ["Compiled", "CompilerError", "CompilerNotFoundError", "Difference", "differences"]
