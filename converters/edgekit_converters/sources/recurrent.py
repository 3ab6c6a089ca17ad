"""Recurrent layers without loops.

Keras traces LSTM, GRU and SimpleRNN into a WHILE operator, whose body TensorFlow's quantizer leaves float
(and crashes on, in some versions). Unrolled, the same layer is a plain chain of fully connected layers and
element-wise operators, all of which have int8 kernels.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from edgekit.errors import UnsupportedModelError
from edgekit_converters.sources.tracing import replaced

MAX_UNROLLED_STEPS = 256
"""Measured on an LSTM of 32 units: 256 steps are 3,836 operators, 0.65 MB, 6 s to export."""


@dataclass(slots=True)
class Unrolling:
    """What happened while layers unrolled themselves.

    Attributes:
        notes: One a layer.
        refusal: Why a layer could not be: Keras wraps what a layer raises in an error of its own making.
    """

    notes: list[str] = field(default_factory=list)
    refusal: UnsupportedModelError | None = None


@contextlib.contextmanager
def unrolled(model: Any) -> Iterator[Unrolling]:
    """Lets every recurrent layer in a Keras model unroll itself while the block runs.

    Args:
        model: A `keras.Model` of Keras 3 or tf_keras; as before when the block ends.

    Yields:
        A record that tracing the model fills in.

    Raises:
        UnsupportedModelError: A layer is stateful.
    """
    record = Unrolling()
    with contextlib.ExitStack() as stack:
        for layer in recurrent_layers(model):
            if getattr(layer, "stateful", False):
                raise UnsupportedModelError(
                    f"layer '{layer.name}' is stateful: it keeps values from one run to the next, "
                    "which a bundle cannot",
                    hint="save the model with stateful=False and feed whole sequences",
                )
            stack.enter_context(_unrolling(layer, record))
        yield record


def recurrent_layers(model: Any) -> list[Any]:
    """Every layer that runs a cell over time steps, wrapped and nested ones included."""
    return [
        layer
        for layer in model._flatten_layers()
        if any(kind.__name__ == "RNN" and "keras" in kind.__module__ for kind in type(layer).__mro__)
    ]


def _unrolling(layer: Any, record: Unrolling) -> contextlib.AbstractContextManager[None]:
    call = layer.call

    @functools.wraps(call)
    def checked(sequences: Any, *args: Any, **kwargs: Any) -> Any:
        steps = sequences.shape[1]
        if steps is None or int(steps) > MAX_UNROLLED_STEPS:
            record.refusal = _too_long(layer.name, steps)
            raise record.refusal
        note = f"recurrent layer '{layer.name}' unrolled over {int(steps)} steps"
        if note not in record.notes:
            record.notes.append(note)
        return call(sequences, *args, **kwargs)

    # tf_keras has a fused kernel, a loop of its own, that does not ask for `unroll`.
    fused = {"_could_use_gpu_kernel": False} if hasattr(layer, "_could_use_gpu_kernel") else {}
    return replaced(layer, call=checked, unroll=True, **fused)


def _too_long(name: str, steps: int | None) -> UnsupportedModelError:
    length = "an unknown number of" if steps is None else f"{int(steps)}"
    return UnsupportedModelError(
        f"layer '{name}' runs over {length} time steps: edgekit unrolls at most {MAX_UNROLLED_STEPS}, "
        "and the operator WHILE that a longer one becomes has no int8 form",
        hint="shorten the sequence (a strided Conv1D or pooling before it; --input-shape if it is open), "
        "or replace the layer by 1-D convolutions",
    )
