"""Which array of an .npz is which input, and which holds the labels: pure decisions over names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgekit.errors import DataError

DATA_NAMES = ("x", "inputs", "data", "images")
LABEL_NAMES = ("y", "labels", "label", "targets", "target", "class")
"""Names that are understood where nothing is selected."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Input name -> array name, and the array that holds the labels."""

    arrays: Mapping[str, str]
    labels: str | None


def select_arrays(
    wanted: str | None, arrays: Mapping[str, str], inputs: Sequence[str], where: str
) -> Selection:
    """Decides from the text behind ``#`` (or its absence) which arrays are meant.

    Args:
        wanted: "ARRAY", "ARRAY,LABELS", "INPUT=ARRAY,INPUT=ARRAY,LABELS", or None. Where the model has
            several inputs and the arrays are named like them, "LABELS" alone.
        arrays: The names there are -> what each is, for messages.
        inputs: The names of the model's inputs.
        where: Names the file in messages.

    Raises:
        DataError: The choice is unclear, or names what is not there; the message lists the arrays.
    """
    selection = _implied(arrays, inputs) if wanted is None else _spelled(wanted, arrays, inputs)
    if selection is None:
        raise _refusal(f"{where}: which array is which is not clear", arrays, inputs, where)
    names = [*selection.arrays.values(), *([selection.labels] if selection.labels else [])]
    for name in names:
        if name not in arrays:
            raise _refusal(f"{where}: has no array '{name}'", arrays, inputs, where)
    return selection


def _implied(arrays: Iterable[str], inputs: Sequence[str]) -> Selection | None:
    names = list(arrays)
    labels = next((name for name in LABEL_NAMES if name in names), None)
    if all(name in names for name in inputs):
        return Selection({name: name for name in inputs}, None if labels in inputs else labels)
    if len(inputs) > 1:
        return None
    candidates = [name for name in names if name != labels] or names
    if len(candidates) > 1:
        candidates = [name for name in DATA_NAMES if name in candidates]
    if len(candidates) != 1:
        return None
    return Selection({inputs[0]: candidates[0]}, labels if labels != candidates[0] else None)


def _spelled(wanted: str, arrays: Iterable[str], inputs: Sequence[str]) -> Selection | None:
    parts = [part.strip() for part in wanted.split(",")]
    pairs = dict(part.split("=", 1) for part in parts if "=" in part)
    plain = [part for part in parts if "=" not in part]
    if not pairs and len(inputs) == 1:
        pairs, plain = {inputs[0]: plain[0]}, plain[1:]
    elif not pairs and set(inputs) <= set(arrays):
        pairs = {name: name for name in inputs}
    if set(pairs) != set(inputs) or len(plain) > 1 or "" in parts:
        return None
    return Selection(pairs, plain[0] if plain else None)


def _refusal(problem: str, arrays: Mapping[str, str], inputs: Sequence[str], where: str) -> DataError:
    listing = "; ".join(f"{name} {what}" for name, what in arrays.items())
    if len(inputs) == 1:
        form = "ARRAY or ARRAY,LABELS"
    else:
        form = ",".join(f"{name}=ARRAY" for name in inputs) + ", with ,LABELS where there are labels"
    return DataError(f"{problem}; its arrays are: {listing}", hint=f"name them behind a #: {where}#{form}")
