"""The best classes of one sample, as typed values.

`Result.labels` gives names and scores already. This gives the class numbers too, works without labels, and applies a
softmax where the model ends in logits::

    from edgekit.tasks.classification import top_labels

    for label in top_labels(model.run(photo), model.manifest.labels, top=3):
        print(label.index, label.name, label.score)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.arguments import whole
from edgekit.errors import InputError
from edgekit.tasks.scores import Activation, activate, name_of, output_of

if TYPE_CHECKING:
    from edgekit.tasks.scores import Answer


@dataclass(frozen=True, slots=True)
class Label:
    """One class of a classification.

    Attributes:
        name: Of the class; None where no labels were given.
        index: Of the class, from 0.
        score: As the model gives it; a probability where the model, or the activation, makes one.
    """

    name: str | None
    index: int
    score: float


def top_labels(
    answer: Answer,
    labels: Sequence[str] | None = None,
    *,
    top: int = 5,
    activation: Activation = "none",
    output: str | None = None,
) -> tuple[Label, ...]:
    """The classes with the highest scores, best first; of equal scores the lower class number comes first.

    Args:
        answer: A result of one sample, or real values: one for each class, of shape (classes,) with any axes of 1.
        labels: The name of each class.
        top: At most how many to give.
        activation: What the model left out: "softmax" where it ends in logits.
        output: The name of the output, where there are several.

    Raises:
        InputError: There are several outputs and none is named, the answer is a batch, there are not as many
            labels as classes, or `top` is no whole number from 0.
    """
    top = whole("top", top, 0, error=InputError)
    values = output_of(answer, output)
    if max(values.shape, default=1) != values.size:
        raise InputError(
            f"the scores of one sample are one number a class, and these are of shape {values.shape}",
            hint="take one sample of a batch: result[i]",
        )
    scores = activate(values.reshape(-1), activation)
    if labels is not None and len(labels) != len(scores):
        raise InputError(f"the model has {len(scores)} classes, and there are {len(labels)} labels")
    order = (-scores).argsort(kind="stable")[:top]
    return tuple(Label(name_of(labels, int(index)), int(index), float(scores[index])) for index in order)
