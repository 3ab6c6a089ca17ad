"""SavedModel folders, whoever wrote them: TensorFlow 1, Keras 2, Keras 3, or `tf.saved_model.save`."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgekit.errors import SourceError, UnsupportedModelError, UntrustedCodeError
from edgekit_converters.sources.frozen import FrozenGraph, Port, freeze
from edgekit_converters.sources.lite import convert_frozen, give_memory_back
from edgekit_converters.sources.model import FloatModel, SourceOptions
from edgekit_converters.sources.naming import dropped_input, first_line

KIND = "SavedModel"
_INIT_SIGNATURE = "__saved_model_init_op"
# TensorFlow ops that reach out of the graph: files, Python, the network. Constant folding would run some of
# them while converting ("TensorFlow models are programs": SECURITY.md of tensorflow/tensorflow). fmt: off
_REACHES_OUT = frozenset(
    {
        "CreateSummaryFileWriter",
        "DeleteFile",
        "EagerPyFunc",
        "FileSystemSetConfiguration",
        "FixedLengthRecordDataset",
        "FixedLengthRecordDatasetV2",
        "FixedLengthRecordReader",
        "FixedLengthRecordReaderV2",
        "InitializeTableFromTextFile",
        "InitializeTableFromTextFileV2",
        "LMDBReader",
        "LoadAndRemapMatrix",
        "LoadDataset",
        "MatchingFiles",
        "PrintV2",
        "PyFunc",
        "PyFuncStateless",
        "ReadFile",
        "RpcCall",
        "RpcClient",
        "RpcServerStart",
        "Save",
        "SaveDataset",
        "SaveDatasetV2",
        "SaveSlices",
        "SnapshotDataset",
        "SnapshotDatasetV2",
        "SqlDataset",
        "TFRecordDataset",
        "TFRecordDatasetV2",
        "TFRecordReader",
        "TFRecordReaderV2",
        "TextLineDataset",
        "TextLineReader",
        "TextLineReaderV2",
        "WholeFileReader",
        "WholeFileReaderV2",
        "WriteFile",
        "WriteSummary",
    }
)
# fmt: on
# All that restoring variables from a checkpoint is made of; only these ops run while a SavedModel is loaded.
# fmt: off
_RESTORES = frozenset(
    {
        "Assign", "AssignVariableOp", "Cast", "Const", "HashTable", "HashTableV2", "Identity", "IdentityN",
        "LookupTableImport", "LookupTableImportV2", "MutableHashTable", "MutableHashTableV2", "NoOp",
        "Pack", "PartitionedCall", "Placeholder", "PlaceholderWithDefault", "Reshape", "Restore",
        "RestoreSlice", "RestoreV2", "StatefulPartitionedCall", "StringJoin", "VarHandleOp", "Variable",
        "VariableV2", "_Arg", "_Retval",
    }
)
# fmt: on


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
    _refuse_control_flow(path, graph, outputs)
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


def refuse_foreign_ops(path: Path, graph: Any, outputs: Iterable[Port]) -> None:
    """Refuse a model whose loading or converting would read or write files, or run Python.

    Args:
        path: The SavedModel, for the message.
        graph: Its `MetaGraphDef`.
        outputs: Those of the signature that is converted.

    Raises:
        UntrustedCodeError: Names the ops.
    """
    hint = (
        "if you trust the origin of this model, write --trust-model-code; "
        "better, save the model without these operations"
    )
    reaching = _ops_behind(graph, [port.tensor for port in outputs]).keys() & _REACHES_OUT
    if reaching:
        raise UntrustedCodeError(
            f"the SavedModel {path} reaches out of its graph: {', '.join(sorted(reaching))}", hint=hint
        )
    foreign = _ops_behind(graph, [graph.saver_def.restore_op_name]).keys() - _RESTORES
    if foreign:
        raise UntrustedCodeError(
            f"loading the SavedModel {path} would do more than restore its variables: "
            f"{', '.join(sorted(foreign))}",
            hint=hint,
        )


def _refuse_control_flow(path: Path, graph: Any, outputs: Iterable[Port]) -> None:
    found = _ops_behind(graph, [port.tensor for port in outputs])
    loops = {
        op: names for op, names in found.items() if op.removeprefix("Stateless") in ("While", "If", "Case")
    }
    if loops:
        places = "; ".join(
            f"{op} in {', '.join(map(repr, names[:5]))}" for op, names in sorted(loops.items())
        )
        raise UnsupportedModelError(
            f"the SavedModel {path} holds control flow, which has no int8 form: {places}",
            hint="recurrent layers: give the Keras model itself (.keras, .h5), whose layers edgekit unrolls; "
            "otherwise unroll the loop, or cut the model before it",
        )


def _ops_behind(graph: Any, tensors: Iterable[str]) -> dict[str, list[str]]:
    """The ops that run when `tensors` are computed, those in functions included, each with its nodes."""
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    nodes = {node.name: node for node in graph.graph_def.node}
    pending = [nodes[name] for name in map(_node_of, tensors) if name in nodes]
    seen = {node.name for node in pending}
    entered: set[str] = set()
    ops: dict[str, list[str]] = {}
    while pending:
        node = pending.pop()
        ops.setdefault(node.op, []).append(node.name)
        for name in {*_called(node), node.op} & functions.keys() - entered:
            entered.add(name)
            pending += functions[name].node_def  # all of a body: it runs as a whole, side effects included
        for name in map(_node_of, node.input):
            if name in nodes and name not in seen:
                seen.add(name)
                pending.append(nodes[name])
    return {op: names for op, names in ops.items() if op not in functions}


def _node_of(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]


def _called(node: Any) -> Iterator[str]:
    for attribute in node.attr.values():
        yield attribute.func.name
        for function in attribute.list.func:
            yield function.name


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
