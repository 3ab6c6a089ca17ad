"""From the shapes that a model declares to static shapes with batch 1: pure decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.errors import DynamicShapeError, SourceError, UnsupportedModelError

Declared = tuple[int | None, ...] | None
"""A shape as a model declares it: None for an open dimension, None as a whole where even the rank is open."""


def resolve_shapes(
    declared: Sequence[tuple[str, Declared]], given: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """Settle the shape of every input.

    An open first dimension of a shape with two or more is the batch and becomes 1. Every other open
    dimension must be given.

    Args:
        declared: Name and declared shape of each input, in order.
        given: Whole shapes that the user says, by input name.

    Raises:
        DynamicShapeError: A dimension stays open.
        SourceError: A given shape names no input, or contradicts what the model fixes.
        UnsupportedModelError: An input has no batch dimension of 1.
    """
    known = "; ".join(f"{name} {_written(shape)}" for name, shape in declared)
    for name in given:
        if name not in dict(declared):
            raise SourceError(
                f"--input-shape names '{name}', which is not an input", hint=f"the inputs are: {known}"
            )
    open_inputs = [(name, shape) for name, shape in declared if name not in given and _is_open(shape)]
    if open_inputs:
        flags = " ".join(f"--input-shape {name}={_example(shape)}" for name, shape in open_inputs)
        raise DynamicShapeError(
            f"a dimension is open that only you can know; the inputs are: {known}",
            hint=f"say the whole shape, batch 1 first, for example {flags}",
        )
    return {name: _settled(name, shape, given.get(name)) for name, shape in declared}


def _is_open(shape: Declared) -> bool:
    return shape is None or None in (shape[1:] if len(shape) > 1 else shape)


def _settled(name: str, shape: Declared, given: tuple[int, ...] | None) -> tuple[int, ...]:
    if given is None:
        assert shape is not None
        settled = tuple(1 if size is None else size for size in shape)
    else:
        _check_given(name, shape, given)
        settled = given
    if not settled or settled[0] != 1:
        raise UnsupportedModelError(
            f"input '{name}' has the shape {_written(settled)}: its first dimension must be the batch, 1",
            hint="save the model with a batch size of 1 or None",
        )
    if min(settled) < 1:
        raise UnsupportedModelError(f"input '{name}' has the shape {_written(settled)}: it holds no number")
    return settled


def _check_given(name: str, shape: Declared, given: tuple[int, ...]) -> None:
    fits = shape is None or (
        len(given) == len(shape)
        and all(fixed is None or fixed == size for fixed, size in zip(shape, given, strict=True))
    )
    if not fits or any(size < 1 for size in given):
        raise SourceError(
            f"--input-shape {name}={','.join(map(str, given))} contradicts the model, "
            f"where '{name}' has the shape {_written(shape)}",
            hint="say every dimension, the batch of 1 first; only the open ones (?) are yours to choose",
        )


def _written(shape: Declared) -> str:
    if shape is None:
        return "(unknown rank)"
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"


def _example(shape: Declared) -> str:
    if shape is None:
        return "1,..."
    sizes = [1 if index == 0 and size is None else size for index, size in enumerate(shape)]
    if len(shape) == 4 and shape[1] is None and shape[2] is None:
        sizes[1:3] = [96, 96]
    return ",".join("..." if size is None else str(size) for size in sizes)
