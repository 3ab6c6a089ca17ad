"""Frozen dataclasses that are cheap to make: `Frozen` and `lean`.

``@dataclass(frozen=True, slots=True)`` compiles six methods anew for every class, 0.3 to 0.4 ms each time that a process
starts. Classes that every load of a bundle needs are ``@lean class Name(Frozen)`` instead, which compiles the
constructor alone, a third of that. They are dataclasses all the same: `fields`, `replace`, pickling and matching work.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any, ClassVar, TypeVar, dataclass_transform

C = TypeVar("C", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def lean(cls: C) -> C:
    """A slotted dataclass that leaves equality, looks and being frozen to `Frozen`."""
    made: C = dataclass(slots=True, repr=False, eq=False)(cls)  # type: ignore[assignment]
    return made


class Frozen:
    """What all lean dataclasses share."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __setattr__(self, name: str, value: object) -> None:
        """Lets the constructor set what is not set yet."""
        if hasattr(self, name):
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __repr__(self) -> str:
        shown = (
            f"{name}={getattr(self, name)!r}"
            for name, field in self.__dataclass_fields__.items()
            if field.repr
        )
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)
