"""What the system of an emulated board holds: Debian packages, and Python wheels pinned by their hashes. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

LITERT = "ai-edge-litert"
TFLITE = "tflite-runtime"

LAYOUT = 3
"""Of the folders that `sysroot` builds; a new number makes new ones."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel of the Python package index.

    Attributes:
        name: Of the package.
        version: Of it.
        sha256: In hexadecimal.
    """

    name: str
    version: str
    sha256: str

    @property
    def requirement(self) -> str:
        """A line of a requirements file."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A system, as `sysroot` builds it.

    Attributes:
        debian: Debian's name of the architecture.
        suite: Debian's release.
        python: Its Python, such as "3.11".
        multiarch: The folder of its libraries below /usr/lib.
        packages: Of Debian, with what they depend on.
        platforms: Tags of wheels that run there.
        sites: Runtime -> the wheels of a folder of its own, which is put on sys.path to use it.
        links: Link below the library folder -> its target: what Debian's alternatives would set up.
    """

    debian: str
    suite: str
    python: str
    multiarch: str
    packages: tuple[str, ...]
    platforms: tuple[str, ...]
    sites: Mapping[str, tuple[Wheel, ...]]
    links: Mapping[str, str]

    @property
    def name(self) -> str:
        """Names the folder: another recipe has another name."""
        told = repr(
            (LAYOUT, self.packages, self.platforms, sorted(self.sites.items()), sorted(self.links.items()))
        )
        return f"{self.debian}-{self.suite}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def _python(version: str, ssl: str = "libssl3") -> tuple[str, ...]:
    return (
        f"python{version}-minimal",
        f"libpython{version}-stdlib",
        "libstdc++6",
        "libgcc-s1",
        "zlib1g",
        ssl,
        "libffi8",
    )


def _manylinux(machine: str) -> tuple[str, ...]:
    return tuple(
        f"{tag}_{machine}" for tag in ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
    )


_LITERT_AMD64 = Wheel(LITERT, "2.3.0", "1f15078a6725d2357d9de9221664c29afa0545d807559c5f7199ce5e40b96b23")
_LITERT_ARM64 = Wheel(LITERT, "2.3.0", "853fc608f96da87bd5f3458465dfb9abbf18d5ae6b94eceacead407146f175ae")
_LITERT_TRIXIE = Wheel(LITERT, "2.3.0", "2ab71e4f5dfa65b3882634b42755f455f3e7415630d720200bd792733e15e257")
_TFLITE_AMD64 = Wheel(TFLITE, "2.14.0", "195ab752e7e57329a68e54dd3dd5439fad888b9bff1be0f0dc042a3237a90e4d")
_TFLITE_ARMHF = Wheel(TFLITE, "2.14.0", "c4e66a74165b18089c86788400af19fa551768ac782d231a9beae2f6434f7949")
_NUMPY_AMD64 = Wheel("numpy", "2.4.6", "89cd468399cfd2504718f0ba50e410dca55a170b61a02ad92bb18c8a65186e93")
_NUMPY_ARM64 = Wheel("numpy", "2.4.6", "0ab0a9c4ffb1a6d95ef519fe4247dba8eb6b18ad93999f76b7f657039acabd47")
_NUMPY_TRIXIE = Wheel("numpy", "2.4.6", "72fbe16c6fac95aedf5937fa873445cec2110be35d8a4e9433d7501fd98dae6b")
_NUMPY_1_AMD64 = Wheel("numpy", "1.26.4", "666dbfb6ec68962c033a450943ded891bed2d54e6755e35e5835d63f4f6931d5")

_ALL = (
    Recipe(
        "amd64",
        "bookworm",
        "3.11",
        "x86_64-linux-gnu",
        _python("3.11"),
        ("manylinux_2_34_x86_64", *_manylinux("x86_64")),
        {LITERT: (_LITERT_AMD64, _NUMPY_AMD64), TFLITE: (_TFLITE_AMD64, _NUMPY_1_AMD64)},
        {},
    ),
    Recipe(
        "arm64",
        "bookworm",
        "3.11",
        "aarch64-linux-gnu",
        _python("3.11"),
        _manylinux("aarch64"),
        {LITERT: (_LITERT_ARM64, _NUMPY_ARM64)},
        {},
    ),
    Recipe(
        "arm64",
        "trixie",
        "3.13",
        "aarch64-linux-gnu",
        _python("3.13", "libssl3t64"),
        _manylinux("aarch64"),
        {LITERT: (_LITERT_TRIXIE, _NUMPY_TRIXIE)},
        {},
    ),
    Recipe(
        "armhf",
        "bookworm",
        "3.11",
        "arm-linux-gnueabihf",
        # No wheel of numpy or cryptography for 32-bit Arm: Debian's serve.
        ("python3-minimal", "python3-numpy", "python3-cryptography", "libstdc++6"),
        ("manylinux_2_34_armv7l",),
        {TFLITE: (_TFLITE_ARMHF,)},
        {"libblas.so.3": "blas/libblas.so.3", "liblapack.so.3": "lapack/liblapack.so.3"},
    ),
)

RECIPES: Mapping[tuple[str, str], Recipe] = {(recipe.debian, recipe.suite): recipe for recipe in _ALL}
"""By architecture and release. 32-bit Trixie is not among them: no TFLite runtime has a wheel for it."""
