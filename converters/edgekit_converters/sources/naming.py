"""Names in messages: which layer an operator belongs to, and what a mistyped name might have meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from edgekit.errors import SourceError, UnsupportedModelError


def first_line(error: Exception) -> str:
    """What an exception of another library says, in one line of at most 300 characters."""
    # Keras puts a page about its configuration before the reason.
    text = str(error).rpartition("Exception encountered: ")[2]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]


def plain_path(path: str) -> str:
    """A node or tensor name without the calls of functions that a SavedModel wraps around every node."""
    return re.sub(r"(?:Stateful)?PartitionedCall(?:_\d+)?/", "", path)


def located(path: str, layers: Sequence[str]) -> str:
    """Where a node or tensor is, in words: its Keras layer if one is part of its path, else the path itself.

    Args:
        path: A TensorFlow node or TFLite tensor name ("functional/encoder/dense/BiasAdd").
        layers: Names of the Keras layers, if any.
    """
    layer = layer_of(path, layers)
    return f"layer '{layer}'" if layer else f"'{plain_path(path)}'"


def layer_of(path: str, layers: Sequence[str]) -> str | None:
    """The outermost Keras layer in a path, which is one that --outputs knows; None where there is none."""
    known = set(layers)
    # Fused operators are named after all their nodes, separated by semicolons; the last one ends the chain.
    parts = path.rpartition(";")[2].split("/")
    return next((part for part in parts if part in known), None)


def unknown_output(name: str, own: Sequence[str], nodes: Sequence[str]) -> SourceError:
    """The error for an --outputs name that the model does not have.

    Args:
        name: What was asked for.
        own: Names of outputs and layers.
        nodes: Paths of nodes or tensors, of which any part may have been meant.
    """
    named: dict[str, list[str]] = {}
    for path in dict.fromkeys((*own, *nodes)):
        for part in {path, *re.split(r"[/;]", path)}:
            named.setdefault(part.lower(), []).append(path)
    close = difflib.get_close_matches(name.lower(), named, n=5, cutoff=0.6)
    close += [part for part in named if name.lower() in part and part not in close]
    # Of the nodes of one layer the last is the one that gives its result.
    near = dict.fromkeys(path for part in close for path in named[part][-3:])
    shown = ", ".join(list(near)[:8] or list(own)[:10] or list(nodes)[-10:])
    return SourceError(
        f"--outputs names '{name}', which the model does not have",
        hint=f"{'close to it are' if near else 'it has, for example'}: {shown}",
    )


def dropped_input(name: str) -> str:
    """The note for an input that the wanted outputs do not need."""
    return f"input '{name}' does not reach the outputs and was dropped"


def refuse_input_type(name: str, dtype: str) -> UnsupportedModelError:
    """The error for an input that is not float32."""
    if dtype.startswith(("int", "uint", "bool")):
        why = f"input '{name}' is {dtype}: int8 TFLite takes quantized reals, not token ids or counts"
        hint = (
            "save the part of the model that begins behind the lookup (Embedding, Cast), with a float32 input"
        )
    else:
        why = f"input '{name}' is {dtype}: edgekit takes float32 inputs"
        hint = "save the model again with a float32 input"
    return UnsupportedModelError(why, hint=hint)


def refuse_output_type(
    name: str, dtype: str, op: str, feed: str | None, layers: Sequence[str]
) -> UnsupportedModelError:
    """The error for an output that is not float32, with the place to cut instead.

    Args:
        name: The output.
        dtype: Its type.
        op: The operator that makes it.
        feed: Node or tensor that the operator reads, if it is a real-valued one.
        layers: Names of Keras layers, where the model has any.
    """
    if "float" in dtype:
        return UnsupportedModelError(
            f"output '{name}' is {dtype}: edgekit starts from float32", hint="save the model again in float32"
        )
    cut = (layer_of(feed, layers) or plain_path(feed)) if feed else None
    return UnsupportedModelError(
        f"output '{name}' is {dtype}, made by {op}: int8 TFLite gives quantized reals",
        hint=f"cut the model before it with --outputs {cut or 'NAME'}, and do {op} in the app",
    )
