"""What lies in a folder of samples: files, and the class subfolders that label them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import BadSampleError, DataError, NoDataError

_SUFFIXES = {
    **dict.fromkeys(
        (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"), "image"
    ),
    ".wav": "audio",
}
_IGNORED = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True)
class FolderListing:
    """The samples of a folder, in the order of their paths.

    Attributes:
        root: The folder.
        kind: "image" or "audio".
        files: Paths, sorted by class and name.
        labels: The class index of each file, or None where the folder has no class subfolders.
        class_names: What the class indices stand for, or None.
        ignored: How many other files lie there.
    """

    root: Path
    kind: str
    files: tuple[Path, ...]
    labels: tuple[int, ...] | None
    class_names: tuple[str, ...] | None
    ignored: int

    @property
    def description(self) -> str:
        """Such as "folder photos: 100 image files in 10 classes"."""
        classes = f" in {len(set(self.labels))} classes" if self.labels is not None else ""
        ignored = f", {self.ignored} other files ignored" if self.ignored else ""
        return f"folder {self.root.resolve().name}: {len(self.files)} {self.kind} files{classes}{ignored}"

    def origin(self, row: int) -> str:
        """The file's path from the folder on, for messages."""
        return str(Path(self.root.resolve().name) / self.files[row].relative_to(self.root))


def list_folder(root: Path) -> FolderListing:
    """Lists a flat folder of images or wave files, or one whose subfolders are the classes.

    Subfolders are classes in the order of their sorted names; where all names are numbers (0007), the number
    itself is the class index, as in copies of ImageNet. Hidden files are passed over.

    Raises:
        NoDataError: There is no image or wave file in it, or none in one of its class folders.
        DataError: It mixes images and sounds, or files and class folders, or nests deeper.
    """
    entries = _visible(root)
    folders = [entry for entry in entries if entry.is_dir()]
    flat = [entry for entry in entries if not entry.is_dir()]
    by_class = {folder.name: _class_files(folder) for folder in folders}
    kinds = {path: _kind(path) for paths in (flat, *by_class.values()) for path in paths}
    samples = {path: kind for path, kind in kinds.items() if kind is not None}
    kind = _single_kind(root, samples)
    flat = [path for path in flat if path in samples]
    by_class = {name: [path for path in paths if path in samples] for name, paths in by_class.items()}
    if flat and any(by_class.values()):
        raise DataError(
            f"{root}: holds {kind} files beside class folders: do they have labels, or not?",
            hint=f"move {flat[0].name} and the like into class folders, or take the folders out",
        )
    if flat:
        return FolderListing(root, kind, tuple(flat), None, None, len(kinds) - len(samples))
    numbers, names = _number_classes(root, by_class)
    files = tuple(path for paths in by_class.values() for path in paths)
    labels = tuple(numbers[name] for name, paths in by_class.items() for _ in paths)
    return FolderListing(root, kind, files, labels, names, len(kinds) - len(samples))


def kind_of_bytes(head: bytes) -> str | None:
    """Either "image" or "audio", from the first bytes of a file (https://en.wikipedia.org/wiki/List_of_file_signatures)."""
    if head[:4] == b"RIFF":
        return {b"WAVE": "audio", b"WEBP": "image"}.get(head[8:12])
    image = head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*"))
    return "image" if image else None


def _visible(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error.strerror}") from error
    return [entry for entry in entries if not entry.name.startswith(".") and entry.name not in _IGNORED]


def _class_files(folder: Path) -> list[Path]:
    entries = _visible(folder)
    nested = next((entry for entry in entries if entry.is_dir()), None)
    if nested is not None:
        raise DataError(
            f"{nested}: is a folder inside of '{folder.name}', and one level of class folders is wanted",
            hint="name the folder whose subfolders are the classes",
        )
    return entries


def _kind(path: Path) -> str | None:
    """By suffix, which is quick in a large set; by content where the suffix says nothing."""
    known = _SUFFIXES.get(path.suffix.lower())
    if known is not None:
        return known
    try:
        with path.open("rb") as file:
            return kind_of_bytes(file.read(12))
    except OSError as error:
        raise BadSampleError(f"{path}: cannot be read: {error.strerror}") from error


def _single_kind(root: Path, samples: Mapping[Path, str]) -> str:
    examples = {kind: path for path, kind in samples.items()}
    if not examples:
        raise NoDataError(
            f"{root}: holds no images and no .wav files",
            hint="give a folder of photos or of .wav files, flat or with one subfolder for each class",
        )
    if len(examples) > 1:
        raise DataError(
            f"{root}: holds images ({examples['image'].name}) as well as sounds ({examples['audio'].name})",
            hint="give one kind of file a folder",
        )
    return next(iter(examples))


def _number_classes(
    root: Path, by_class: Mapping[str, Sequence[Path]]
) -> tuple[Mapping[str, int], tuple[str, ...] | None]:
    """The index of each class folder, and the class names, where the folders name all classes from 0 on."""
    names = tuple(by_class)
    if all(name.isdecimal() and name.isascii() for name in names):
        numbers = {name: int(name) for name in names}
        _require_distinct(root, numbers)
        in_order = tuple(sorted(names, key=int))
        complete = [int(name) for name in in_order] == list(range(len(names)))
        return numbers, in_order if complete else None
    empty = next((name for name, paths in by_class.items() if not paths), None)
    if empty is not None:
        raise NoDataError(
            f"{root / empty}: this class folder is empty, and it would take a class index all the same",
            hint="take it out if it is no class; if it is one, its samples are missing",
        )
    return {name: index for index, name in enumerate(names)}, names


def _require_distinct(root: Path, numbers: Mapping[str, int]) -> None:
    seen: dict[int, str] = {}
    for name, number in numbers.items():
        if number in seen:
            raise DataError(f"{root}: the folders '{seen[number]}' and '{name}' are the same class number")
        seen[number] = name
