"""The firewall of `edgekit_targets`, for the models of a bundle: which custom operators each of them may hold."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edgekit.bundle import EDGETPU_MODEL, MODEL, VELA_MODEL
from edgekit.errors import MalformedModelError

CUSTOM_OPS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        MODEL: frozenset(),
        EDGETPU_MODEL: frozenset({"edgetpu-custom-op"}),
        VELA_MODEL: frozenset({"ethos-u"}),
    }
)
"""Variant of a bundle -> the custom operators that its compiler puts in the place of what it took."""


def check_variant(name: str, model: bytes | memoryview, *, executed: bool = True) -> None:
    """Checks a model of a bundle before a runtime sees it.

    Args:
        name: Of the member, such as "model.tflite".
        model: Its bytes, the very ones that the runtime will get.
        executed: Whether a runtime will run it; a simulation does not, and takes models without operators.

    Raises:
        MalformedModelError: It is not a model that may be run; message and hint say why.
    """
    from edgekit_targets.tflite.firewall import check_model  # 9 ms that only opening a model pays

    try:
        check_model(model, custom_ops=CUSTOM_OPS[name], executed=executed)
    except MalformedModelError as error:
        raise MalformedModelError(f"{name}: {error}", hint=error.hint) from None
