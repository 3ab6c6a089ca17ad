"""A frozen dataclass whose field types are its JSON schema, checked at construction and at reading alike."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Self, get_args, get_origin, get_type_hints

from edgekit.errors import EdgekitError, InvalidManifestError, PreprocessingError
from edgekit.strictjson import MAX_DEPTH, UNPRINTABLE, depth_exceeds, shown
from edgekit_targets.frozen import Frozen


class Record(Frozen):
    """Base of the manifest's parts: subclass it as ``@dataclass(frozen=True, slots=True)``, or as ``@lean``.

    The annotations say everything: ``str``, ``int``, ``float``, ``tuple[T, ...]``, ``tuple[T, T]``,
    ``Mapping[str, T]``, another Record, ``T | None``, or ``object`` for free-form JSON. A constructed Record
    is valid and survives a round trip through JSON unchanged; so lists become tuples, and numpy scalars and
    integers become what the annotation says.

    Raises:
        InvalidManifestError: From the constructor and from `from_json`; the message starts with the path.
    """

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():
            object.__setattr__(self, name, _conform(hint, getattr(self, name), name))
        self._check()

    def _check(self) -> None:
        """Refuses values that have the right type and still make no sense together."""

    @classmethod
    def from_json(cls, value: object, where: str = "") -> Self:
        """Builds the record from a parsed JSON object that has exactly its keys.

        Args:
            value: What `strictjson.parse` gave.
            where: Path of the value in its document, such as ``inputs[0]``; empty for the document itself.

        Raises:
            InvalidManifestError: An unknown or missing key, a wrong type or a value that makes no sense.
        """
        if not isinstance(value, dict):
            raise InvalidManifestError(f"{where or 'the document'} must be an object, and is {shown(value)}")
        names = {field.name for field in fields(cls)}
        for key in sorted(value.keys() - names):
            said = key if key.isprintable() and len(key) <= 60 else shown(key)
            raise InvalidManifestError(f"{_join(where, said)} is not a key that this format knows")
        for key in sorted(names - value.keys()):
            raise InvalidManifestError(f"{_join(where, key)} is missing")
        try:
            return cls(**value)
        except (InvalidManifestError, PreprocessingError) as error:
            raise InvalidManifestError(_join(where, str(error))) from None

    def to_json(self) -> dict[str, object]:
        """The record as dict, list, str, int, float, bool and None."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def require(condition: bool, path: str, rule: str, error: type[EdgekitError] = InvalidManifestError) -> None:
    """Raises `error` with the message "path rule" where the condition does not hold."""
    if not condition:
        raise error(f"{path} {rule}")


def _join(where: str, path: str) -> str:
    return f"{where}.{path}" if where else path


_HINTS: dict[type, dict[str, Any]] = {}


def _hints(record: type[Record]) -> dict[str, Any]:
    """The annotations of a record's fields, evaluated once."""
    if record not in _HINTS:
        hints: Mapping[str, Any] = record.__annotations__
        if any(isinstance(hint, str) for hint in hints.values()):  # "from __future__ import annotations"
            hints = get_type_hints(record)
        _HINTS[record] = {field.name: hints[field.name] for field in fields(record)}
    return _HINTS[record]


def _conform(hint: Any, value: object, where: str) -> object:
    """The value as its annotation wants it, or a refusal that names its path."""
    origin = get_origin(hint)
    if origin is types.UnionType:
        (inner,) = (part for part in get_args(hint) if part is not types.NoneType)
        return None if value is None else _conform(inner, value, where)
    if origin is tuple:
        return _conform_tuple(get_args(hint), value, where)
    if origin is Mapping:
        return _conform_mapping(get_args(hint)[1], value, where)
    if isinstance(hint, type) and issubclass(hint, Record):
        return value if isinstance(value, hint) else hint.from_json(value, where)
    return _SCALARS[hint](value, where)


def _conform_tuple(hints: tuple[Any, ...], value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, (list, tuple)):
        raise InvalidManifestError(f"{where} must be a list, and is {shown(value)}")
    if hints[-1] is ...:
        hints = hints[:1] * len(value)
    require(len(value) == len(hints), where, f"must have {len(hints)} entries, and has {len(value)}")
    pairs = zip(hints, value, strict=True)
    return tuple(_conform(hint, item, f"{where}[{index}]") for index, (hint, item) in enumerate(pairs))


def _conform_mapping(hint: Any, value: object, where: str) -> dict[str, object]:
    if not isinstance(value, Mapping):
        raise InvalidManifestError(f"{where} must be an object, and is {shown(value)}")
    items = [(_text(key, f"a key of {where}"), item) for key, item in value.items()]
    # Sorted, so that two equal records also print alike.
    return {key: _conform(hint, item, f"{where}[{shown(key)}]") for key, item in sorted(items, key=_first)}


def _first(item: tuple[str, object]) -> str:
    return item[0]


def _python_scalar(value: object) -> object:
    """A numpy scalar as the Python number it stands for; anything else as it is."""
    is_scalar = type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
    return value.item() if is_scalar and hasattr(value, "item") else value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidManifestError(f"{where} must be a string, and is {shown(value)}")
    if UNPRINTABLE.search(value):
        raise InvalidManifestError(f"{where} holds an unprintable character: {value[:50]!a}")
    return str(value)


def _integer(value: object, where: str) -> int:
    value = _python_scalar(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidManifestError(f"{where} must be a whole number, and is {shown(value)}")
    require(-(2**63) <= value < 2**63, where, "needs more than 64 bits")
    return int(value)


def _number(value: object, where: str) -> float:
    value = _python_scalar(value)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InvalidManifestError(f"{where} must be a number, and is {shown(value)}")
    require(abs(value) < 2**1023, where, "must be finite")  # also False for NaN
    return float(value)


def _free_json(value: object, where: str) -> object:
    value = _python_scalar(value)
    require(not depth_exceeds(value, MAX_DEPTH - 2), where, "nests too deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return _conform_mapping(object, value, where)
    if isinstance(value, (list, tuple)):
        return _conform_tuple((object, ...), value, where)
    for kind in (str, int, float):
        if isinstance(value, kind):
            return _SCALARS[kind](value, where)
    raise InvalidManifestError(f"{where} must be JSON, and is {shown(value)}")


_SCALARS: dict[object, Callable[[object, str], object]] = {
    str: _text,
    int: _integer,
    float: _number,
    object: _free_json,
}


def _plain(value: object) -> object:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
