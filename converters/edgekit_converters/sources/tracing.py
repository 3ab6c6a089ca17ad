"""Temporary changes to a Keras model's layers while it is traced; afterwards the model is what it was."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

_SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")  # tensorflow/python/framework/ops.py, name_scope


@contextlib.contextmanager
def replaced(layer: Any, **attributes: object) -> Iterator[None]:
    """Give a layer other attributes while the block runs.

    They go past the layer's own ``__setattr__``, which would track them.

    Args:
        layer: A layer of Keras 3 or tf_keras.
        attributes: New values by name; a method is hidden by a function.
    """
    own: dict[str, object] = layer.__dict__
    before = {name: own[name] for name in attributes if name in own}
    own.update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            del own[name]
        own.update(before)


@contextlib.contextmanager
def named_after_layers(model: Any) -> Iterator[None]:
    """Let every node that is traced in the block have the path of its layer as name: ``block/dense/MatMul``.

    Keras itself numbers the scopes of layers that were called before, so that ``dense_1/MatMul`` may be a
    node of the layer dense or of dense_1.

    Args:
        model: A `keras.Model`.
    """
    import tensorflow as tf

    entered: list[str] = []

    def scoped(layer: Any, names: list[str]) -> Callable[..., Any]:
        call = layer.call

        @functools.wraps(call)
        def call_in_scope(*args: Any, **kwargs: Any) -> Any:
            entered.extend(names)
            try:
                # With a slash at its end the scope is taken as it is, without those around it.
                with tf.name_scope(("/".join(entered) or "model") + "/"):
                    return call(*args, **kwargs)
            finally:
                del entered[len(entered) - len(names) :]

        return call_in_scope

    with contextlib.ExitStack() as stack:
        # What is no layer's is the model's: its own name has a number that counts the models of the process.
        stack.enter_context(replaced(model, call=scoped(model, [])))
        for layer in model._flatten_layers(include_self=False):
            if _SCOPE.fullmatch(layer.name) and layer is not getattr(model, "_functional", None):
                stack.enter_context(replaced(layer, call=scoped(layer, [layer.name])))
        yield
