"""Power cuts: every crash point of the real write sequence, and every disk that can be found after it."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from powercut import Call, Found, Killed, Log, RecordingDisk, disks_after, lay_out

from edgekit.durable import Disk
from edgekit.errors import StateError
from edgekit.state import StateStore

PACKAGES = Path(__file__).resolve().parents[2]
FOLDER = "var/edgekit"  # two folders deep, so that the first write makes folders too


class Unsynced(Disk):
    """A disk for the check after the cut, where thousands of syncs would only cost time."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_folder(self, path: str) -> None:
        pass


class NoFileSync(RecordingDisk):
    """The same sequence without the sync of the file."""

    def sync(self, descriptor: int) -> None:
        pass


class NoFolderSync(RecordingDisk):
    """The same sequence without any sync of folders."""

    def sync_folder(self, path: str) -> None:
        pass


class NoParentSync(RecordingDisk):
    """The same sequence without the sync of what lies above the store's own folder."""

    def sync_folder(self, path: str) -> None:
        if path.endswith("edgekit"):
            super().sync_folder(path)


class SyncAfterRename(RecordingDisk):
    """The same calls, but the file is synced only when it already has its name."""

    late = -1

    def sync(self, descriptor: int) -> None:
        self.late = os.dup(descriptor)
        self._open[self.late] = self._open[descriptor]

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        super().sync(self.late)
        os.close(self.late)


class InPlace(RecordingDisk):
    """No rename: the live file is emptied and written again."""

    def rename(self, old: str, new: str) -> None:
        if not os.path.lexists(new):
            super().rename(old, new)
            return
        data = memoryview(Path(old).read_bytes())
        descriptor = self.open(new, os.O_WRONLY)
        self.empty(descriptor)
        self.write(descriptor, data)
        super().sync(descriptor)
        self.close(descriptor)


class NoMark(RecordingDisk):
    """The same sequence, and the lock file never tells of a rename that is not yet synced."""

    def write(self, descriptor: int, data: memoryview) -> int:
        return len(data) if bytes(data) == b"1" else super().write(descriptor, data)


def raising(root: Path, disk: type[RecordingDisk], epochs: list[int], log: Log) -> None:
    """One process that raises the floor step by step."""
    store = StateStore(root / FOLDER, disk=disk(root, log))
    for epoch in epochs:
        store.raise_floor("cats", epoch)
        log.returned(epoch)


def promises(calls: list[Call]) -> Iterator[tuple[int, int, list[Call]]]:
    """Each crash point: calls until then, the floor that was promised, and the highest that is being written."""
    epochs = [call.epoch for call in calls if call.kind == "returned"]
    for count in range(len(calls) + 1):
        kept = max((call.epoch for call in calls[:count] if call.kind == "returned"), default=0)
        yield kept, min((epoch for epoch in epochs if epoch > kept), default=kept), calls[:count]


class Bench:
    """Checks found disks, each only once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self.seen: dict[Found, int | str] = {}
        self.states = 0

    def check(self, kept: int, writing: int, calls: list[Call]) -> None:
        for found in disks_after(calls):
            self.states += 1
            if found not in self.seen:
                self.seen[found] = self.reopened(found)
            floor = self.seen[found]
            if isinstance(floor, str) or not kept <= floor <= writing:
                self.faults.append(
                    f"after {len(calls)} calls: {floor}, and {kept} was promised: {sorted(found)}"
                )

    def reopened(self, found: Found) -> int | str:
        """What the store says on this disk: its floor, or why it is of no use."""
        root = self.folder / "found"
        root.mkdir()
        try:
            lay_out(found, root)
            store = StateStore(root / FOLDER, disk=Unsynced(), wait_s=0)
            floor = store.floor("cats")
            store.raise_floor("cats", floor + 10)
            after = StateStore(root / FOLDER).floor("cats")
            return floor if after == floor + 10 else f"a raise to {floor + 10} gave {after}"
        except StateError as error:
            return str(error)
        finally:
            shutil.rmtree(root)


def cut_everywhere(
    folder: Path, disk: type[RecordingDisk], *, before: int, epochs: list[int], to_first_fault: bool = False
) -> Bench:
    """Cuts the power at every point of the raises, on a device whose floor is already durable (or has none)."""
    root = folder / "device"
    root.mkdir()
    log = Log()
    if before:
        raising(root, RecordingDisk, [before], log)
    start = len(log.calls)
    raising(root, disk, epochs, log)
    bench = Bench(folder)
    for kept, writing, calls in promises(log.calls):
        if len(calls) >= start:
            bench.check(kept, writing, calls)
        if to_first_fault and bench.faults:
            break
    return bench


SCENES = [
    pytest.param(0, [3], id="the very first write"),
    pytest.param(0, [3, 4], id="the first two"),
    pytest.param(3, [4], id="a raise"),
    pytest.param(3, [4, 7], id="two raises"),
]


@pytest.mark.parametrize(("before", "epochs"), SCENES)
def test_no_power_cut_lowers_a_floor_or_breaks_the_store(
    fast_folder: Path, before: int, epochs: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    bench = cut_everywhere(fast_folder, RecordingDisk, before=before, epochs=epochs)
    assert bench.faults == []
    assert len(bench.seen) > 100
    with capsys.disabled():
        print(f" [{bench.states:,} states, {len(bench.seen):,} different disks]", end="")


FIRST, FIRST_TWO, ONE, TWO = (str(scene.id) for scene in SCENES)
CAUGHT_IN: dict[type[RecordingDisk], list[str]] = {
    NoFileSync: [FIRST, FIRST_TWO, ONE, TWO],
    NoFolderSync: [FIRST, FIRST_TWO, ONE, TWO],
    NoParentSync: [FIRST, FIRST_TWO],
    SyncAfterRename: [FIRST, FIRST_TWO, ONE, TWO],
    InPlace: [FIRST_TWO, ONE, TWO],
}


@pytest.mark.parametrize("weakened", CAUGHT_IN, ids=lambda disk: disk.__name__)
def test_the_same_test_catches_a_weaker_sequence(fast_folder: Path, weakened: type[RecordingDisk]) -> None:
    caught = []
    for scene in SCENES:
        folder = fast_folder / str(scene.id)
        folder.mkdir()
        before, epochs = scene.values
        bench = cut_everywhere(folder, weakened, before=before, epochs=epochs, to_first_fault=True)
        caught += [scene.id] if bench.faults else []
    assert caught == CAUGHT_IN[weakened]


def killed_then_cut(folder: Path, disk: type[RecordingDisk]) -> Bench:
    """A writer is killed at every point, another process raises to the same epoch, then the power is cut."""
    bench = Bench(folder)
    dies_after = 0
    died = True
    while died:
        root = folder / f"device-{dies_after}"
        root.mkdir()
        log = Log()
        raising(root, RecordingDisk, [3], log)
        died = False
        try:
            StateStore(root / FOLDER, disk=disk(root, log, dies_after)).raise_floor("cats", 4)
        except Killed:
            died = True
        raising(root, disk, [4], log)
        bench.check(4, 4, log.calls)
        dies_after += 1
    assert dies_after > 6
    return bench


def test_what_a_killed_writer_left_unsynced_is_synced_before_anyone_relies_on_it(
    fast_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = killed_then_cut(fast_folder, RecordingDisk)
    assert bench.faults == []
    with capsys.disabled():
        print(f" [{bench.states:,} states]", end="")


def test_without_the_mark_in_the_lock_file_it_would_not_be(fast_folder: Path) -> None:
    assert killed_then_cut(fast_folder, NoMark).faults


RAISER = """
import sys
from edgekit.state import StateStore
store = StateStore(sys.argv[1])
epoch = store.floor("cats")
print(epoch, flush=True)
while True:
    epoch += 1
    store.raise_floor("cats", epoch)
    store.record_passed(f"bundle-{epoch}")
    print(epoch, flush=True)
"""


def test_floors_survive_a_writer_that_is_killed_again_and_again(tmp_path: Path) -> None:
    dice = random.Random(5)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(PACKAGES / name) for name in ("sdk", "device_targets")),
    }
    told = 0
    for _ in range(36):
        child = subprocess.Popen(
            [sys.executable, "-c", RAISER, str(tmp_path / "state")],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert child.stdout is not None
        found = int(child.stdout.readline())
        assert found >= told
        for _ in range(dice.randint(1, 5)):
            told = int(child.stdout.readline())
        time.sleep(dice.uniform(0, 0.005))  # so that it dies anywhere in its sequence
        child.kill()
        for line in child.stdout.read().splitlines(keepends=True):
            told = int(line) if line.endswith("\n") else told
        child.wait()
        child.stdout.close()
        store = StateStore(tmp_path / "state")
        assert store.floor("cats") >= told
        store.has_passed("any")  # raises where the file is broken
    assert told > 36


@pytest.fixture
def fast_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: the states are thousands of small folders."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    folder = memory / f"edgekit-{os.getpid()}-{tmp_path.name}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)
