"""edgekit on a device: load a bundle, run it.

Importing this package imports neither numpy nor a runtime: each name below is fetched when it is first used.
"""

from __future__ import annotations

from edgekit.version import __version__

TYPE_CHECKING = False  # type checkers take it for typing's, whose import would cost eight times the rest
if TYPE_CHECKING:
    from edgekit.backends.simulated import Simulation
    from edgekit.errors import EdgekitError
    from edgekit.opening import load
    from edgekit.result import Result
    from edgekit.session import Session
    from edgekit.trust import UNSIGNED, Trust

__all__ = ["UNSIGNED", "EdgekitError", "Result", "Session", "Simulation", "Trust", "__version__", "load"]

_HOMES = {
    "EdgekitError": "edgekit.errors",
    "Result": "edgekit.result",
    "Session": "edgekit.session",
    "Simulation": "edgekit.backends.simulated",
    "Trust": "edgekit.trust",
    "UNSIGNED": "edgekit.trust",
    "load": "edgekit.opening",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'edgekit' has no attribute '{name}'")
    from importlib import import_module

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
