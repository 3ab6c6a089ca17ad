"""SavedModel folders, whoever wrote them: TensorFlow 1, Keras 2, Keras 3, or `tf.saved_model.save`."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.errors import SourceError, UnsupportedModelError
from edgekit_converters.sources.frozen import FrozenGraph, Port, freeze
from edgekit_converters.sources.graph_code import refuse_control_flow, refuse_foreign_ops
from edgekit_converters.sources.lite import convert_frozen, give_memory_back
from edgekit_converters.sources.model import FloatModel, SourceOptions
from edgekit_converters.sources.naming import dropped_input, first_line

KIND = "SavedModel"
_INIT_SIGNATURE = "__saved_model_init_op"


def convert_saved_model(path: Path, options: SourceOptions) -> FloatModel:
    """Load one signature of a SavedModel and convert it; runs in the worker process.

    Raises:
        UntrustedCodeError: Its graph reads or writes files or runs Python.
        SourceError: One of its classes.
    """
    frozen = _frozen(path, options)
    give_memory_back()
    return convert_frozen(frozen, options)


def _frozen(path: Path, options: SourceOptions) -> FrozenGraph:
    import tensorflow as tf

    saved = _read(path)
    graph = _serving_graph(path, saved)
    name = choose_signature(path, graph.signature_def, options.signature)
    signature = graph.signature_def[name]
    inputs, outputs = _ports(signature.inputs), _ports(signature.outputs)
    if not options.trust_model_code:
        refuse_foreign_ops(path, graph, outputs)
    refuse_control_flow(path, graph, outputs)
    with tempfile.TemporaryDirectory() as folder:
        _write_plain(path, Path(folder), saved, graph)
        try:
            constant = _without_variables(folder, list(graph.meta_info_def.tags), outputs)
        except (
            Exception
        ) as error:  # the loader raises anything, for a missing or damaged variables/ above all
            raise SourceError(
                f"TensorFlow cannot load the SavedModel {path}: {first_line(error)}",
                hint="is the folder complete, with saved_model.pb and variables/?",
            ) from error
    present = {node.name for node in constant.node}
    used = [port for port in inputs if port.node in present]
    # As a function the graph is inlined when it is frozen, so that every op in it has a name of its own.
    whole = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(constant, name=""), [])
    function = whole.prune(
        [whole.graph.get_tensor_by_name(port.tensor) for port in used],
        [whole.graph.get_tensor_by_name(port.tensor) for port in outputs],
    )
    return freeze(
        function,
        KIND,
        inputs=[port.name for port in used],
        outputs=[port.name for port in outputs],
        notes=[dropped_input(port.name) for port in inputs if port not in used],
    )


def _ports(side: Mapping[str, Any]) -> list[Port]:
    """The inputs or outputs of a signature, in the natural order of their keys: the file has them in none."""

    def natural(key: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", key)]

    for key, port in side.items():
        if port.WhichOneof("encoding") != "name":
            raise UnsupportedModelError(
                f"'{key}' of the signature is a sparse or composite tensor",
                hint="save the model with dense tensors",
            )
    return [Port(key, side[key].name) for key in sorted(side, key=natural)]


def _without_variables(folder: str, tags: list[str], outputs: list[Port]) -> Any:
    """Restore the variables in a TensorFlow 1 session and write their values into the graph as constants."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_from_session_graph,
    )

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.saved_model.loader.load(session, tags, folder)
        nodes = sorted({port.node for port in outputs})
        return convert_variables_to_constants_from_session_graph(session, session.graph.as_graph_def(), nodes)


def _read(path: Path) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        return saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    except (DecodeError, OSError) as error:
        raise SourceError(
            f"{path / 'saved_model.pb'} is damaged: {error}", hint="was the download or the copy interrupted?"
        ) from error


def _serving_graph(path: Path, saved: Any) -> Any:
    serving = [graph for graph in saved.meta_graphs if "serve" in graph.meta_info_def.tags]
    graphs = serving or list(saved.meta_graphs)
    if not graphs:
        raise SourceError(f"{path} holds no graph", hint="save the model again")
    # Several serving graphs differ in hardware (serve; serve, gpu; serve, tpu): the plainest is for any.
    return min(graphs, key=lambda graph: len(graph.meta_info_def.tags))


def choose_signature(path: Path, signatures: Mapping[str, Any], wanted: str | None) -> str:
    """The signature to convert.

    Args:
        path: The SavedModel, for messages.
        signatures: `SignatureDef` by name.
        wanted: What the user named, if anything.

    Raises:
        SourceError: There is none, or several and none is named, or not the named one.
    """
    known = sorted(name for name in signatures if name != _INIT_SIGNATURE)
    if not known:
        raise SourceError(
            f"the SavedModel {path} has no signature",
            hint="save it with model.export(), or with tf.saved_model.save(..., signatures=function)",
        )
    if wanted in known:
        return str(wanted)
    if wanted is None and len(known) == 1:
        return known[0]
    # Keras 3 exports one endpoint under two names.
    if (
        wanted is None
        and known == ["serve", "serving_default"]
        and _alike(*(signatures[name] for name in known))
    ):
        return "serving_default"
    said = "several signatures" if wanted is None else f"no signature '{wanted}'"
    raise SourceError(
        f"the SavedModel {path} has {said}",
        hint=f"choose one with --saved-model-signature: {', '.join(known)}",
    )


def _alike(one: Any, other: Any) -> bool:
    def ports(signature: Any) -> list[dict[str, tuple[int, bytes]]]:
        sides = (signature.inputs, signature.outputs)
        return [
            {key: (port.dtype, port.tensor_shape.SerializeToString()) for key, port in side.items()}
            for side in sides
        ]

    return ports(one) == ports(other)


def _write_plain(path: Path, folder: Path, saved: Any, graph: Any) -> None:
    """Write a copy that is only a graph with signatures and variables, which any TensorFlow can read.

    Left out are the object graph, which needs the objects of the very Keras version that wrote it
    ("'_UserObject' object has no attribute 'add_slot'"), and the initializer, which may run anything and
    only fills lookup tables.
    """
    plain = type(saved)()
    plain.saved_model_schema_version = saved.saved_model_schema_version
    kept = plain.meta_graphs.add()
    kept.CopyFrom(graph)
    kept.ClearField("object_graph_def")
    kept.signature_def.pop(_INIT_SIGNATURE, None)
    for collection in ("saved_model_main_op", "legacy_init_op"):
        kept.collection_def.pop(collection, None)
    (folder / "saved_model.pb").write_bytes(plain.SerializeToString(deterministic=True))
    for part in ("variables", "assets"):
        if (path / part).is_dir():
            (folder / part).symlink_to((path / part).resolve())
