"""What a path holds, told from its content and never from its suffix."""

from __future__ import annotations

import enum
import re
import zipfile
from pathlib import Path

from edgekit.errors import UnknownModelError

_HDF5 = b"\x89HDF\r\n\x1a\n"  # HDF5 file format specification, superblock signature
_ZIP = b"PK\x03\x04"
_TFLITE = b"TFL3"  # tensorflow/compiler/mlir/lite/schema/schema.fbs, file_identifier, at byte 4
_KNOWN = "edgekit reads Keras models (.keras, .h5), SavedModel folders, .tflite, .pt2 and .onnx files, whatever their suffix"
_FACTORY = "say --torch file.py:factory --weights FILE, where factory() returns the torch.nn.Module"
_EXPORT = "torch.export.save(torch.export.export(model.eval(), (example,)), 'model.pt2')"


class Kind(enum.Enum):
    """The model forms that have a source."""

    KERAS_ARCHIVE = "Keras archive"
    HDF5 = "HDF5 file"
    SAVED_MODEL = "SavedModel"
    TFLITE = ".tflite"
    EXPORTED_PROGRAM = "PyTorch exported program"
    ONNX = "ONNX model"


def identify(path: Path) -> Kind:
    """Tell what `path` holds.

    Raises:
        UnknownModelError: It holds nothing that edgekit converts; the hint says what it looks like.
    """
    try:
        if path.is_dir():
            return _identify_folder(path)
        if not path.exists():
            raise UnknownModelError(
                f"{path}: there is no such file or folder", hint="check the path of the model"
            )
        with path.open("rb") as file:
            head = file.read(4096)
        return _identify_file(path, head)
    except OSError as error:
        raise UnknownModelError(
            f"{path} cannot be read: {error.strerror or error}", hint="check the path and its permissions"
        ) from error


def _identify_folder(path: Path) -> Kind:
    names = {entry.name for entry in path.iterdir()}
    if "saved_model.pb" in names:
        return Kind.SAVED_MODEL
    if "saved_model.pbtxt" in names:
        raise _unknown(path, "a SavedModel in text form", "save it again, with saved_model.pb")
    if "model.json" in names:
        raise _unknown(path, "a TensorFlow.js model", "convert the model that it was made from")
    if {"config.json", "model.weights.h5"} <= names:
        raise _unknown(path, "an unpacked .keras archive", "give the .keras file itself")
    if any(name.endswith(".index") for name in names) or "checkpoint" in names:
        raise _unknown(
            path, "a TensorFlow checkpoint, weights only", "save the whole model with model.save()"
        )
    nested = sorted(entry.parent.name for entry in path.glob("*/saved_model.pb"))
    if nested:
        raise _unknown(path, "a folder around a SavedModel", f"give {path / nested[0]}")
    raise UnknownModelError(f"{path} is a folder without a saved_model.pb", hint=_KNOWN)


def _identify_file(path: Path, head: bytes) -> Kind:
    if not head:
        raise UnknownModelError(f"{path} is empty", hint="was the download or the copy interrupted?")
    if head[4:8] == _TFLITE:
        return Kind.TFLITE
    if head.startswith(_HDF5):
        return Kind.HDF5
    if head.startswith((_ZIP, b"PK\x05\x06")):
        return _identify_zip(path)
    # protobuf: ModelProto.ir_version (field 1, a small number), then one of its next length-delimited fields. A
    # SavedModel begins with schema version 1 and a graph in field 2, which an ONNX of IR version 1 does not.
    if re.match(rb"\x08[\x02-\x20][\x12\x1a\x22\x3a\x42]", head) and path.name != "saved_model.pb":
        return Kind.ONNX
    raise _name_foreign(path, head)


def _identify_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise _unknown(path, "a broken ZIP archive", "was the download or the copy interrupted?") from error
    bases = {name.rpartition("/")[2] for name in names}
    if "config.json" in names:
        return Kind.KERAS_ARCHIVE
    if {"manifest.json", "model.tflite"} <= set(names):
        raise _unknown(path, "an edgekit bundle, already converted", "run it with: edgekit run")
    if "archive_format" in bases and any("/models/" in name for name in names):
        return Kind.EXPORTED_PROGRAM
    if "constants.pkl" in bases:
        raise _unknown(path, "a TorchScript model", f"save the module itself, with {_EXPORT}")
    if "data.pkl" in bases or any(name.endswith(".pkl") for name in bases):
        raise _unknown(
            path, "a PyTorch file of weights or of a pickled module", f"{_FACTORY}; or save it with {_EXPORT}"
        )
    if "saved_model.pb" in bases:
        raise _unknown(path, "a zipped SavedModel", "unpack it and give the folder")
    if names and all(name.endswith(".npy") for name in names):
        raise _unknown(path, "an .npz of arrays", "it belongs behind --calibration; the model comes first")
    raise _unknown(path, "a ZIP archive without a model", _KNOWN)


def _name_foreign(path: Path, head: bytes) -> UnknownModelError:
    """The error for a file of no convertible kind, with what it looks like."""
    text = head.lstrip()
    if text.startswith(b"{"):
        if b'"modelTopology"' in head or b"graph-model" in head or b"layers-model" in head:
            return _unknown(path, "a TensorFlow.js model", "convert the model that it was made from")
        return _unknown(path, "a JSON text, without weights", "save the whole model with model.save()")
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return _unknown(path, "a Python pickle (PyTorch weights?)", f"for PyTorch, {_FACTORY}")
    if head.startswith(b"version https://git-lfs"):
        return _unknown(path, "a Git LFS pointer, not the file itself", "fetch it with: git lfs pull")
    if path.name == "saved_model.pb" or head.startswith(b"\x08\x01\x12"):
        return _unknown(path, "the graph of a SavedModel", f"give the folder that it is in: {path.parent}")
    # protobuf: GraphDef.node (field 1) that begins with NodeDef.name (field 1)
    if head[:1] == b"\x0a" and b"\x12" in head[:256] and any(op in head for op in (b"Placeholder", b"Const")):
        return _unknown(
            path, "a frozen TensorFlow graph", "save it as a SavedModel with its inputs and outputs"
        )
    return UnknownModelError(f"{path} is not a model of a known kind", hint=_KNOWN)


def _unknown(path: Path, what: str, hint: str) -> UnknownModelError:
    return UnknownModelError(f"{path} is {what}, which edgekit does not convert", hint=hint)
