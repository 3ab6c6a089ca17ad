"""Errors of the compilers."""

from __future__ import annotations

from edgekit.errors import EdgekitError


class CompilerError(EdgekitError):
    """A compiler refuses the model, fails, or leaves nothing for the accelerator."""


class CompilerNotFoundError(CompilerError):
    """The compiler is not installed."""
