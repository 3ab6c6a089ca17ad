"""A Keras model file: .keras archives and whole-model .h5 files, of Keras 3 and of Keras 1 and 2."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import SourceError, UnknownModelError
from edgekit_converters.sources.custom_objects import load_custom_objects
from edgekit_converters.sources.keras_config import refuse_foreign_code
from edgekit_converters.sources.keras_graph import frozen_keras
from edgekit_converters.sources.kinds import Kind
from edgekit_converters.sources.lite import convert_frozen, give_memory_back
from edgekit_converters.sources.model import FloatModel, SourceOptions
from edgekit_converters.sources.naming import first_line

MAX_CONFIG_BYTES = 1 << 28  # hundreds of times the 160 KB of MobileNetV2; a ZIP member may claim anything


@dataclass(frozen=True, slots=True)
class _Description:
    """What a Keras file says of itself, read without Keras."""

    config: object
    legacy: bool


def convert_keras_file(path: Path, kind: Kind, options: SourceOptions) -> FloatModel:
    """Load a Keras file and convert it; runs in the worker process.

    Raises:
        UntrustedCodeError: Loading it would run code from the file.
        SourceError: One of its classes, naming the layer.
    """
    described = _read_archive(path) if kind is Kind.KERAS_ARCHIVE else _read_hdf5(path)
    custom = load_custom_objects(options.custom_objects) if options.custom_objects else {}
    if not options.trust_model_code:
        refuse_foreign_code(
            described.config, path.name, {*custom, *(_registered(described.legacy) if custom else ())}
        )
    model = _load(path, kind, described.legacy, custom, options.trust_model_code)
    named = "Keras 2 model" if described.legacy else "Keras 3 model"
    frozen = frozen_keras(model, named, options)
    del model
    _keras(described.legacy).backend.clear_session()
    give_memory_back()
    return convert_frozen(frozen, options)


def _read_archive(path: Path) -> _Description:
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo("config.json")
            if info.file_size > MAX_CONFIG_BYTES:
                raise SourceError(
                    f"{path}: its config.json claims {info.file_size} bytes", hint="save the model again"
                )
            config = json.loads(archive.read(info))
            named = "metadata.json" in archive.namelist()
            metadata = json.loads(archive.read("metadata.json")) if named else {}
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError, OSError) as error:
        raise _broken(path, error) from error
    if not isinstance(config, dict) or "class_name" not in config:
        raise UnknownModelError(
            f"{path} is a ZIP archive whose config.json describes no Keras model",
            hint="save it with model.save()",
        )
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return _Description(config, _is_legacy(version, default="3"))


def _read_hdf5(path: Path) -> _Description:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            version = file.attrs.get("keras_version")
            weights = file.attrs.get("keras_version", file.attrs.get("layer_names"))
            holds_weights = weights is not None or {"layers", "vars", "_layer_checkpoint_dependencies"} & set(
                file
            )
    except (OSError, KeyError, RuntimeError) as error:
        raise _broken(path, error) from error
    if text is None:
        raise UnknownModelError(
            f"{path} holds weights only, no model"
            if holds_weights
            else f"{path} is an HDF5 file without a Keras model",
            hint="save the whole model with model.save()",
        )
    try:
        config = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise _broken(path, error) from error
    return _Description(config, _is_legacy(version, default="2"))


def _is_legacy(version: object, default: str) -> bool:
    text = version.decode("ascii", "replace") if isinstance(version, bytes) else str(version or default)
    return text.partition(".")[0] in ("0", "1", "2")


def _broken(path: Path, error: Exception) -> SourceError:
    return SourceError(
        f"{path} is damaged: {first_line(error)}",
        hint="was the download or the copy interrupted?",
    )


def _keras(legacy: bool) -> Any:
    import importlib

    return importlib.import_module("tf_keras" if legacy else "keras")


def _registered(legacy: bool) -> set[str]:
    """Names that a register_keras_serializable decorator of the user's code has made known."""
    registry = _keras(legacy).saving.get_custom_objects()
    return {str(name).rpartition(">")[2] for name in registry} | set(map(str, registry))


def _load(path: Path, kind: Kind, legacy: bool, custom: dict[str, object], trusted: bool) -> Any:
    keras = _keras(legacy)
    with _named_as_keras_expects(path, kind) as named:
        try:
            return keras.saving.load_model(
                str(named), custom_objects=custom or None, compile=False, safe_mode=not trusted
            )
        except Exception as error:  # Keras raises whatever its layers raise
            raise SourceError(
                f"Keras {'2' if legacy else '3'} cannot load {path}: {first_line(error)}",
                hint="if the model has layers or functions of its own, give their file with --custom-objects",
            ) from error


@contextlib.contextmanager
def _named_as_keras_expects(path: Path, kind: Kind) -> Iterator[Path]:
    """A path to the file whose suffix is the one by which Keras chooses its reader."""
    import tempfile

    suffix = ".keras" if kind is Kind.KERAS_ARCHIVE else ".h5"
    if path.suffix == suffix:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / f"model{suffix}"
        named.symlink_to(path.resolve())
        yield named
