"""The command line: a click group whose commands come by entry point, and the one report of errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from edgekit import console
from edgekit.commands import SUMMARIES, InstalledCommand, installed_commands
from edgekit.errors import BrokenCommandError, ContractError, EdgekitError, OutputError
from edgekit.version import __version__

EXIT_REFUSED = 1
EXIT_INTERRUPTED = 130  # what a shell reports for a process that SIGINT ended: 128 + 2

_EPILOG = """\
\b
Exit codes:
  0    done
  1    refused; stderr says why and what to do about it
  2    wrong usage
  3    a contract that you set was not met (accuracy, for instance)
  130  interrupted

\b
With --json, stdout carries one JSON object and nothing else; an error is
{"error": {"kind": ..., "message": ..., "hint": ...}}, and for exit code 3 also "report".

\b
Tab completion, for this shell: eval "$(_EDGEKIT_COMPLETE=bash_source edgekit)"
(zsh_source for zsh; for fish: _EDGEKIT_COMPLETE=fish_source edgekit | source).
EDGEKIT_DEBUG=1 in the environment shows the traceback of an error.
"""


class EdgekitGroup(click.Group):
    """A group that finds its commands among the installed packages and imports only the one that is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of the help page."""
        return [command.name for command in self._installed(ctx) if not command.is_refused]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; a broken one becomes a command that says so when it is run."""
        for command in self._installed(ctx):
            if command.name == cmd_name and not command.is_refused:
                try:
                    return command.load()
                except BrokenCommandError as error:
                    return _broken_command(cmd_name, error)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, edgekit's own from their known summaries."""
        own = [command for command in self._installed(ctx) if command.is_own]
        foreign = [command for command in self._installed(ctx) if not command.is_own]
        for title, commands in (("Commands", own), ("Commands of other packages", foreign)):
            if commands:
                with formatter.section(title):
                    formatter.write_dl([(command.name, _summary(command)) for command in commands])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and end the process with the documented exit code.

        With ``standalone_mode=False`` errors are raised to the caller, as click has it.
        """
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        words = sys.argv[1:] if args is None else list(args)
        try:
            code = super().main(words, prog_name, complete_var, standalone_mode=False, **extra)
        except click.Abort:
            sys.exit(EXIT_INTERRUPTED)
        except Exception as error:
            if isinstance(error, OSError) and _is_of_output(error):
                sys.exit(report(_give_up_output(error), as_json=False))
            sys.exit(report(error, as_json=_wants_json(words)))
        sys.exit(code)

    def invoke(self, ctx: click.Context) -> int:
        """Run the command; what it returns is not an exit code."""
        super().invoke(ctx)
        return 0

    def _installed(self, ctx: click.Context) -> tuple[InstalledCommand, ...]:
        key = "edgekit.installed_commands"
        if key not in ctx.meta:
            ctx.meta[key] = installed_commands()
        found: tuple[InstalledCommand, ...] = ctx.meta[key]
        return found


def _summary(command: InstalledCommand) -> str:
    if command.is_refused:
        return f"(refused: edgekit's own command has this name; from the package '{command.package}')"
    if command.is_own and command.name in SUMMARIES:
        return SUMMARIES[command.name]
    try:
        return command.load().get_short_help_str(limit=80)
    except BrokenCommandError as error:
        return console.printable(f"(broken: {error.why})")


def _broken_command(name: str, error: BrokenCommandError) -> click.Command:
    def refuse() -> None:
        raise error

    return click.Command(
        name,
        callback=refuse,
        short_help=f"(broken: {error.why})",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


def _wants_json(words: Sequence[str]) -> bool:
    """Look at the bare words, because wrong usage is found before any command has parsed its options."""
    return "--json" in words[: words.index("--")] if "--" in words else "--json" in words


def report(error: Exception, *, as_json: bool) -> int:
    """Tell the user about an error: on stderr, and with ``as_json`` as one JSON object on stdout too.

    Args:
        error: Whatever ended the command.
        as_json: Whether the command was asked for JSON.

    Returns:
        The exit code of the process.
    """
    if isinstance(error, click.ClickException):
        error.show()
        code, kind, message, hint = (
            error.exit_code,
            _usage_kind(error),
            error.format_message(),
            _usage_hint(error),
        )
    elif isinstance(error, EdgekitError):
        code, kind, message, hint = error.exit_code, type(error).__name__, str(error), error.hint
        _say(error, message, hint)
    else:
        code, kind, message = (
            EXIT_REFUSED,
            "InternalError",
            f"internal error: {type(error).__name__}: {error}",
        )
        hint = "this is a bug in edgekit; run it again with EDGEKIT_DEBUG=1 and report the traceback"
        _say(error, message, hint)
    if as_json:
        said: dict[str, object] = {"error": {"kind": kind, "message": message, "hint": hint}}
        if isinstance(error, ContractError) and error.report is not None:
            said["report"] = error.report
        try:
            console.print_json(said)
        except OSError as problem:
            lost = _give_up_output(problem)
            if not isinstance(problem, BrokenPipeError):
                _say(lost, str(lost), lost.hint)
    return code


def _is_of_output(error: OSError) -> bool:
    """Whether it comes from writing a command's output, all of which goes through click.echo."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step is not None and step.tb_frame.f_code is click.echo.__code__


def _give_up_output(problem: OSError) -> OutputError:
    """Throws away what stdout does not take, as on a full disk, and makes the error that says so.

    Python keeps what it could not write, and would try again, and fail with a traceback, at its end.
    """
    sink = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)
    reason = (problem.strerror or str(problem)).lower()
    hint = "make room on the disk, or send the output elsewhere"
    return OutputError(f"cannot write the output: {reason}", hint=hint)


def _usage_kind(error: click.ClickException) -> str:
    return "UsageError" if isinstance(error, click.UsageError) else type(error).__name__


def _usage_hint(error: click.ClickException) -> str | None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{context.command_path} --help" if context else None


def _say(error: Exception, message: str, hint: str | None) -> None:
    if os.environ.get("EDGEKIT_DEBUG"):
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    click.echo(f"edgekit: error: {_lines(message)}", err=True)
    if hint:
        click.echo(f"hint: {_lines(hint)}", err=True)


def _lines(text: str) -> str:
    return "\n".join(console.printable(line) for line in text.splitlines())


def _set_quiet(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    ctx.meta[console.QUIET] = value


@click.group(
    cls=EdgekitGroup,
    name="edgekit",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="edgekit", message="%(prog)s %(version)s")
@click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_set_quiet,
    help="No status lines and no progress bars on stderr.",
)
def main() -> None:
    """From a trained model to a calibrated, measured, fully int8 bundle for a device."""
