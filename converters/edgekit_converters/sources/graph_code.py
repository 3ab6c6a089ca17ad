"""What a SavedModel's graph would do when it is loaded or converted, told from its nodes before TensorFlow runs any."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgekit.errors import UnsupportedModelError, UntrustedCodeError
from edgekit_converters.sources.frozen import Port

# TensorFlow ops that reach out of the graph: files, Python, the network. Constant folding would run some of them while
# converting ("TensorFlow models are programs": SECURITY.md of tensorflow/tensorflow).
# fmt: off
_REACHES_OUT = frozenset(
    {
        "CreateSummaryFileWriter", "DeleteFile", "EagerPyFunc", "FileSystemSetConfiguration",
        "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "FixedLengthRecordReader",
        "FixedLengthRecordReaderV2", "InitializeTableFromTextFile", "InitializeTableFromTextFileV2",
        "LMDBReader", "LoadAndRemapMatrix", "LoadDataset", "MatchingFiles", "PrintV2", "PyFunc",
        "PyFuncStateless", "ReadFile", "Restore", "RestoreSlice", "RestoreV2", "RpcCall", "RpcClient",
        "RpcServerStart", "Save", "SaveDataset", "SaveDatasetV2", "SaveSlices", "SaveV2",
        "SnapshotDataset", "SnapshotDatasetV2", "SqlDataset", "TFRecordDataset", "TFRecordDatasetV2",
        "TFRecordReader", "TFRecordReaderV2", "TextLineDataset", "TextLineReader", "TextLineReaderV2",
        "WholeFileReader", "WholeFileReaderV2", "WriteFile", "WriteSummary",
    }
)
# fmt: on
# All that restoring variables from a checkpoint is made of; only these ops run while a SavedModel is loaded.
# fmt: off
_RESTORES = frozenset(
    {
        "Assign", "AssignVariableOp", "Cast", "Const", "HashTable", "HashTableV2", "Identity",
        "IdentityN", "LookupTableImport", "LookupTableImportV2", "MutableHashTable", "MutableHashTableV2",
        "NoOp", "Pack", "PartitionedCall", "Placeholder", "PlaceholderWithDefault", "Reshape", "Restore",
        "RestoreSlice", "RestoreV2", "StatefulPartitionedCall", "StringJoin", "VarHandleOp", "Variable",
        "VariableV2", "_Arg", "_Retval",
    }
)
# fmt: on


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


def refuse_control_flow(path: Path, graph: Any, outputs: Iterable[Port]) -> None:
    """Refuse loops and branches, which TensorFlow's quantizer leaves float.

    Args:
        path: The SavedModel, for the message.
        graph: Its `MetaGraphDef`.
        outputs: Those of the signature that is converted.

    Raises:
        UnsupportedModelError: Names them.
    """
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
