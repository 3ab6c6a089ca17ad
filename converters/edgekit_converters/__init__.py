"""From a trained model to a calibrated, measured, strictly int8 bundle: what a workstation installs.

``from edgekit_converters import convert`` is the Python face of ``edgekit convert``, and ``diagnose`` that of
``edgekit diagnose``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit_converters.conversion import convert
    from edgekit_converters.diagnosis.conduct import diagnose

__all__ = ["convert", "diagnose"]


def __getattr__(name: str) -> object:
    # Lazily: a command of this package that needs neither numpy nor TensorFlow must not wait for them.
    if name == "convert":
        from edgekit_converters.conversion import convert

        return convert
    if name == "diagnose":
        from edgekit_converters.diagnosis.conduct import diagnose

        return diagnose
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
