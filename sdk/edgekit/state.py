"""What a device remembers between starts: security epochs that only rise, and which self-tests have passed.

Two files, ``floors.json`` and ``passed.json``, so that the one which is written often cannot hurt the one which is
precious. Neither is a secret, and root can reset both: without a TPM nothing in software prevents that.
"""

from __future__ import annotations

import errno
import os
from zlib import crc32

from edgekit import strictjson
from edgekit.durable import BROKEN, DISK, Disk, DurableFile
from edgekit.errors import MalformedBundleError, StateError
from edgekit.strictjson import UNPRINTABLE, shown

TYPE_CHECKING = False  # type checkers take it for typing's
if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = 1
"""Of both files; a newer one is refused, for guessing at a floor could lower it."""
MOST_PASSED = 512
"""Self-test records that are kept; the oldest goes first, and its bundle is tested once more."""

_LIMIT = 1 << 20
_LONGEST_NAME = 200  # characters; edgekit.manifest.Identity allows no more
_EPOCHS = 1 << 63
_FLOORS, _PASSED = "floors", "passed"

_HINTS = {
    errno.EACCES: "run as the user it belongs to, or name a folder of your own in EDGEKIT_STATE",
    errno.EPERM: "run as the user it belongs to, or name a folder of your own in EDGEKIT_STATE",
    errno.EROFS: "the file system is mounted read-only: name a folder on another in EDGEKIT_STATE",
    errno.ENOTDIR: "a part of the path is a file: name another folder in EDGEKIT_STATE",
    errno.EEXIST: "a part of the path is a file: name another folder in EDGEKIT_STATE",
    errno.ELOOP: "remove the symbolic link that stands in place of the file",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room in your quota",
    errno.EIO: "the disk fails: replace it",
}


def default_folder() -> str:
    """The folder of the state: $EDGEKIT_STATE; else /var/lib/edgekit for root, and for others where XDG has it.

    That is ``$XDG_STATE_HOME/edgekit`` or ``~/.local/state/edgekit`` (XDG Base Directory Specification 0.8).

    Raises:
        StateError: There is no home folder either.
    """
    if named := os.environ.get("EDGEKIT_STATE"):
        return os.path.abspath(named)
    if os.geteuid() == 0:
        return "/var/lib/edgekit"
    home = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(home):  # the specification: a relative path is ignored
        home = os.path.expanduser("~/.local/state")
    if not os.path.isabs(home):
        raise StateError("no folder for the state: this user has no home", hint="name one in EDGEKIT_STATE")
    return os.path.join(home, "edgekit")


class StateStore:
    """The state in one folder; threads and processes may share it.

    A floor that `raise_floor` has returned from is on the disk, and no power cut takes it back. A file that is
    broken is an error at each use, never a fresh start: a fresh start would lower the floors to 0.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, *, wait_s: float = 10.0, disk: Disk = DISK
    ) -> None:
        """Names the folder; nothing is touched, and reading never makes it.

        Args:
            folder: Made with mode 0700 at the first write; `default_folder` unless given.
            wait_s: Seconds to wait for another process that is writing.
            disk: The system calls of the write sequence.
        """
        named = default_folder() if folder is None else os.fspath(folder)
        if "\0" in named:
            raise StateError("the folder of the state has a NUL in its name", hint="name another")
        self.folder = os.path.abspath(named)
        self._floors = DurableFile(self.folder, "floors.json", limit=_LIMIT, wait_s=wait_s, disk=disk)
        self._passed = DurableFile(self.folder, "passed.json", limit=_LIMIT, wait_s=wait_s, disk=disk)

    def floor(self, name: str) -> int:
        """The least security epoch that a bundle of this name may have; 0 where none was ever raised.

        Raises:
            StateError: The store is broken or cannot be read.
        """
        return self._read_floors().get(name, 0)

    def raise_floor(self, name: str, epoch: int) -> None:
        """Raises the floor of a name; one that is as high already stays, and then nothing is written.

        Args:
            name: Of the bundle.
            epoch: Of a bundle that was found good: no older one shall run from now on.

        Raises:
            StateError: The store is broken, cannot be written, or is locked for too long. The floor is then as it
                was, or already raised where only the last sync failed.
        """
        _refuse_key("name", name, _LONGEST_NAME)
        if not 0 <= epoch < _EPOCHS:
            raise StateError(f"a security epoch must lie within 0..2^63-1, and is {epoch}")

        def raised(data: bytes | None) -> bytes | None:
            floors = _floors_of(data, self._floors.path)
            higher = epoch > floors.get(name, 0)
            return _encode(_FLOORS, {**floors, name: epoch}) if higher else None

        # First the value, then whether it is settled: the other way round, a writer could come in between.
        if self._read_floors().get(name, 0) >= epoch and self._is_settled(self._floors):
            return
        self._update(self._floors, raised)

    def has_passed(self, key: str) -> bool:
        """Whether a self-test with this key is on record.

        Raises:
            StateError: The store is broken or cannot be read.
        """
        return key in _passed_of(self._read(self._passed), self._passed.path)

    def record_passed(self, key: str) -> None:
        """Records that a self-test has passed.

        Args:
            key: What was tested and on what; 1 to 200 printable characters.

        Raises:
            StateError: The store is broken, cannot be written, or is locked for too long.
        """
        _refuse_key("key", key, _LONGEST_NAME)

        def recorded(data: bytes | None) -> bytes | None:
            keys = _passed_of(data, self._passed.path)
            return None if key in keys else _encode(_PASSED, [*keys, key][-MOST_PASSED:])

        self._update(self._passed, recorded)

    def _read_floors(self) -> dict[str, int]:
        return _floors_of(self._read(self._floors), self._floors.path)

    def _read(self, file: DurableFile) -> bytes | None:
        try:
            return file.read()
        except OSError as problem:
            raise _unusable("read", file, problem) from None

    def _is_settled(self, file: DurableFile) -> bool:
        try:
            return file.is_settled()
        except OSError as problem:
            raise _unusable("read", file, problem) from None

    def _update(self, file: DurableFile, change: Callable[[bytes | None], bytes | None]) -> None:
        try:
            file.update(change)
        except OSError as problem:
            raise _unusable("write", file, problem) from None


def _unusable(verb: str, file: DurableFile, problem: OSError) -> StateError:
    hint = _HINTS.get(problem.errno or 0, "check the folder, or name another in EDGEKIT_STATE")
    reason = (problem.strerror or str(problem)).lower()
    return StateError(f"cannot {verb} the state in {file.path}: {reason}", hint=hint)


def _refuse_key(what: str, key: str, longest: int) -> None:
    if not 1 <= len(key) <= longest or UNPRINTABLE.search(key):
        raise StateError(f"a {what} must have 1 to {longest} printable characters, and is {shown(key)}")


def _encode(what: str, value: object) -> bytes:
    document = {"schema": SCHEMA, what: value}
    return strictjson.dump({**document, "checksum": f"{crc32(strictjson.dump(document)):08x}"})


def _decode(data: bytes, what: str, path: str) -> object:
    """The value in a file that is, byte for byte, what `_encode` makes of it."""
    try:
        document = strictjson.parse(data, path)
    except MalformedBundleError as error:
        raise StateError(str(error), hint=BROKEN) from None
    if not isinstance(document, dict) or not isinstance(document.get("schema"), int):
        raise StateError(f"{path} is not a state file of edgekit", hint=BROKEN)
    if document["schema"] > SCHEMA:
        newer = (
            f"{path} was written by a later edgekit (schema {document['schema']}; this one knows {SCHEMA})"
        )
        raise StateError(newer, hint="install that edgekit again")
    try:
        is_sound = what in document and _encode(what, document[what]) == data
    except ValueError:  # half of a surrogate pair, which no UTF-8 can hold
        is_sound = False
    if not is_sound:
        raise StateError(f"{path} is damaged: its checksum does not match", hint=BROKEN)
    return document[what]


def _floors_of(data: bytes | None, path: str) -> dict[str, int]:
    if data is None:
        return {}
    floors = _decode(data, _FLOORS, path)
    if not isinstance(floors, dict) or not all(
        type(epoch) is int and epoch >= 0 for epoch in floors.values()
    ):
        raise StateError(f"{path} holds something else than floors", hint=BROKEN)
    return floors


def _passed_of(data: bytes | None, path: str) -> list[str]:
    if data is None:
        return []
    keys = _decode(data, _PASSED, path)
    if not isinstance(keys, list) or not all(type(key) is str for key in keys):
        raise StateError(f"{path} holds something else than self-test records", hint=BROKEN)
    return keys
