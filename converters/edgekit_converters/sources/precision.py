"""Keras models that were trained in mixed precision, computed in float32 as their weights are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def in_float32(model: Any) -> Iterator[list[str]]:
    """Let layers with a mixed policy compute in float32 while the block runs.

    Their variables are float32 anyway; float16 and bfloat16 arithmetic only made training faster, and has
    no TFLite operators.

    Args:
        model: A `keras.Model` of Keras 3 or tf_keras; as before when the block ends.

    Yields:
        One note, if anything was changed.
    """
    changed = []
    try:
        for layer in model._flatten_layers():
            policy = getattr(layer, "dtype_policy", None)
            if layer is not model and str(getattr(policy, "name", "")).startswith("mixed_"):
                changed.append((layer, policy))
                _set_policy(layer, "float32")
        yield [f"mixed precision: {len(changed)} layer(s) compute in float32"] if changed else []
    finally:
        for layer, policy in changed:
            _set_policy(layer, policy)


def _set_policy(layer: Any, policy: Any) -> None:
    if hasattr(layer, "_set_dtype_policy"):  # tf_keras
        layer._set_dtype_policy(policy)
    else:
        layer.dtype_policy = policy
