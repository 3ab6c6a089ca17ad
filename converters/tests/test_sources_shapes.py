from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import DynamicShapeError, SourceError, UnsupportedModelError
from edgekit_converters.sources.model import image_layout
from edgekit_converters.sources.shapes import Declared, resolve_shapes


def test_an_open_batch_becomes_one() -> None:
    declared: list[tuple[str, Declared]] = [("a", (None, 3)), ("b", (1, 4, 5))]
    assert resolve_shapes(declared, {}) == {"a": (1, 3), "b": (1, 4, 5)}


def test_another_open_dimension_is_asked_for_with_an_example_that_works() -> None:
    declared: list[tuple[str, Declared]] = [("photo", (None, None, None, 3)), ("age", (None, 1))]
    with pytest.raises(DynamicShapeError) as caught:
        resolve_shapes(declared, {})
    assert "photo (?, ?, ?, 3); age (?, 1)" in str(caught.value)
    assert "--input-shape photo=1,96,96,3" in str(caught.value.hint)
    assert resolve_shapes(declared, {"photo": (1, 96, 96, 3)}) == {"photo": (1, 96, 96, 3), "age": (1, 1)}


@pytest.mark.parametrize("shape", [None, (None,), (None, None), (1, None, 3)])
def test_a_shape_that_cannot_be_settled_without_the_user_is_asked_for(shape: Declared) -> None:
    with pytest.raises(DynamicShapeError, match="a dimension is open") as caught:
        resolve_shapes([("x", shape)], {})
    assert "--input-shape x=" in str(caught.value.hint)


@pytest.mark.parametrize("given_shape", [(1, 8, 4), (1, 9, 3), (1, 9), (1, 0, 4), (1, -1, 4)])
def test_a_given_shape_that_contradicts_the_model_is_an_error(given_shape: tuple[int, ...]) -> None:
    with pytest.raises(SourceError, match=r"contradicts the model, where 'x' has the shape \(1, 9, 4\)"):
        resolve_shapes([("x", (1, 9, 4))], {"x": given_shape})


def test_a_shape_for_no_input_is_an_error_that_lists_the_inputs() -> None:
    with pytest.raises(SourceError, match="names 'y', which is not an input") as caught:
        resolve_shapes([("x", (None, 4))], {"y": (1, 4)})
    assert "x (?, 4)" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("declared", "shapes"),
    [((32, 4), {}), ((), {}), ((None, 4), {"x": (8, 4)}), ((16000,), {}), (None, {"x": (3, 4)})],
)
def test_any_other_batch_than_one_is_refused(declared: Declared, shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(UnsupportedModelError, match="must be the batch, 1"):
        resolve_shapes([("x", declared)], shapes)


@given(st.lists(st.one_of(st.none(), st.integers(1, 9)), max_size=5), st.lists(st.integers(1, 9), max_size=5))
def test_whatever_is_settled_fits_both_sides(declared: list[int | None], said: list[int]) -> None:
    try:
        shape = resolve_shapes([("x", tuple(declared))], {"x": tuple(said)})["x"]
    except SourceError:
        return
    assert shape == tuple(said)
    assert shape[0] == 1
    assert all(fixed in (None, size) for fixed, size in zip(declared, shape, strict=True))


def test_only_shapes_of_images_have_a_layout() -> None:
    assert image_layout((1, 96, 96, 3)) == image_layout((1, 28, 28, 1)) == "NHWC"
    assert image_layout((1, 3, 224, 224)) == "NCHW"
    assert image_layout((1, 128, 9)) is image_layout((1, 7, 7, 64)) is None
