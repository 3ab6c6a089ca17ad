"""Makes an environment with venv and pip: the one place where edgekit installs anything, and only when asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edgekit.errors import EnvironmentCreationError
from edgekit_converters.environments.locate import (
    RECORD,
    Environment,
    environments_folder,
    pins_of,
    read_environment,
)
from edgekit_converters.environments.pins import SPECS, EnvironmentSpec, Version

_ROOM = "name a folder that can be written, with room on its disk: --folder FOLDER"
_TAIL_LINES = 3


def create(
    kind: str,
    *,
    folder: Path | None = None,
    python: str | None = None,
    renew: bool = False,
    status: Callable[[str], None] = lambda _: None,
) -> Environment:
    """Makes the environment, or returns the one that is there already.

    Args:
        kind: "torch", "onnx" or "jax".
        folder: Where; None takes edgekit's cache folder. Elsewhere, conversions find it by $EDGEKIT_CACHE alone.
        python: The interpreter to make it from; None looks for one.
        renew: Make it anew if it is there.
        status: Receives what is being done.

    Raises:
        EnvironmentCreationError: There is no fitting Python, the folder is in use, or pip fails; its last lines are
            in the message.
    """
    spec = SPECS[kind]
    place = (folder or environments_folder() / kind).absolute()
    found = read_environment(kind, place)
    if found is not None and found.current and not renew:
        return found
    if place.exists() and not place.is_dir():
        raise EnvironmentCreationError(f"{place} could not be made: there is a file of that name", hint=_ROOM)
    if found is None and place.exists() and any(place.iterdir()) and not (place / "pyvenv.cfg").exists():
        raise EnvironmentCreationError(
            f"{place} is not empty and no environment of edgekit", hint="name a new folder with --folder"
        )
    base = _base_python(spec, python)
    try:
        if place.exists():
            shutil.rmtree(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        status(f"making {place} from {base}")
        _run([str(base), "-m", "venv", str(place)], place)
        _install(spec, place, status)
        record = {"kind": kind, "pins": pins_of(spec)}
        (place / RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    except OSError as error:
        shutil.rmtree(place, ignore_errors=True)
        raise EnvironmentCreationError(f"{place} could not be made: {error.strerror}", hint=_ROOM) from error
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    made = read_environment(kind, place)
    assert made is not None
    return made


def _install(spec: EnvironmentSpec, place: Path, status: Callable[[str], None]) -> None:
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if spec.first:
        status(f"installing {spec.first[0].partition(' ')[0]}")
        index = ["--extra-index-url", spec.index, "--retries", "1"] if spec.index else []
        _run([*pip, "--no-deps", *index, *spec.first], place)
    status(f"installing {', '.join(spec.requirements)}, and what they need")
    _run([*pip, *spec.requirements], place)


def _run(command: Sequence[str], place: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=environment, check=False
        )
    except OSError as error:
        raise EnvironmentCreationError(
            f"cannot run {command[0]}: {error.strerror}", hint="name another interpreter with --python"
        ) from error
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        wrong = [line for line in lines if line.upper().startswith("ERROR")] or lines
        raise EnvironmentCreationError(
            f"{place} could not be made: {' | '.join(wrong[-_TAIL_LINES:])}",
            hint="is the package index reachable? pip's own settings (PIP_INDEX_URL, PIP_FIND_LINKS) are followed"
            if "pip" in command
            else _ROOM,
        )


def _base_python(spec: EnvironmentSpec, said: str | None) -> Path:
    """An interpreter of a version that the pins are for."""
    wanted = " or ".join(f"{major}.{minor}" for major, minor in spec.pythons)
    if said is not None:
        version = _version(said)
        if version not in spec.pythons:
            shown = "no Python" if version is None else f"Python {version[0]}.{version[1]}"
            raise EnvironmentCreationError(
                f"--python {said} is {shown}, and the {spec.framework} pins are for {wanted}",
                hint=f"name an interpreter of Python {wanted}",
            )
        return Path(shutil.which(said) or said)
    candidates = [sys.executable, *(f"python{major}.{minor}" for major, minor in spec.pythons)]
    for name in candidates:
        path = shutil.which(name)
        if path is not None and _version(path) in spec.pythons:
            return Path(path)
    raise EnvironmentCreationError(
        f"the {spec.framework} environment needs Python {wanted}, and this is {sys.version_info[0]}.{sys.version_info[1]}",
        hint=f"install one beside it, and say edgekit env create {spec.kind} --python PATH",
    )


def _version(python: str) -> Version | None:
    code = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run(
            [python, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
        major, minor = done.stdout.split()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return int(major), int(minor)
