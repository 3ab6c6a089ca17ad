from __future__ import annotations

import errno
import os
import resource
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.errors import BundleError, OutputError, SourceError
from edgekit.files import (
    ensure_writable,
    read_capped,
    refuse_inputs,
    write_all_atomically,
    write_atomically,
)

AS_ROOT = os.geteuid() == 0
PACKAGES = Path(__file__).resolve().parents[2]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestWriting:
    def test_a_new_file_is_complete_and_alone(self, tmp_path: Path) -> None:
        write_atomically(tmp_path / "a.edgekit", b"content")
        assert (tmp_path / "a.edgekit").read_bytes() == b"content"
        assert names(tmp_path) == ["a.edgekit"]

    def test_an_old_file_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"old, and longer")
        write_atomically(path, b"new")
        assert path.read_bytes() == b"new"

    def test_a_bare_name_goes_to_the_working_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write_atomically(Path("a"), b"here")
        assert names(tmp_path) == ["a"]

    @pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
    def test_the_mode_follows_the_umask(self, tmp_path: Path, umask: int, mode: int) -> None:
        before = os.umask(umask)
        try:
            write_atomically(tmp_path / "a", b"")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
    @pytest.mark.parametrize(
        "write", [write_atomically, lambda path, data: write_all_atomically({path: data})]
    )
    def test_a_file_that_is_replaced_hands_its_permissions_on(
        self, tmp_path: Path, mode: int, write: Callable[[Path, bytes], None]
    ) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"old")
        path.chmod(mode)
        write(path, b"new")
        assert path.read_bytes() == b"new"
        assert stat.S_IMODE(path.stat().st_mode) == mode

    def test_no_overwriting_where_that_was_asked(self, tmp_path: Path) -> None:
        path = tmp_path / "key.pem"
        write_atomically(path, b"first", overwrite=False)
        with pytest.raises(OutputError, match=r"key\.pem: file exists") as caught:
            write_atomically(path, b"second", overwrite=False)
        assert caught.value.hint == "remove the file that is there, or choose another name"
        assert path.read_bytes() == b"first"
        assert names(tmp_path) == ["key.pem"]

    def test_where_hard_links_are_not_to_be_had_it_still_never_overwrites(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(self: Path, target: Path) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))  # what FAT says

        monkeypatch.setattr(Path, "hardlink_to", refuse)
        write_atomically(tmp_path / "a", b"first", overwrite=False)
        with pytest.raises(OutputError, match="file exists"):
            write_atomically(tmp_path / "a", b"second", overwrite=False)
        assert (tmp_path / "a").read_bytes() == b"first"
        assert names(tmp_path) == ["a"]

    def test_a_symbolic_link_is_replaced_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "target").write_bytes(b"keep")
        (tmp_path / "link").symlink_to("target")
        write_atomically(tmp_path / "link", b"new")
        assert not (tmp_path / "link").is_symlink()
        assert (tmp_path / "target").read_bytes() == b"keep"

    @pytest.mark.parametrize("stage", ["fsync", "replace"])
    @pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError, OSError(errno.EIO, "I/O error")])
    def test_a_failure_at_any_stage_leaves_the_old_file_and_nothing_else(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        stage: str,
        failure: type[BaseException] | OSError,
    ) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"old")

        def fail(*_: object) -> None:
            raise failure

        monkeypatch.setattr(os if stage == "fsync" else Path, stage, fail)
        expected = OutputError if isinstance(failure, OSError) else failure
        with pytest.raises(expected):
            write_atomically(path, b"new")
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["a"]

    def test_a_full_disk_is_an_error_with_a_remedy_and_leaves_nothing(self, tmp_path: Path) -> None:
        # A limit on the size of files stands in for a full disk: write() then comes short and fails (EFBIG).
        code = (
            "import resource, signal, sys; from pathlib import Path\n"
            f"sys.path[:0] = {[str(PACKAGES / 'device_targets'), str(PACKAGES / 'sdk')]!r}\n"
            "from edgekit.errors import OutputError; from edgekit.files import write_atomically\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))\n"
            "try: write_atomically(Path('big'), bytes(100_000))\n"
            "except OutputError as error: print(error, '|', error.hint)\n"
        )
        done = subprocess.run(
            [sys.executable, "-B", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.stdout == "cannot write big: file too large | choose another path\n", done.stderr
        assert names(tmp_path) == []

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
    def test_no_space_left_says_to_make_room(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real_open = os.open

        def open_full(path: object, flags: int, mode: int = 0o777) -> int:
            name = "/dev/full" if str(path).endswith(".tmp") else str(path)
            return real_open(name, flags & ~os.O_EXCL, mode)

        monkeypatch.setattr(os, "open", open_full)
        with pytest.raises(OutputError, match="no space left on device") as caught:
            write_atomically(tmp_path / "a", b"x" * 100)
        assert caught.value.hint == "make room on the disk, or choose another folder"
        assert names(tmp_path) == []

    def test_two_writers_at_once_leave_one_whole_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        contents = [bytes([index]) * 100_000 for index in range(8)]
        threads = [threading.Thread(target=write_atomically, args=(path, content)) for content in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert path.read_bytes() in contents
        assert names(tmp_path) == ["a"]


class TestWritingSeveral:
    def test_all_are_complete_and_alone(self, tmp_path: Path) -> None:
        (tmp_path / "b").write_bytes(b"old, and longer")
        (tmp_path / "sub").mkdir()
        contents = {tmp_path / "a": b"1", tmp_path / "b": b"2", tmp_path / "sub" / "c": b"3"}
        write_all_atomically(contents)
        assert {path: path.read_bytes() for path in contents} == contents
        assert (names(tmp_path), names(tmp_path / "sub")) == (["a", "b", "sub"], ["c"])

    def test_nothing_is_nothing(self) -> None:
        write_all_atomically({})

    @pytest.mark.parametrize("bad", ["gone/c", "folder", "a/c"])
    def test_one_that_cannot_be_written_leaves_all_as_they_were(self, tmp_path: Path, bad: str) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "a").write_bytes(b"old")
        contents = {tmp_path / "a": b"new", tmp_path / "b": b"new", tmp_path / bad: b"new"}
        with pytest.raises(OutputError, match=f"cannot write {tmp_path}/{bad}: "):
            write_all_atomically(contents)
        assert names(tmp_path) == ["a", "folder"]
        assert (tmp_path / "a").read_bytes() == b"old"

    @pytest.mark.parametrize("links", [True, False])
    def test_a_name_that_cannot_be_taken_gives_the_others_back(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
    ) -> None:
        """What a folder with a sticky bit does, where another user's file has the name."""
        real = Path.replace

        def refuse(self: Path, target: Path) -> Path:
            if target.name == "theirs":
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
            return real(self, target)

        def no_links(self: Path, target: Path) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(Path, "replace", refuse)
        if not links:
            monkeypatch.setattr(Path, "hardlink_to", no_links)
        for name in ("old", "theirs"):
            (tmp_path / name).write_bytes(b"old")
        contents = {tmp_path / name: b"new" for name in ("old", "fresh", "theirs")}
        with pytest.raises(OutputError, match="theirs: operation not permitted"):
            write_all_atomically(contents)
        assert (tmp_path / "theirs").read_bytes() == b"old"
        if links:
            assert names(tmp_path) == ["old", "theirs"]
            assert (tmp_path / "old").read_bytes() == b"old"
        else:  # a file system without hard links, such as FAT, keeps what was written
            assert names(tmp_path) == ["fresh", "old", "theirs"]
            assert (tmp_path / "old").read_bytes() == b"new"


class TestRefusingAnOutput:
    def check(self, path: Path, message: str, hint: str) -> None:
        for refuse in (ensure_writable, lambda path: write_atomically(path, b"x")):
            with pytest.raises(OutputError, match=message) as caught:
                refuse(path)
            assert str(path) in str(caught.value)
            assert caught.value.hint is not None
            assert hint in caught.value.hint

    def test_missing_folder(self, tmp_path: Path) -> None:
        self.check(tmp_path / "no" / "a", "no such file or directory", f"mkdir -p {tmp_path / 'no'}")
        assert names(tmp_path) == []

    def test_folder_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        self.check(tmp_path / "file" / "a", "not a directory", "choose another folder")

    def test_path_is_a_folder(self, tmp_path: Path) -> None:
        self.check(tmp_path, "is a directory", "the name of a file")

    def test_path_is_dots(self, tmp_path: Path) -> None:
        self.check(tmp_path / "..", "is a directory", "the name of a file")

    def test_path_is_a_device(self) -> None:
        self.check(Path("/dev/null"), "it is not a regular file", "the name of a file")

    def test_name_too_long(self, tmp_path: Path) -> None:
        self.check(tmp_path / ("x" * 300), "file name too long", "shorter name")

    def test_nul_in_the_name(self, tmp_path: Path) -> None:
        self.check(tmp_path / "a\0b", "null", "choose another path")

    def test_loop_of_links(self, tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to("loop")
        self.check(tmp_path / "loop" / "a", "too many levels of symbolic links", "choose another path")

    @pytest.mark.skipif(AS_ROOT, reason="root may write everywhere")
    def test_folder_that_may_not_be_written(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        try:
            self.check(tmp_path / "a", "permission denied", "a folder that you may write to")
        finally:
            tmp_path.chmod(0o700)

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
    def test_file_system_that_takes_no_files(self) -> None:
        self.check(Path("/proc/a"), "permission denied|no such file|not permitted", "")

    def test_a_name_that_works_is_accepted_and_left_alone(self, tmp_path: Path) -> None:
        ensure_writable(tmp_path / "new")
        (tmp_path / "old").write_bytes(b"old")
        ensure_writable(tmp_path / "old")
        assert names(tmp_path) == ["old"]
        assert (tmp_path / "old").read_bytes() == b"old"


class TestRefusingInputs:
    @pytest.mark.parametrize("name", ["read", "./read", "link", "hard", "missing", "dangling"])
    def test_what_is_read_is_not_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("read").write_bytes(b"x")
        Path("link").symlink_to("read")
        Path("hard").hardlink_to("read")
        Path("dangling").symlink_to("missing")
        taken = {tmp_path / "read": "the model", tmp_path / "missing": "the model"}
        with pytest.raises(OutputError, match="it is the model") as caught:
            refuse_inputs(Path(name), taken)
        assert caught.value.hint == "choose another name"

    def test_another_file_is_fine(self, tmp_path: Path) -> None:
        for name in ("read", "old"):
            (tmp_path / name).write_bytes(b"x")
        taken = {tmp_path / "read": "the model", tmp_path / "missing": "its labels"}
        refuse_inputs(tmp_path / "old", taken)
        refuse_inputs(tmp_path / "new", taken)


class TestReading:
    def check(self, path: Path, message: str, limit: int = 100) -> None:
        with pytest.raises(BundleError, match=message) as caught:
            read_capped(path, limit)
        assert caught.value.hint

    def test_whole_file_up_to_the_limit(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"x" * 100)
        assert read_capped(tmp_path / "a", 100) == b"x" * 100

    def test_through_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"x")
        (tmp_path / "link").symlink_to("a")
        assert read_capped(tmp_path / "link", 100) == b"x"

    def test_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"")
        assert read_capped(tmp_path / "a", 100) == b""

    def test_file_above_the_limit_is_not_read(self, tmp_path: Path) -> None:
        with (tmp_path / "a").open("wb") as file:
            file.truncate(1 << 40)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.check(tmp_path / "a", "it has 1,099,511,627,776 bytes, and at most 100 are read")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000

    def test_missing(self, tmp_path: Path) -> None:
        self.check(tmp_path / "a", "there is no such file")

    def test_folder(self, tmp_path: Path) -> None:
        self.check(tmp_path, "it is a folder")

    def test_fifo_without_a_writer_does_not_block(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        self.check(tmp_path / "fifo", "it is not a regular file")

    def test_device(self) -> None:
        self.check(Path("/dev/zero"), "it is not a regular file")

    def test_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
            self.check(Path("socket"), "cannot read socket: no such device or address")

    def test_nul_in_the_name(self, tmp_path: Path) -> None:
        self.check(tmp_path / "a\0b", "null")

    def test_file_without_permission(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"x")
        path.chmod(0)
        if AS_ROOT:
            pytest.skip("root may read everything")
        self.check(path, "permission denied")

    def test_file_whose_size_lies(self) -> None:
        if not Path("/proc/self/status").exists():
            pytest.skip("no /proc here")
        self.check(Path("/proc/self/status"), "it changed meanwhile")

    def test_error_class_is_the_callers(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="there is no such file"):
            read_capped(tmp_path / "a", 100, error=SourceError)
