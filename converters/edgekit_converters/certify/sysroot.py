"""Builds the file systems of emulated boards into the user's cache: Debian's packages, and pinned wheels beside them.

Each part is made in a folder of another name and then renamed, so that a part is whole or not there: a build that was
cut off goes on at the part that it was at. Nothing of it needs a chroot, binfmt or root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import SysrootError
from edgekit_converters.certify.cache import VARIABLE, cache_folder, locked
from edgekit_converters.certify.recipes import Recipe, Wheel
from edgekit_converters.progress import Progress

APT_LINE = "sudo apt-get install -y --no-install-recommends qemu-user-static mmdebstrap uidmap"
MIRROR = "http://deb.debian.org/debian"
MIRROR_VARIABLE = "EDGEKIT_DEBIAN_MIRROR"

BUILD_TIMEOUT_S = 1800.0
TAIL_LINES = 12

PACKAGES = "packages.txt"
LOCK = "lock.json"

_LIST_PACKAGES = (
    'cd "$1/var/cache/apt/archives" && for deb in *.deb; do '
    'dpkg-deb --show --showformat="\\${Package} \\${Version} " "$deb"; sha256sum < "$deb"; '
    f'done > "$1/{PACKAGES}"'
)
"""A hook of mmdebstrap's that writes down each package that it unpacked, with its version and hash."""

_LEFT_OUT = ("./dev", "./usr/share/doc/*", "./usr/share/man/*", "./usr/share/locale/*", "./var/cache/*")


@dataclass(frozen=True, slots=True)
class Sysroot:
    """A system that is built.

    Attributes:
        recipe: What it was built by.
        folder: Where.
        packages: Debian package -> version.
    """

    recipe: Recipe
    folder: Path
    packages: Mapping[str, str]

    @property
    def root(self) -> Path:
        """Its file system."""
        return self.folder / "root"

    @property
    def python(self) -> Path:
        """Its Python."""
        return self.root / "usr/bin" / f"python{self.recipe.python}"

    @property
    def libraries(self) -> tuple[Path, ...]:
        """The folders of its shared libraries."""
        return tuple(self.root / "usr/lib" / part for part in (self.recipe.multiarch, ""))

    def site(self, runtime: str) -> Path:
        """The folder with a runtime's wheels."""
        return self.folder / f"site-{runtime}"

    def versions(self, runtime: str) -> dict[str, str]:
        """What can change an answer there: the runtime, numpy, Python and the C and C++ libraries."""
        wheels = {wheel.name: wheel.version for wheel in self.recipe.sites[runtime]}
        names = ("libc6", "libstdc++6", f"python{self.recipe.python}-minimal", "python3-numpy")
        return {name: self.packages[name] for name in names if name in self.packages} | wheels


def is_prepared(recipe: Recipe, cache: Path | None = None) -> bool:
    """Whether a system is in the cache."""
    return (_folder(recipe, cache) / LOCK).is_file()


def prepare(recipe: Recipe, progress: Progress, cache: Path | None = None) -> Sysroot:
    """Builds a system, or finds it in the cache.

    Args:
        recipe: What it holds.
        progress: Where to say so.
        cache: The cache folder; None for the user's.

    Raises:
        SysrootError: A tool is missing, or a part of it cannot be fetched or unpacked; the message has the last lines of
            what the tool said.
    """
    folder = _folder(recipe, cache)
    if not (folder / LOCK).is_file():
        said = f"another edgekit is building the system {recipe.name}; waiting for it"
        with locked(folder.with_name(f"{folder.name}.lock"), lambda: progress.status(said)):
            if not (folder / LOCK).is_file():
                _build(recipe, folder, progress)
    try:
        packages = json.loads((folder / LOCK).read_text("utf-8"))["packages"]
    except (OSError, ValueError, KeyError) as error:
        raise SysrootError(
            f"the system in {folder} cannot be read: {error}", hint=f"remove that folder: rm -r {folder}"
        ) from None
    return Sysroot(recipe, folder, {name: entry["version"] for name, entry in packages.items()})


def _folder(recipe: Recipe, cache: Path | None) -> Path:
    return (cache if cache is not None else cache_folder()) / "sysroots" / recipe.name


def _build(recipe: Recipe, folder: Path, progress: Progress) -> None:
    require_tool("mmdebstrap")
    partial = folder.with_name(f"{folder.name}.partial")
    system = f"{recipe.debian} system, Debian {recipe.suite}"
    try:
        partial.mkdir(exist_ok=True)
        _part(partial / "root", f"{system}: Debian's packages", progress, lambda new: _unpack(recipe, new))
        for runtime, wheels in recipe.sites.items():
            _part(
                partial / f"site-{runtime}",
                f"{system}: {', '.join(f'{wheel.name} {wheel.version}' for wheel in wheels)}",
                progress,
                lambda new, wheels=wheels: _install(recipe, wheels, new),  # type: ignore[misc]
            )
        (partial / LOCK).write_text(json.dumps(_lock(recipe, partial), indent=1), "utf-8")
        partial.rename(folder)
    except OSError as error:
        raise SysrootError(
            f"cannot build {partial}: {(error.strerror or str(error)).lower()}",
            hint=f"make room there, or set ${VARIABLE} to another folder",
        ) from error


def _part(path: Path, what: str, progress: Progress, make: Callable[[Path], None]) -> None:
    """Makes one part beside its place and moves it there; a part that is there is whole."""
    if path.exists():
        return
    progress.status(f"building the {what}")
    new = path.with_name(f"{path.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    make(new)
    new.rename(path)


def _unpack(recipe: Recipe, root: Path) -> None:
    mirror = os.environ.get(MIRROR_VARIABLE) or MIRROR
    with tempfile.TemporaryDirectory(prefix="edgekit-", dir=root.parent) as folder:
        archive = (
            Path(folder) / "root.tar"
        )  # a tar, because only so every mode of mmdebstrap leaves our own files
        words = ["--variant=extract", f"--arch={recipe.debian}", f"--include={','.join(recipe.packages)}"]
        command = [
            "mmdebstrap",
            *words,
            f"--extract-hook={_LIST_PACKAGES}",
            recipe.suite,
            str(archive),
            mirror,
        ]
        _run(
            command,
            "Debian's packages cannot be fetched",
            f"is {mirror} reachable? a second try goes on from here",
        )
        left_out = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
        _run(
            ["tar", "-C", str(root), "--no-same-owner", *left_out, "-xf", str(archive)],
            "they cannot be unpacked",
            None,
        )
    for name in ("bin", "lib", "sbin"):  # Debian 13 has these links in a package that nothing here needs
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    for link, target in recipe.links.items():
        (root / "usr/lib" / recipe.multiarch / link).symlink_to(target)


def _install(recipe: Recipe, wheels: Sequence[Wheel], site: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("".join(f"{wheel.requirement}\n" for wheel in wheels), "utf-8")
        _run(
            pip_install(recipe, site, "--no-deps", "--require-hashes", "--requirement", str(requirements)),
            "the wheels cannot be fetched",
            "is the package index reachable? a second try goes on from here",
        )


def pip_install(recipe: Recipe, site: Path, *words: str) -> list[str]:
    """The command that installs wheels for a system's Python into a folder, run by the Python at hand.

    Args:
        recipe: Whose platforms, Python and tags it takes.
        site: The folder.
        words: What to install, and how.
    """
    tag = "cp" + recipe.python.replace(".", "")
    platforms = [word for platform in recipe.platforms for word in ("--platform", platform)]
    tags = [
        "--python-version",
        recipe.python,
        "--implementation",
        "cp",
        "--abi",
        tag,
        "--abi",
        "abi3",
        "--abi",
        "none",
    ]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-warn-conflicts",
    ]
    return [*pip, "--no-compile", "--only-binary=:all:", "--target", str(site), *platforms, *tags, *words]


def _lock(recipe: Recipe, partial: Path) -> dict[str, object]:
    """What was built, package by package."""
    packages = {}
    for line in (partial / "root" / PACKAGES).read_text("ascii").splitlines():
        name, version, digest, *_ = line.split()
        packages[name] = {"version": version, "sha256": digest}
    wheels = {wheel.requirement for site in recipe.sites.values() for wheel in site}
    return {"packages": packages, "wheels": sorted(wheels)}


def require_tool(name: str) -> str:
    """The path of a tool that Debian has.

    Raises:
        SysrootError: It is not installed.
    """
    # From Debian 13 on the static build is the only one, and goes without the word.
    for candidate in (name, name.removesuffix("-static")):
        path = shutil.which(candidate)
        if path is not None:
            return path
    raise SysrootError(f"{name} is not installed", hint=APT_LINE)


def _run(command: Sequence[str], problem: str, hint: str | None) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SysrootError(f"{problem}: {error}", hint=hint) from error
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()][-TAIL_LINES:]
        said = "\n".join(lines)
        if "No module named pip" in said:
            hint = f"{sys.executable} -m ensurepip"
        elif "unable to pick chroot mode" in said:
            hint = f"mmdebstrap needs uidmap where it is not run by root: {APT_LINE}"
        raise SysrootError(f"{problem}: {command[0]} ended with status {done.returncode}:\n{said}", hint=hint)
