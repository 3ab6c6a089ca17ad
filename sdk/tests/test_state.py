"""The state store: floors only rise, records are kept, and whatever is wrong with a file is said, not repaired."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.durable import Disk
from edgekit.errors import StateError
from edgekit.state import MOST_PASSED, StateStore, default_folder

PACKAGES = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(PACKAGES / name) for name in ("sdk", "device_targets")),
}
AS_ROOT = os.geteuid() == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(folder: Path) -> StateStore:
    return StateStore(folder)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestFloors:
    def test_a_name_that_was_never_raised_has_floor_0_and_reading_makes_nothing(
        self, store: StateStore, folder: Path
    ) -> None:
        assert store.floor("cats") == 0
        assert not folder.exists()

    def test_a_floor_rises_and_other_names_keep_theirs(self, store: StateStore, folder: Path) -> None:
        store.raise_floor("cats", 3)
        store.raise_floor("猫", 2**63 - 1)
        again = StateStore(str(folder))
        assert (again.floor("cats"), again.floor("猫"), again.floor("Cats")) == (3, 2**63 - 1, 0)

    @pytest.mark.parametrize("epoch", [0, 2, 3])
    def test_what_is_not_higher_writes_nothing(self, store: StateStore, folder: Path, epoch: int) -> None:
        store.raise_floor("cats", 3)
        before = (folder / "floors.json").stat()
        store.raise_floor("cats", epoch)
        after = (folder / "floors.json").stat()
        assert store.floor("cats") == 3
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    def test_epoch_0_needs_no_store_at_all(self, store: StateStore, folder: Path) -> None:
        store.raise_floor("cats", 0)
        assert not folder.exists()

    @pytest.mark.parametrize("epoch", [-1, 2**63])
    def test_impossible_epochs_are_refused(self, store: StateStore, folder: Path, epoch: int) -> None:
        with pytest.raises(StateError, match="a security epoch must lie within"):
            store.raise_floor("cats", epoch)
        assert not folder.exists()

    @pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\ud800", "\u202eexe"])
    def test_impossible_names_are_refused(self, store: StateStore, name: str) -> None:
        with pytest.raises(StateError, match="must have 1 to 200 printable characters"):
            store.raise_floor(name, 1)

    @given(
        raises=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=12),
        again=st.booleans(),
    )
    @settings(max_examples=30, deadline=None)
    def test_whatever_the_order_each_floor_is_the_highest(
        self, tmp_path_factory: pytest.TempPathFactory, raises: list[tuple[str, int]], again: bool
    ) -> None:
        folder = tmp_path_factory.mktemp("state")
        store = StateStore(folder)
        for name, epoch in raises:
            (StateStore(folder) if again else store).raise_floor(name, epoch)
        for name in "abc":
            assert store.floor(name) == max((epoch for each, epoch in raises if each == name), default=0)

    def test_a_file_that_would_grow_beyond_its_limit_is_not_written(
        self, store: StateStore, folder: Path
    ) -> None:
        store.raise_floor("cats", 1)
        write_floors(folder, {f"{index:0200d}": 1 for index in range(4900)})
        room = (1 << 20) - (folder / "floors.json").stat().st_size
        line = len('    "": 1,\n') + 200
        write_floors(folder, {f"{index:0200d}": 1 for index in range(4900 + room // line)})
        with pytest.raises(StateError, match="would have more than 1,048,576 bytes"):
            store.raise_floor("x" * 200, 1)
        assert store.floor(f"{0:0200d}") == 1


class TestRecords:
    def test_what_was_recorded_has_passed(self, store: StateStore, folder: Path) -> None:
        assert not store.has_passed("a")
        assert not folder.exists()
        store.record_passed("a")
        assert StateStore(folder).has_passed("a")
        assert not store.has_passed("b")

    def test_floors_and_records_do_not_touch_each_other(self, store: StateStore, folder: Path) -> None:
        store.raise_floor("cats", 3)
        before = (folder / "floors.json").read_bytes()
        store.record_passed("a")
        assert (folder / "floors.json").read_bytes() == before
        (folder / "passed.json").write_bytes(b"garbage")
        assert store.floor("cats") == 3
        store.raise_floor("cats", 4)
        with pytest.raises(StateError, match=r"passed\.json is not JSON"):
            store.has_passed("a")

    def test_the_oldest_goes_when_there_are_too_many(self, store: StateStore, folder: Path) -> None:
        store.record_passed("first")
        keys = [f"key-{index}" for index in range(MOST_PASSED - 1)]
        write_document(folder / "passed.json", {"schema": 1, "passed": ["first", *keys]})
        assert store.has_passed("first")
        store.record_passed("one more")
        assert not store.has_passed("first")
        assert store.has_passed(keys[0])
        assert store.has_passed("one more")

    def test_recording_twice_writes_once(self, store: StateStore, folder: Path) -> None:
        store.record_passed("a")
        before = (folder / "passed.json").stat().st_ino
        store.record_passed("a")
        assert (folder / "passed.json").stat().st_ino == before


def write_document(path: Path, document: dict[str, object]) -> None:
    """A state file with a right checksum, written by hand."""
    from zlib import crc32

    def spelled(value: object) -> bytes:
        return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()

    path.write_bytes(spelled({**document, "checksum": f"{crc32(spelled(document)):08x}"}))


def write_floors(folder: Path, floors: object) -> None:
    write_document(folder / "floors.json", {"schema": 1, "floors": floors})


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "is not JSON"),
    "zeros": (lambda data: bytes(len(data)), "is not JSON"),
    "half": (lambda data: data[: len(data) // 2], "is not JSON"),
    "without its last byte": (lambda data: data[:-1], "is damaged"),
    "with one byte more": (lambda data: data + b"\n", "is damaged"),
    "twice": (lambda data: data + data, "is not JSON"),
    "binary": (lambda data: b"\x80\x04\x95", "is not UTF-8"),
    "a list": (lambda data: b"[]\n", "is not a state file"),
    "no schema": (lambda data: b"{}\n", "is not a state file"),
    "another epoch": (lambda data: data.replace(b": 3", b": 2"), "is damaged"),
    "another name": (lambda data: data.replace(b"cats", b"dogs"), "is damaged"),
    "another checksum": (flip(20), "is damaged"),
    "the key twice": (
        lambda data: data.replace(b'"cats": 3', b'"cats": 3, "cats": 1'),
        "twice in one object",
    ),
    "other spelling": (lambda data: json.dumps(json.loads(data)).encode(), "is damaged"),
    "endless nesting": (lambda data: b"[" * 100_000, "nests deeper"),
    "huge": (lambda data: b" " * (1 << 20) + data, "has more than 1,048,576 bytes"),
}


class TestBrokenFiles:
    @pytest.mark.parametrize(("spoil", "message"), BROKEN.values(), ids=BROKEN)
    def test_is_refused_by_readers_and_writers_and_left_alone(
        self, store: StateStore, folder: Path, spoil: Callable[[bytes], bytes], message: str
    ) -> None:
        store.raise_floor("cats", 3)
        path = folder / "floors.json"
        broken = spoil(path.read_bytes())
        path.write_bytes(broken)
        for use in (lambda: store.floor("cats"), lambda: store.raise_floor("cats", 9)):
            with pytest.raises(StateError, match=message) as caught:
                use()
            assert caught.value.hint
            assert str(path) in str(caught.value)
        assert path.read_bytes() == broken

    @pytest.mark.parametrize("floors", [[], {"cats": -1}, {"cats": 1.0}, {"cats": True}, {"cats": "3"}, None])
    def test_a_right_checksum_over_wrong_contents_does_not_help(
        self, store: StateStore, folder: Path, floors: object
    ) -> None:
        store.raise_floor("cats", 3)
        write_floors(folder, floors)
        with pytest.raises(StateError, match="something else than floors"):
            store.floor("cats")

    def test_nor_over_wrong_records(self, store: StateStore, folder: Path) -> None:
        store.record_passed("a")
        write_document(folder / "passed.json", {"schema": 1, "passed": ["a", 1]})
        with pytest.raises(StateError, match="something else than self-test records"):
            store.has_passed("a")

    def test_a_newer_schema_is_not_guessed_at(self, store: StateStore, folder: Path) -> None:
        store.raise_floor("cats", 3)
        write_document(folder / "floors.json", {"schema": 2, "floors": {"cats": 3}, "more": 1})
        with pytest.raises(StateError, match=r"written by a later edgekit \(schema 2; this one knows 1\)"):
            store.floor("cats")

    @given(noise=st.binary(max_size=200))
    @settings(max_examples=100, deadline=None)
    def test_noise_is_an_error_and_nothing_else(
        self, tmp_path_factory: pytest.TempPathFactory, noise: bytes
    ) -> None:
        folder = tmp_path_factory.mktemp("state")
        (folder / "floors.json").write_bytes(noise)
        with pytest.raises(StateError):
            StateStore(folder).floor("cats")


class TestOddFiles:
    def test_files_are_for_this_user_alone(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            store = StateStore(tmp_path / "a" / "b")
            store.raise_floor("cats", 1)
            store.record_passed("a")
        finally:
            os.umask(before)
        for path in (tmp_path / "a", tmp_path / "a" / "b"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        for path in (tmp_path / "a" / "b").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert names(tmp_path / "a" / "b") == [
            "floors.json",
            "floors.json.lock",
            "passed.json",
            "passed.json.lock",
        ]

    @pytest.mark.parametrize("name", ["floors.json", "floors.json.lock"])
    def test_a_symbolic_link_in_place_of_a_file_is_not_followed(
        self, store: StateStore, folder: Path, tmp_path: Path, name: str
    ) -> None:
        store.raise_floor("cats", 3)
        (tmp_path / "elsewhere").write_bytes((folder / name).read_bytes())
        (folder / name).unlink()
        (folder / name).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StateError, match="too many levels of symbolic links") as caught:
            store.raise_floor("cats", 4)
        assert caught.value.hint == "remove the symbolic link that stands in place of the file"

    def test_a_link_in_place_of_the_new_file_is_removed_and_what_it_names_stays(
        self, store: StateStore, folder: Path, tmp_path: Path
    ) -> None:
        store.raise_floor("cats", 3)
        (tmp_path / "victim").write_bytes(b"precious")
        (folder / "floors.json.new").symlink_to(tmp_path / "victim")
        store.raise_floor("cats", 4)
        assert store.floor("cats") == 4
        assert (tmp_path / "victim").read_bytes() == b"precious"

    @pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["FIFO", "folder"])
    @pytest.mark.parametrize("name", ["floors.json", "floors.json.lock"])
    def test_what_is_no_file_is_refused_and_nothing_hangs(
        self, store: StateStore, folder: Path, make: Callable[[Path], None], name: str
    ) -> None:
        folder.mkdir(mode=0o700)
        make(folder / name)
        with pytest.raises(StateError, match=r"is not a regular file|is a directory"):
            store.raise_floor("cats", 3)

    def test_a_folder_that_others_may_write_to_is_refused(self, store: StateStore, folder: Path) -> None:
        store.raise_floor("cats", 3)
        folder.chmod(0o770)
        for use in (lambda: store.floor("cats"), lambda: store.raise_floor("cats", 9)):
            with pytest.raises(StateError, match="can be written by other users") as caught:
                use()
            assert caught.value.hint == f"chmod go-w {folder}"

    def test_so_is_a_file(self, store: StateStore, folder: Path) -> None:
        store.raise_floor("cats", 3)
        (folder / "floors.json").chmod(0o602)
        with pytest.raises(StateError, match=r"floors\.json can be written by other users"):
            store.floor("cats")

    @pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
    def test_another_users_folder_is_refused(self, store: StateStore, folder: Path) -> None:
        store.raise_floor("cats", 3)
        os.chown(folder, 65534, -1)
        with pytest.raises(StateError, match="belongs to user 65534, and this is user 0") as caught:
            store.raise_floor("cats", 4)
        assert "EDGEKIT_STATE" in (caught.value.hint or "")

    def test_a_file_where_the_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "state").write_bytes(b"")
        for folder in (tmp_path / "state", tmp_path / "state" / "deeper"):
            with pytest.raises(StateError, match=r"a directory|file exists"):
                StateStore(folder).raise_floor("cats", 3)

    def test_the_folder_may_be_reached_by_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir(mode=0o700)
        (tmp_path / "lib").symlink_to("data")
        StateStore(tmp_path / "lib").raise_floor("cats", 3)
        assert StateStore(tmp_path / "data").floor("cats") == 3


class TestFailingDisks:
    def test_a_full_disk_is_an_error_and_the_old_floor_stays(self, store: StateStore, folder: Path) -> None:
        # A limit on the size of files stands in for a full disk: write() then comes short and fails (EFBIG).
        store.raise_floor("cats", 3)
        code = (
            "import resource, signal, sys\n"
            "from edgekit.errors import StateError; from edgekit.state import StateStore\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (40, resource.RLIM_INFINITY))\n"
            "try: StateStore(sys.argv[1]).raise_floor('cats', 4)\n"
            "except StateError as error: print(error, '|', error.hint)\n"
        )
        done = subprocess.run(
            [sys.executable, "-B", "-c", code, folder],
            capture_output=True,
            text=True,
            timeout=60,
            env=ENVIRONMENT,
            check=False,
        )
        assert "cannot write the state" in done.stdout, done.stderr
        assert "file too large" in done.stdout
        assert store.floor("cats") == 3
        assert names(folder) == ["floors.json", "floors.json.lock"]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
    def test_no_space_left_says_to_make_room(self, folder: Path) -> None:
        class Full(Disk):
            def open(self, path: str, flags: int) -> int:
                if path.endswith(".new"):
                    return os.open("/dev/full", os.O_WRONLY)
                return super().open(path, flags)

        StateStore(folder).raise_floor("cats", 3)
        with pytest.raises(StateError, match="no space left on device") as caught:
            StateStore(folder, disk=Full()).raise_floor("cats", 4)
        assert caught.value.hint == "make room on the disk"
        assert StateStore(folder).floor("cats") == 3

    @pytest.mark.parametrize("call", ["open", "write", "sync", "rename"])
    @pytest.mark.parametrize("failure", [OSError(errno.EIO, "I/O error"), KeyboardInterrupt(), MemoryError()])
    def test_a_failure_before_the_rename_leaves_the_old_floor_and_no_litter(
        self, folder: Path, call: str, failure: BaseException
    ) -> None:
        StateStore(folder).raise_floor("cats", 3)

        class Failing(Disk):
            pass

        def fail(self: Disk, *arguments: object) -> int:
            if call == "open" and not str(arguments[0]).endswith(".new"):
                return Disk.open(self, *arguments)  # type: ignore[arg-type]
            raise failure

        setattr(Failing, call, fail)
        with pytest.raises(StateError if isinstance(failure, OSError) else type(failure)):
            StateStore(folder, disk=Failing()).raise_floor("cats", 4)
        assert StateStore(folder).floor("cats") == 3
        StateStore(folder).raise_floor("cats", 4)
        assert StateStore(folder).floor("cats") == 4
        assert names(folder) == ["floors.json", "floors.json.lock"]

    def test_where_the_last_sync_fails_the_next_raise_makes_good_for_it(self, folder: Path) -> None:
        synced = []

        class Flaky(Disk):
            fails = True

            def sync_folder(self, path: str) -> None:
                if self.fails:
                    raise OSError(errno.EIO, "I/O error")
                synced.append(path)
                super().sync_folder(path)

        disk = Flaky()
        store = StateStore(folder, disk=disk)
        with pytest.raises(StateError, match="i/o error") as caught:
            store.raise_floor("cats", 3)
        assert caught.value.hint == "the disk fails: replace it"
        disk.fails = False
        store.raise_floor("cats", 3)
        assert synced[:2] == [str(folder), str(folder.parent)]
        synced.clear()
        store.raise_floor("cats", 3)
        assert synced == []


class TestSeveralAtOnce:
    def test_processes_raise_and_record_at_once_and_nothing_is_lost(
        self, store: StateStore, folder: Path
    ) -> None:
        code = (
            "import random, sys; from edgekit.state import StateStore\n"
            "who = int(sys.argv[2]); dice = random.Random(who); store = StateStore(sys.argv[1], wait_s=60)\n"
            "for turn in range(40):\n"
            "    before = store.floor('cats')\n"
            "    store.raise_floor('cats', dice.randrange(1000))\n"
            "    assert store.floor('cats') >= before\n"
            "    store.raise_floor(f'own-{who}', turn + 1)\n"
            "    store.record_passed(f'{who}-{turn}')\n"
        )
        children = [
            subprocess.Popen([sys.executable, "-c", code, folder, str(who)], env=ENVIRONMENT)
            for who in range(5)
        ]
        assert [child.wait() for child in children] == [0] * 5
        import random

        highest = max(random.Random(who).randrange(1000) for who in range(5))
        drawn = []
        for who in range(5):
            dice = random.Random(who)
            drawn += [dice.randrange(1000) for _ in range(40)]
        assert store.floor("cats") == max(drawn) >= highest
        for who in range(5):
            assert store.floor(f"own-{who}") == 40
            assert all(store.has_passed(f"{who}-{turn}") for turn in range(40))

    def test_threads_share_one_store(self, store: StateStore) -> None:
        def work(who: int) -> None:
            for turn in range(10):
                store.raise_floor(f"name-{who}", turn + 1)

        threads = [threading.Thread(target=work, args=(who,)) for who in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [store.floor(f"name-{who}") for who in range(6)] == [10] * 6

    def test_a_lock_that_is_not_given_back_is_an_error_not_a_hang(self, folder: Path) -> None:
        StateStore(folder).raise_floor("cats", 3)
        with (folder / "floors.json.lock").open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            waiting = StateStore(folder, wait_s=0.05)
            assert waiting.floor("cats") == 3  # readers need no lock
            waiting.raise_floor("cats", 3)  # nor does what is not higher
            with pytest.raises(StateError, match=r"another process has held .* for 0\.05 s"):
                waiting.raise_floor("cats", 4)
        waiting.raise_floor("cats", 4)
        assert waiting.floor("cats") == 4


class TestWhere:
    def test_the_environment_says_where(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("EDGEKIT_STATE", str(tmp_path / "here"))
        assert default_folder() == str(tmp_path / "here")
        StateStore().raise_floor("cats", 3)
        assert (tmp_path / "here" / "floors.json").exists()

    def test_a_relative_path_does_not_move_with_the_process(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        store = StateStore("here")
        monkeypatch.chdir("/")
        store.raise_floor("cats", 3)
        assert (tmp_path / "here" / "floors.json").exists()

    @pytest.mark.parametrize(
        ("user", "environment", "folder"),
        [
            (0, {"HOME": "/root", "XDG_STATE_HOME": "/x"}, "/var/lib/edgekit"),
            (1000, {"HOME": "/home/pi", "XDG_STATE_HOME": "/x"}, "/x/edgekit"),
            (1000, {"HOME": "/home/pi", "XDG_STATE_HOME": "relative"}, "/home/pi/.local/state/edgekit"),
            (1000, {"HOME": "/home/pi", "EDGEKIT_STATE": ""}, "/home/pi/.local/state/edgekit"),
        ],
    )
    def test_else_the_user_does(
        self, monkeypatch: pytest.MonkeyPatch, user: int, environment: dict[str, str], folder: str
    ) -> None:
        for name in ("EDGEKIT_STATE", "XDG_STATE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(os, "geteuid", lambda: user)
        assert default_folder() == folder
