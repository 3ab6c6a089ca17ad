"""Which operators of TensorFlow Lite Micro a model needs, and what the methods that add them are called."""

from __future__ import annotations

import re
from collections import Counter

from edgekit.errors import UnsupportedModelError
from edgekit_targets.ops import view
from edgekit_targets.rules.rule import Context, Outcome, Rule
from edgekit_targets.rules.tflite_micro import CUSTOM, OPERATORS, TFLITE_MICRO
from edgekit_targets.tflite import Graph

SOURCE = "tensorflow/lite/micro/micro_mutable_op_resolver.h"
"""Where the methods are declared."""

_IRREGULAR = {
    "BATCH_MATMUL": "AddBatchMatMul",
    "CUMSUM": "AddCumSum",
    "PADV2": "AddPadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
}
_CUSTOM = {
    "TFLite_Detection_PostProcess": "AddDetectionPostprocess",
    "ethos-u": "AddEthosU",
    "CIRCULAR_BUFFER": "AddCircularBuffer",
}


def method_of(title: str) -> str:
    """The method of ``MicroMutableOpResolver`` that adds an operator.

    Args:
        title: A member of `OPERATORS` or `CUSTOM`.
    """
    if title in _CUSTOM:
        return _CUSTOM[title]
    return _IRREGULAR.get(title, "Add" + "".join(re.sub("_", " ", title).title().split()))


def needed(graph: Graph) -> tuple[str, ...]:
    """The operators that a model has, each once, in alphabetical order.

    Raises:
        UnsupportedModelError: TensorFlow Lite Micro has no kernel for one of them; the message names it.
    """
    _refuse_missing(graph)
    titles = {operator.title for subgraph in graph.subgraphs for operator in subgraph.operators}
    missing = sorted(titles - OPERATORS - CUSTOM)
    if missing:  # in the body of a loop or a branch
        raise UnsupportedModelError(
            f"TensorFlow Lite Micro has no kernel for {', '.join(missing)}", hint="replace the layer"
        )
    return tuple(sorted(titles))


def _refuse_missing(graph: Graph) -> None:
    ops = view(graph)
    context = Context(ops)
    judged = [(op, TFLITE_MICRO.judge(op, context)) for op in ops]
    refused = [(op, rule) for op, rule in judged if rule is not None and rule.outcome is Outcome.MISSING]
    if not refused:
        return
    first, rule = refused[0]
    counts = Counter(op.title for op, _ in refused)
    names = ", ".join(f"{title} ({count}x)" if count > 1 else title for title, count in counts.items())
    raise UnsupportedModelError(
        f"TensorFlow Lite Micro does not run {names}: {_said(rule)}; the first is '{first.name}'",
        hint=rule.fix,
    )


def _said(rule: Rule) -> str:
    return rule.sentence[:1].lower() + rule.sentence[1:] if rule.sentence[1:2].islower() else rule.sentence
