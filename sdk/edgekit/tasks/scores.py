"""What the tasks share: finding the one output that is meant, and turning logits into scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.result import Result

    Answer = Result | NDArray[Any]

Activation = Literal["none", "sigmoid", "softmax"]
"""What still has to be done to scores: nothing, or what the model left out."""


def output_of(answer: Answer, output: str | None) -> NDArray[Any]:
    """The array that is meant: an array itself, or the real values of one output of a result.

    Args:
        answer: Of the model.
        output: The name of the output, where a result has several.

    Raises:
        InputError: It is neither a result nor an array, there is no such output, there are several and none is
            named, or the result holds a batch.
    """
    if isinstance(answer, np.ndarray):
        return answer
    outputs: Mapping[str, NDArray[Any]] | None = getattr(answer, "outputs", None)
    if outputs is None:
        raise InputError(
            f"the answer of a model is a Result or an array, and got {type(answer).__name__}",
            hint="give what model.run returned, or np.asarray(values)",
        )
    names = ", ".join(outputs)
    if output is None and len(outputs) > 1:
        raise InputError(
            f"the result has {len(outputs)} outputs", hint=f"say which one: output=..., of {names}"
        )
    name = next(iter(outputs)) if output is None else output
    if name not in outputs:
        raise InputError(f"the result has no output {output!r}", hint=f"its outputs are {names}")
    if len(outputs[name]) != 1:
        raise InputError(
            f"the result holds {len(outputs[name])} samples", hint="take them one at a time: result[i]"
        )
    return outputs[name]


def single(array: NDArray[Any], rank: int, what: str) -> NDArray[Any]:
    """The values of one sample, without the batch axis.

    Args:
        array: With a batch axis of 1, or without.
        rank: Axes without the batch.
        what: For the message.

    Raises:
        InputError: It is a batch of several, or of another rank.
    """
    if array.ndim == rank + 1 and len(array) == 1:
        values: NDArray[Any] = array[0]
        return values
    if array.ndim == rank:
        return array
    hint = "take one sample of a batch: result[i]" if array.ndim == rank + 1 else None
    raise InputError(
        f"{what} of one sample have {rank} axes, and these are of shape {array.shape}", hint=hint
    )


def activate(values: NDArray[Any], activation: Activation) -> NDArray[np.float32]:
    """Turn logits into scores along the last axis, in float32, without overflow.

    Raises:
        InputError: There is no such activation.
    """
    real = np.asarray(values, np.float32)
    if activation == "none":
        return real
    if activation == "sigmoid":
        small = np.exp(-np.abs(real))
        sigmoid: NDArray[np.float32] = np.where(real >= 0, np.float32(1), small) / (1 + small)
        return sigmoid
    if activation == "softmax":
        powers = np.exp(real - real.max(axis=-1, keepdims=True, initial=-np.inf))
        softmax: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
        return softmax
    raise InputError(f"there is no activation {activation!r}", hint="none, sigmoid or softmax")


def class_names(labels: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes, where a task cannot do without.

    Raises:
        InputError: There are none, as with a bundle that has no labels, or they are one string.
    """
    if labels is None:
        raise InputError(
            "there are no labels", hint="convert the model with --labels, or give the class names as a list"
        )
    return several("labels", labels)


def several(what: str, names: Collection[str]) -> tuple[str, ...]:
    """Names as a tuple.

    Args:
        what: The name of the argument, for the message.
        names: What was given.

    Raises:
        InputError: It is one string, or no collection of strings.
    """
    if (
        isinstance(names, str)
        or not isinstance(names, Collection)
        or not all(isinstance(n, str) for n in names)
    ):
        raise InputError(f"{what} is a list of names, and got {names!r:.60}", hint=f'{what}=("one", "two")')
    return tuple(names)


def name_of(labels: Sequence[str] | None, index: int) -> str | None:
    """The name of a class; None where nobody gave names.

    Raises:
        InputError: There are names, and none for this class.
    """
    if labels is None:
        return None
    if not 0 <= index < len(labels):
        raise InputError(
            f"the model answers with class {index}, and there are {len(labels)} labels",
            hint="are these the labels that the model was trained with?",
        )
    return labels[index]
