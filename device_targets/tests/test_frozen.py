from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, field, fields, replace

import pytest

from edgekit_targets.frozen import Frozen, lean


@lean
class Point(Frozen):
    x: int
    y: int = 0
    name: str = field(default="", repr=False)


@lean
class Pixel(Point):
    color: str = "red"


def test_it_is_a_dataclass() -> None:
    assert [each.name for each in fields(Point)] == ["x", "y", "name"]
    assert replace(Point(1, 2), y=3) == Point(1, 3)
    match Point(4, 5):
        case Point(x, y):
            assert (x, y) == (4, 5)


def test_it_is_frozen_and_slotted() -> None:
    point = Point(1)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
        del point.x  # type: ignore[misc]
    with pytest.raises(AttributeError):
        point.z = 1  # type: ignore[attr-defined]
    assert not hasattr(point, "__dict__")


def test_equality_hash_and_looks() -> None:
    assert Point(1, 2) == Point(1, 2) != Point(1, 3)
    assert Point(1) != Pixel(1)
    assert Point(1) != (1, 0, "")
    assert {Point(1), Point(1), Point(2)} == {Point(1), Point(2)}
    assert repr(Pixel(1, name="secret")) == "Pixel(x=1, y=0, color='red')"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_equal(copied) -> None:  # type: ignore[no-untyped-def]
    pixel = Pixel(1, 2, "corner", "blue")
    assert copied(pixel) == pixel
