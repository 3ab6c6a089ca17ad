"""The devices that edgekit knows: one TOML file each in `devices/`, and the user's own in folders beside it.

`edgekit_targets.device_file` has the schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit_targets.device_file import RANGES, parse_target
from edgekit_targets.errors import InvalidTargetError, UnknownTargetError
from edgekit_targets.target import Target

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["RANGES", "Catalog", "load_target", "open_catalog", "parse_target", "target_names"]

_FOLDER_HINT = "--device-dir and $EDGEKIT_DEVICES name folders that hold NAME.toml files"
_LARGEST_FILE = 1 << 20  # bytes; the longest file of the catalogue has 6,000


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every device, each name and alias checked to belong to one device only.

    Attributes:
        targets: By name, sorted by name.
        names: The device's name for each name and alias, in lower case and with hyphens for underscores.
    """

    targets: Mapping[str, Target]
    names: Mapping[str, str]

    def find(self, word: str) -> Target:
        """Returns a device.

        Args:
            word: Its name or one of its aliases; capitals, blanks and underscores do not matter.

        Raises:
            UnknownTargetError: There is no such device. The hint names near ones.
        """
        name = self.names.get(_key(word))
        if name is not None:
            return self.targets[name]
        near = get_close_matches(_key(word), self.names, n=3)
        known = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(self.targets)}"
        raise UnknownTargetError(f"no device '{word}' in the catalogue", hint=known)


def open_catalog(folders: Sequence[Path] = ()) -> Catalog:
    """Reads every device file.

    Args:
        folders: Folders with the user's own device files, beside the built-in ones.

    Raises:
        InvalidTargetError: A folder cannot be read, a file breaks the schema, or a name belongs to two devices.
    """
    found = [(f"{target.name}.toml", target) for target in _builtin()]
    for folder in folders:
        found += [
            (str(path), parse_target(path.stem, _text_of(path), str(path))) for path in _files_of(folder)
        ]
    # Built-in devices come first, so that it is the user's file that is blamed.
    owners: dict[str, Target] = {}
    for file, target in found:
        for key, word in [("name", target.name), *(("aliases", alias) for alias in target.aliases)]:
            owner = owners.setdefault(_key(word), target)
            if owner is not target:
                raise InvalidTargetError(
                    f"{file}: {key}: '{word}' belongs to {owner.name}",
                    hint="a folder of your own adds devices and never replaces one: rename it",
                )
    targets = {t.name: t for _, t in sorted(found, key=lambda pair: pair[1].name)}
    return Catalog(targets, {word: target.name for word, target in owners.items()})


def load_target(name: str, folders: Sequence[Path] = ()) -> Target:
    """Returns a device.

    Args:
        name: Its name or one of its aliases; capitals, blanks and underscores do not matter.
        folders: Folders with the user's own device files.

    Raises:
        UnknownTargetError: The catalogue has no such device. The hint names near ones.
        InvalidTargetError: A device file breaks the schema, or two devices claim one name.
    """
    return open_catalog(folders).find(name)


def target_names(folders: Sequence[Path] = ()) -> tuple[str, ...]:
    """Returns the names of all devices in the catalogue, sorted, without their aliases."""
    return tuple(open_catalog(folders).targets)


def _key(word: str) -> str:
    return re.sub(r"[\s_]+", "-", word.strip().lower())


def _folder() -> Traversable:
    return files("edgekit_targets") / "devices"


@cache
def _builtin() -> tuple[Target, ...]:
    texts = {f.name.removesuffix(".toml"): f for f in _folder().iterdir() if f.name.endswith(".toml")}
    return tuple(parse_target(name, texts[name].read_text("utf-8")) for name in sorted(texts))


def _files_of(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except OSError as error:
        raise InvalidTargetError(f"{folder}: {error.strerror or error}", hint=_FOLDER_HINT) from None
    if not found:
        raise InvalidTargetError(f"{folder}: holds no device file", hint=_FOLDER_HINT)
    return found


def _text_of(path: Path) -> str:
    if not path.is_file():
        raise InvalidTargetError(f"{path}: is no file that can be read")
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise InvalidTargetError(f"{path}: {error.strerror or error}") from None
    if len(data) > _LARGEST_FILE:
        raise InvalidTargetError(f"{path}: is larger than a device file can be, {_LARGEST_FILE:,} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidTargetError(f"{path}: not TOML: it is not UTF-8 text") from None
