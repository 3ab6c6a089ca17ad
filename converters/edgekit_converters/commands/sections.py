"""A help page whose options stand under headings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class SectionOption(click.Option):
    """An option that knows its heading.

    Args:
        section: The heading.
        words: As `click.Option` takes them, as are `settings`.
    """

    def __init__(self, *words: Any, section: str = "Options", **settings: Any) -> None:
        super().__init__(*words, **settings)
        self.section = section


class SectionedCommand(click.Command):
    """A command that writes its options under their headings, in the order in which they were declared."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one definition list a heading."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        shown = [(_section(each), record) for each in options if (record := each.get_help_record(ctx))]
        for title, rows in groupby(shown, key=lambda pair: pair[0]):
            with formatter.section(title):
                formatter.write_dl([record for _, record in rows])


def section(title: str, options: Mapping[str, Mapping[str, Any]]) -> Callable[[Command], Command]:
    """A decorator that adds options under a heading.

    Args:
        title: The heading.
        options: What `click.option` takes, by the option's words as help shows them: ``"--output, -o"``.
    """

    def add(command: Command) -> Command:
        for words, settings in reversed(list(options.items())):
            command = click.option(*words.split(", "), cls=SectionOption, section=title, **settings)(command)
        return command

    return add


def _section(param: click.Option) -> str:
    return param.section if isinstance(param, SectionOption) else "Others"
