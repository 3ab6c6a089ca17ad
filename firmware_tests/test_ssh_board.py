"""A board over ssh is a board like any other: here it is this very computer, behind a real OpenSSH server."""

from __future__ import annotations

import importlib.util
import platform
import shlex
import sys
from pathlib import Path

import pytest
from board_kinds import PYTHON_VARIABLE, SSH_VARIABLE, ssh_board
from old_bundles import kept

from edgekit.version import __version__

if importlib.util.find_spec("loopback_sshd") is None:
    pytest.skip("the server of the tests, loopback_sshd, is not there", allow_module_level=True)

import loopback_sshd

pytestmark = pytest.mark.skipif(
    bool(loopback_sshd.MISSING), reason=f"not installed: {', '.join(loopback_sshd.MISSING)}"
)


def test_edgekit_is_installed_and_run_there_and_removed_again(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loopback_sshd.running(tmp_path) as device:
        options = [word for option in device.options() for word in ("-o", option)]
        monkeypatch.setenv(SSH_VARIABLE, shlex.join(options))
        monkeypatch.setenv(PYTHON_VARIABLE, sys.executable)
        with ssh_board(f"ssh://{loopback_sshd.HOST}", wheel) as board:
            assert board.machine == platform.machine()
            assert board.run(["edgekit", "--version"]).stdout == f"edgekit {__version__}\n"
            outcome = board.run(["python", "-c", "import edgekit; print(edgekit.__file__)"])
            assert outcome.stdout.startswith(board.folder)
            found = board.run(["edgekit", "inspect", "a b.edgekit"], {"a b.edgekit": kept("v1/digits").data})
            assert found.code == 0, found.stderr
            killed = board.run(["python", "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"])
            assert killed.code == -9
            assert board.run(["python", "-c", "import sys; sys.exit(3)"]).code == 3
        assert list(device.scratch.iterdir()) == []
