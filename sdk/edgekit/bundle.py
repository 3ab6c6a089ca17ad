"""The .edgekit file: which members it may have, and that they agree with its manifest.

Reading is pure (bytes in, views of the same bytes out), so that the bytes which are checked are the very
bytes which are loaded. What comes out is *unverified*: `edgekit.trust` decides whether it may run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import NamedTuple

from edgekit import archive, strictjson
from edgekit.errors import MalformedBundleError
from edgekit.manifest import Manifest, refuse_newer_format
from edgekit_targets.frozen import Frozen, lean

MODEL = "model.tflite"
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
REFERENCE = "reference.npz"

EDGETPU_MODEL = "model_edgetpu.tflite"
VELA_MODEL = "model_vela.tflite"

VARIANTS = (MODEL, EDGETPU_MODEL, VELA_MODEL)
"""The model and what vendors' compilers made of it."""

DOCUMENTS = ("forecast.json", "certificate.json", "report.json", "signature.json")

KNOWN = frozenset((*VARIANTS, MANIFEST, GOLDEN, REFERENCE, *DOCUMENTS))
REQUIRED = (MODEL, MANIFEST)

TFLITE_IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every .tflite: the file identifier in TensorFlow's schema.fbs, schema version 3."""


class BundleLimits(NamedTuple):
    """What a bundle may have at most; checked before anything is parsed.

    Attributes:
        archive: The file as a whole.
        manifest: Bytes of ``manifest.json``: Python objects take some 20 times the bytes of their JSON.
        document: Bytes of each other JSON member.
        arrays: Bytes of each .npz member.
    """

    archive: archive.Limits = archive.DEFAULT_LIMITS
    manifest: int = 1 << 20
    document: int = 8 << 20
    arrays: int = 64 << 20

    def of(self, name: str) -> int:
        """The largest size of the member of that name, in bytes."""
        if name == MANIFEST:
            return self.manifest
        if name.endswith(".json"):
            return self.document
        return self.arrays if name.endswith(".npz") else self.archive.total


DEFAULT_LIMITS = BundleLimits()


@lean
class UnverifiedBundle(Frozen):
    """A well-formed bundle of unknown origin; no session accepts it.

    Attributes:
        data: The whole file.
        members: Name -> content, as read-only views into `data`.
        manifest: What the bundle says of itself.
    """

    data: bytes = field(repr=False)
    members: Mapping[str, memoryview] = field(repr=False)
    manifest: Manifest

    @property
    def digest(self) -> str:
        """SHA-256 of the file in hexadecimal; computed anew at each call."""
        return sha256_of(self.data)


def sha256_of(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    import hashlib  # binds OpenSSL, 3 ms that loading a bundle need not pay

    return hashlib.sha256(data).hexdigest()


def write_bundle(members: Mapping[str, bytes | memoryview], limits: BundleLimits = DEFAULT_LIMITS) -> bytes:
    """Packs the members into the bytes of an .edgekit file.

    Args:
        members: Name -> content; ``manifest.json`` from `Manifest.to_bytes`.
        limits: What the reader will accept.

    Returns:
        The file; equal members give equal bytes.

    Raises:
        MalformedBundleError: `read_unverified` would refuse the result.
    """
    data = archive.write_archive(members, limits.archive)
    read_unverified(data, limits)
    return data


def read_unverified(data: bytes, limits: BundleLimits = DEFAULT_LIMITS) -> UnverifiedBundle:
    """Reads a bundle strictly: ``write_bundle(read_unverified(data).members) == data``.

    Args:
        data: The whole file.
        limits: Sizes beyond which it is refused.

    Raises:
        NewerFormatError: A later edgekit wrote it; the message names the one that reads it.
        MalformedBundleError: It breaks a rule of the format; the message names the rule.
    """
    data = bytes(data)  # a bytearray could change after the checks; for bytes this is no copy
    _refuse_other_files(data)
    try:
        members = archive.read_archive(data, limits.archive)
    except MalformedBundleError as error:
        if MANIFEST.encode() in data:
            raise
        raise MalformedBundleError(
            f"not a bundle but another ZIP archive: {error}",
            hint="a Keras model, perhaps? edgekit convert MODEL makes a bundle of it",
        ) from None
    for name, content in members.items():
        if len(content) > limits.of(name):
            sizes = f"{len(content):,} bytes; at most {limits.of(name):,} are accepted"
            raise MalformedBundleError(f"member {name!r} has {sizes}")
    manifest = _read_manifest(members)
    _refuse_disagreement(members, manifest)
    return UnverifiedBundle(data, MappingProxyType(members), manifest)


def _refuse_other_files(data: bytes) -> None:
    """Tells what a file is that people mistake for a bundle."""
    if data[4:8] == TFLITE_IDENTIFIER:
        raise MalformedBundleError(
            "not a bundle but a .tflite model",
            hint="pack it first: edgekit convert MODEL.tflite --target NAME --calibration DATA",
        )
    if not data.startswith(b"PK"):
        what = "not a bundle, which is a ZIP archive" if data else "not a bundle: the file is empty"
        raise MalformedBundleError(what, hint="edgekit convert writes bundles; was it copied completely?")


def _read_manifest(members: Mapping[str, memoryview]) -> Manifest:
    """Reads the manifest, once the members are those that a bundle must and may have."""
    for name in REQUIRED:
        if name not in members:
            raise MalformedBundleError(f"member {name!r} is missing")
    for name in members:
        if name not in KNOWN:
            # A later format may well know it, and then this file is not malformed.
            refuse_newer_format(strictjson.parse(members[MANIFEST], MANIFEST))
            raise MalformedBundleError(f"member {name!r} is not one that a bundle may have")
    return Manifest.from_bytes(members[MANIFEST])


def _refuse_disagreement(members: Mapping[str, memoryview], manifest: Manifest) -> None:
    """Refuses members that the manifest does not speak of, and the other way round."""
    present = [name for name in VARIANTS if name in members]
    if set(present) != set(manifest.runtime):
        said, held = strictjson.listed(sorted(manifest.runtime)), ", ".join(sorted(present))
        raise MalformedBundleError(f"manifest.json: runtime speaks of {said}, and the bundle holds {held}")
    for name in present:
        if bytes(members[name][4:8]) != TFLITE_IDENTIFIER:
            raise MalformedBundleError(f"member {name!r} is not a .tflite model")
    if (manifest.golden is None) == (GOLDEN in members):
        verb = "holds" if GOLDEN in members else "lacks"
        said = "null" if manifest.golden is None else "given"
        raise MalformedBundleError(f"manifest.json: golden is {said}, and the bundle {verb} {GOLDEN}")
