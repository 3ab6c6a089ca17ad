"""SECURITY.md: what it tells people to type is what the commands and `edgekit.Trust` take."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import click
import pytest

import edgekit
from edgekit import errors
from edgekit.trust.envelope import MAX_BYTES
from edgekit.trust.sources import FOLDER

PAGE = (Path(__file__).resolve().parents[2] / "SECURITY.md").read_text()
COMMANDS = re.findall(r"edgekit (keygen|convert|sign|verify|unpack|run)\b([^`\n]*)", PAGE)


def test_it_names_every_command_of_trust() -> None:
    assert {name for name, _ in COMMANDS} == {"keygen", "convert", "sign", "verify", "unpack"}


@pytest.mark.parametrize(("name", "words"), COMMANDS, ids=[f"{name}{words}" for name, words in COMMANDS])
def test_every_option_is_one(name: str, words: str, own_commands: Mapping[str, str]) -> None:
    module, _, attribute = own_commands[name].partition(":")
    command: click.Command = getattr(import_module(module), attribute)
    known = {option for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", words)) <= known


def test_every_option_in_running_text_belongs_to_some_command(own_commands: Mapping[str, str]) -> None:
    known = {"--signature", "--public_key"}  # of model_signing
    for name in ("keygen", "convert", "sign", "verify", "run"):
        module, _, attribute = own_commands[name].partition(":")
        known |= {option for each in getattr(import_module(module), attribute).params for option in each.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z_-]*", PAGE)) <= known


def test_every_keyword_of_trust_is_one() -> None:
    known = inspect.signature(edgekit.Trust.read).parameters
    calls = re.findall(r"Trust(?:\.read)?\(([^)]*)\)", PAGE, re.DOTALL)
    keywords = set(re.findall(r"(\w+)=", " ".join(calls)))
    assert keywords == {"names", "targets", "revoked_keys", "revoked_digests", "least_epoch"} <= set(known)


def test_errors_and_limits_are_those_of_the_code() -> None:
    for name in set(re.findall(r"\w+Error\b", PAGE)):
        assert name in errors.__all__
    assert f"{MAX_BYTES >> 10} KB are read" in PAGE
    assert FOLDER in PAGE
