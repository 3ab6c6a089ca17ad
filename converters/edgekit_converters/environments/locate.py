"""Where environments are, and which Python does the work of one."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edgekit.errors import MissingEnvironmentError
from edgekit_converters.certify.cache import cache_folder
from edgekit_converters.environments.pins import SPECS, EnvironmentSpec

RECORD = "edgekit-environment.json"
"""Written last, so that a folder without it is no environment."""


@dataclass(frozen=True, slots=True)
class Environment:
    """One that was made.

    Attributes:
        spec: What it is for.
        folder: Where it is.
        python: Its interpreter.
        current: Whether it has the pins of this edgekit.
    """

    spec: EnvironmentSpec
    folder: Path
    python: Path
    current: bool


def environments_folder() -> Path:
    """Where environments go unless ``--folder`` says otherwise."""
    return cache_folder() / "environments"


def pins_of(spec: EnvironmentSpec) -> list[str]:
    """Every requirement, in order: what the record keeps and is compared with."""
    return [*spec.first, *spec.requirements]


def read_environment(kind: str, folder: Path | None = None) -> Environment | None:
    """The environment of a kind in its folder, or None where there is none."""
    spec = SPECS[kind]
    place = folder or environments_folder() / kind
    python = place / "bin" / "python"
    try:
        record = json.loads((place / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("kind") != kind or not python.exists():
        return None
    return Environment(spec, place, python, record.get("pins") == pins_of(spec))


def installed_here(spec: EnvironmentSpec) -> bool:
    """Whether this very Python can do the work of the environment."""
    return all(find_spec(module) is not None for module in spec.needs)


def interpreter_for(kind: str) -> Path:
    """The Python that has the framework: this one with the extra, else that of the environment.

    Raises:
        MissingEnvironmentError: There is neither, or the environment is of other pins; the hint is the command.
    """
    spec = SPECS[kind]
    if installed_here(spec):
        return Path(sys.executable)
    found = read_environment(kind)
    if found is None:
        raise MissingEnvironmentError(
            f"converting {spec.framework} models needs packages that are not installed here; an environment apart, "
            f"of about {spec.megabytes} MB, holds them",
            hint=f"edgekit env create {kind}",
        )
    if not found.current:
        raise MissingEnvironmentError(
            f"the {spec.framework} environment in {found.folder} was made for other versions than this edgekit pins",
            hint=f"edgekit env create {kind} --renew",
        )
    return found.python
