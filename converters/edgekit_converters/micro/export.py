"""`export-c`: a model as C sources for TensorFlow Lite Micro, written all or none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.bundle import sha256_of
from edgekit.errors import OutputError
from edgekit.files import write_all_atomically
from edgekit_converters.micro.arena import ArenaSize, size_arena
from edgekit_converters.micro.names import identifier
from edgekit_converters.micro.operators import method_of, needed
from edgekit_converters.micro.render import MARK, render
from edgekit_converters.micro.source import MicroModel

PARTS = ("model.h", "model.c", "config.h", "ops.h")
"""What each of the files is called after the model's name and a "_"."""


@dataclass(frozen=True, slots=True)
class Export:
    """The C sources of a model, not yet written.

    Attributes:
        name: With which their names and all identifiers in them begin.
        member: What they are of: the member of a bundle, or the name of a .tflite.
        sha256: Of the model.
        model_bytes: How large the model is.
        operators: Those that it has, each once.
        arena: How much memory its tensors take.
        files: File name -> content.
    """

    name: str
    member: str
    sha256: str
    model_bytes: int
    operators: tuple[str, ...]
    arena: ArenaSize
    files: Mapping[str, bytes] = field(repr=False, hash=False)

    def to_json(self, folder: Path) -> dict[str, object]:
        """The export as plain JSON types.

        Args:
            folder: Where it is written.
        """
        return {
            "folder": str(folder),
            "files": list(self.files),
            "name": self.name,
            "member": self.member,
            "sha256": self.sha256,
            "model_bytes": self.model_bytes,
            "operators": [{"opcode": op, "method": method_of(op)} for op in self.operators],
            "arena": self.arena.to_json(),
        }


def export(model: MicroModel, name: str | None = None) -> Export:
    """Makes the C sources of a model.

    Args:
        model: From `source.open_micro` or `source.from_bundle`.
        name: What they are called, made an identifier; None takes the model's own name.

    Raises:
        UnsupportedModelError: TensorFlow Lite Micro does not run one of its operators.
        MalformedModelError: The model is no sound .tflite.
    """
    graph = model.graph
    operators = needed(graph)
    called = identifier(model.name if name is None else name)
    digest = sha256_of(model.data)
    arena = size_arena(graph)
    texts = render(called, model, digest, operators, arena)
    files = {file: text.encode("ascii") for file, text in texts.items()}
    return Export(called, model.member, digest, len(model.data), operators, arena, files)


def folder_beside(bundle: Path) -> Path:
    """Where `convert` writes the C sources: cats.edgekit has them in cats_c."""
    return bundle.with_name(f"{bundle.stem}_c")


def file_names(name: str) -> tuple[str, ...]:
    """What the files of a model of that name will be called."""
    return tuple(f"{identifier(name)}_{part}" for part in PARTS)


def write_export(
    folder: Path, files: Mapping[str, bytes], beside: Mapping[Path, bytes] | None = None
) -> None:
    """Writes C sources into a folder, which is made if it is not there: all of them, or none.

    Args:
        folder: Its own folder must exist.
        files: File name -> content.
        beside: Further files that belong to it, path -> content: all or none with the rest.

    Raises:
        OutputError: One of them cannot be written, or stands there and is not of export-c.
    """
    refuse_occupied(folder, list(files))
    with _made(folder):
        write_all_atomically({**(beside or {}), **{folder / file: data for file, data in files.items()}})


def refuse_occupied(folder: Path, files: Sequence[str]) -> None:
    """Refuses a folder where C sources cannot go, before any long work is done for it.

    Args:
        folder: Where they would go.
        files: What they would be called.

    Raises:
        OutputError: It is no folder, or a file of that name stands there that export-c did not write.
    """
    try:
        if not folder.exists():
            return
        if not folder.is_dir():
            raise OutputError(f"cannot write into {folder}: it is a file", hint="give the name of a folder")
        for path in (folder / file for file in files):
            if path.exists() and not _is_ours(path):
                raise OutputError(
                    f"cannot write {path}: it is there, and edgekit export-c did not write it",
                    hint="remove it, or choose another folder or --name",
                )
    except (OSError, ValueError) as error:
        raise _cannot_write(folder, error) from None


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MARK)) == MARK.encode("ascii")


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """The folder exists; one that was made for it goes again if what follows fails."""
    try:
        folder.mkdir()
        is_new = True
    except FileExistsError:
        is_new = False
    except (OSError, ValueError) as error:
        raise _cannot_write(folder, error) from None
    try:
        yield
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _cannot_write(folder: Path, error: OSError | ValueError) -> OutputError:
    missing = isinstance(error, FileNotFoundError)
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return OutputError(
        f"cannot write into {folder}: {reason.lower()}",
        hint=f"make the folder above it first: mkdir -p {folder.parent}"
        if missing
        else "choose another folder",
    )
