from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgekit.cli import main
from edgekit.commands import SUMMARIES, installed_commands
from edgekit.errors import NoDataError
from edgekit.version import __version__

Install = Callable[..., Path]

ACME = {
    "acme_commands": """
import click
from edgekit.errors import AccuracyContractError, NoDataError


def make(error):
    @click.command(help="Raise something.")
    @click.option("--json", "as_json", is_flag=True)
    def command(as_json):
        raise error
    return command


refuse = make(NoDataError("photos/ is empty", hint="name a folder with images"))
contract = make(AccuracyContractError("int8 loses 3.1 points"))
crash = make(KeyError("weights"))
interrupt = make(KeyboardInterrupt())
escape = make(NoDataError("bad\\x1b[2Jname\\udcff\\nsecond line"))


@click.command(help="Return a number.")
def number():
    return 3


not_a_command = "text"
"""
}
COMMANDS = {
    "refuse": "acme_commands:refuse",
    "contract": "acme_commands:contract",
    "crash": "acme_commands:crash",
    "interrupt": "acme_commands:interrupt",
    "escape": "acme_commands:escape",
    "number": "acme_commands:number",
    "text": "acme_commands:not_a_command",
    "gone": "acme_gone:command",
    "exits": "acme_exits:command",
    "run": "acme_commands:number",
}


@pytest.fixture
def acme(site: Install) -> Path:
    return site("acme-tools", COMMANDS, {**ACME, "acme_exits": "raise SystemExit(7)"})


def edgekit(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgekit", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


def test_help_imports_no_command_and_nothing_heavy(site: Install) -> None:
    program = (
        "import sys\nfrom edgekit.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    listed, _, modules = done.stdout.rpartition("\n[")
    assert all(f"  {name} " in listed for name in SUMMARIES)
    imported = {name.strip(" '\"]\n") for name in modules.split(",")}
    heavy = {"numpy", "PIL", "ai_edge_litert", "tensorflow", "cryptography", "edgekit_converters"}
    assert not imported & heavy
    assert not {name for name in imported if name.startswith("edgekit.commands.")}


def test_version_needs_no_numpy() -> None:
    done = edgekit("--version", PYTHONPROFILEIMPORTTIME="1")
    assert done.stdout == f"edgekit {__version__}\n"
    assert "numpy" not in done.stderr


def test_summaries_are_the_first_lines_of_the_commands(own_commands: Mapping[str, str]) -> None:
    assert set(SUMMARIES) == set(own_commands)
    for name, target in own_commands.items():
        module, _, attribute = target.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        assert inspect.cleandoc(command.help or "").splitlines()[0] == SUMMARIES[name]


def test_own_commands_come_first_and_in_order(acme: Path) -> None:
    names = [command.name for command in installed_commands()]
    assert names[: len(SUMMARIES)] == list(SUMMARIES)
    assert names[len(SUMMARIES) :] == sorted(COMMANDS)


def test_help_shows_broken_and_refused_commands(acme: Path) -> None:
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0
    own, foreign = shown.stdout.split("Commands of other packages:")
    assert own.count(SUMMARIES["run"]) == 1
    text = " ".join(foreign.split())
    assert "gone (broken: ModuleNotFoundError: No module named 'acme_gone')" in text
    assert "exits (broken: SystemExit: 7)" in text
    assert "text (broken: acme_commands:not_a_command is not a click command)" in text
    assert "run (refused: edgekit's own command has this name; from the package 'acme-tools')" in text
    assert "number Return a number." in text


def test_a_foreign_package_cannot_take_over_an_own_command(acme: Path) -> None:
    context = click.Context(main)
    command = main.get_command(context, "run")
    assert command is not None
    assert command.callback is not None
    assert command.callback.__module__ == "edgekit.commands.run"


@pytest.mark.parametrize("words", [["gone"], ["gone", "--help"], ["gone", "x", "--option", "1"]])
def test_a_broken_command_says_so_when_run(acme: Path, words: list[str]) -> None:
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert done.stderr.startswith(
        "edgekit: error: the command 'gone' of the package 'acme-tools' cannot be loaded: ModuleNotFoundError"
    )
    assert "hint: upgrade that package, or pip uninstall acme-tools" in done.stderr


def test_unreadable_metadata_of_one_package_hides_no_other(acme: Path) -> None:
    broken = acme / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_bytes(b"[edgekit.commands]\nno equals sign \xff\n")
    assert "Return a number." in CliRunner().invoke(main, ["--help"]).stdout


@pytest.mark.parametrize(
    ("command", "code", "kind", "message", "hint"),
    [
        ("refuse", 1, "NoDataError", "photos/ is empty", "name a folder with images"),
        ("contract", 3, "AccuracyContractError", "int8 loses 3.1 points", None),
    ],
)
def test_expected_errors(
    acme: Path, command: str, code: int, kind: str, message: str, hint: str | None
) -> None:
    plain = CliRunner().invoke(main, [command])
    assert (plain.exit_code, plain.stdout) == (code, "")
    assert plain.stderr == f"edgekit: error: {message}\n" + (f"hint: {hint}\n" if hint else "")
    in_json = CliRunner().invoke(main, [command, "--json"])
    assert in_json.exit_code == code
    assert json.loads(in_json.stdout) == {"error": {"kind": kind, "message": message, "hint": hint}}
    assert in_json.stderr == plain.stderr


def test_an_unexpected_exception_shows_no_traceback(acme: Path) -> None:
    done = CliRunner().invoke(main, ["crash"])
    assert done.exit_code == 1
    assert done.stderr.startswith("edgekit: error: internal error: KeyError: 'weights'\nhint: ")
    assert "EDGEKIT_DEBUG=1" in done.stderr
    assert "Traceback" not in done.stderr


def test_debugging_shows_the_traceback(acme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_DEBUG", "1")
    done = CliRunner().invoke(main, ["crash"])
    assert done.exit_code == 1
    assert done.stderr.startswith("Traceback (most recent call last):")


def test_errors_cannot_command_the_terminal(acme: Path) -> None:
    done = CliRunner().invoke(main, ["escape"])
    assert done.stderr == "edgekit: error: bad\\x1b[2Jname\\udcff\nsecond line\n"


def test_interrupting_is_quiet(acme: Path) -> None:
    done = CliRunner().invoke(main, ["interrupt"])
    assert done.exit_code == 130
    assert done.output.strip() == ""


def test_what_a_command_returns_is_no_exit_code(acme: Path) -> None:
    assert CliRunner().invoke(main, ["number"]).exit_code == 0


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "edgekit", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(writer)
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["targets", "--json"], ["number", "--help"]])
def test_a_full_disk_is_an_error_with_a_remedy(acme: Path, words: list[str], unbuffered: str) -> None:
    done = into_a_full_disk(*words, unbuffered=unbuffered)
    assert done.returncode == 1
    assert done.stderr == (
        "edgekit: error: cannot write the output: no space left on device\n"
        "hint: make room on the disk, or send the output elsewhere\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(("command", "code"), [("refuse", 1), ("contract", 3), ("crash", 1)])
def test_an_error_for_a_full_disk_keeps_its_exit_code(acme: Path, command: str, code: int) -> None:
    done = into_a_full_disk(command, "--json")
    assert done.returncode == code
    told = done.stderr.splitlines()
    assert told[-2] == "edgekit: error: cannot write the output: no space left on device"
    assert told[0].startswith("edgekit: error: ")
    assert told[0] != told[-2]
    assert "Traceback" not in done.stderr


def into_a_full_disk(*words: str, unbuffered: str = "") -> subprocess.CompletedProcess[str]:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "edgekit", *words]
        return subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )


@pytest.mark.parametrize(
    "words", [["nonsense"], ["--nonsense"], ["refuse", "--nonsense"], ["refuse", "extra"]]
)
def test_wrong_usage(acme: Path, words: list[str]) -> None:
    plain = CliRunner().invoke(main, words)
    assert plain.exit_code == 2
    assert plain.stdout == ""
    assert "Usage: edgekit" in plain.stderr
    in_json = CliRunner().invoke(main, [*words, "--json"])
    assert in_json.exit_code == 2
    error = json.loads(in_json.stdout)["error"]
    assert error["kind"] == "UsageError"
    assert error["hint"].endswith("--help")


def test_json_after_two_dashes_is_an_argument(acme: Path) -> None:
    done = CliRunner().invoke(main, ["refuse", "--", "--json"])
    assert (done.exit_code, done.stdout) == (2, "")


def test_python_callers_get_the_error_itself(acme: Path) -> None:
    with pytest.raises(NoDataError, match="empty"):
        main(["refuse"], standalone_mode=False)


def test_completion_knows_the_commands(site: Install) -> None:
    script = "import sys; sys.argv[0] = 'edgekit'; from edgekit.cli import main; main(prog_name='edgekit')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "_EDGEKIT_COMPLETE": "bash_complete",
            "COMP_WORDS": "edgekit r",
            "COMP_CWORD": "1",
        },
    )
    assert done.stdout.split() == ["plain,run"]


def test_help_says_exit_codes_and_completion() -> None:
    shown = CliRunner().invoke(main, ["--help"]).stdout
    for line in ("0    done", "1    refused", "2    wrong usage", "3    a contract", "bash_source edgekit"):
        assert line in shown
    assert "\b" not in shown
