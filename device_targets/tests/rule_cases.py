"""Runs the rules of a set against models of one operator, one on each side of a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from tflite_models import Net, T, activation, net, shape_constant

from edgekit_targets.ops import OpView, view
from edgekit_targets.rules import Context, Rule, RuleSet
from edgekit_targets.tflite import read_graph


@dataclass(frozen=True)
class Sides:
    """A model whose last operator breaks a rule, and one whose last operator keeps it."""

    breaks: Net
    keeps: Net


def ops(model: Net) -> tuple[OpView, ...]:
    return view(read_graph(model.build()))


def judged(rules: RuleSet, model: Net) -> Rule | None:
    views = ops(model)
    return rules.judge(views[-1], Context(views))


def applies(rule: Rule, model: Net) -> bool:
    views = ops(model)
    return rule.applies(views[-1], Context(views))


def check(rule: Rule, rules: RuleSet, sides: Sides) -> None:
    """The one side is told this very rule; on the other side it does not apply."""
    told = judged(rules, sides.breaks)
    assert told is not None
    assert told.id == rule.id
    assert not applies(rule, sides.keeps)


def by_sentence(rules: Sequence[Rule]) -> list[object]:
    """Parameters of a test whose names are the rules' sentences."""
    return [pytest.param(rule, id=rule.sentence) for rule in rules]


def op(
    opcode: str,
    inputs: Mapping[str, T],
    shape: tuple[int, ...],
    table: str | None = None,
    version: int = 2,
    **options: object,
) -> Net:
    """A model of one operator with one int8 output."""
    return net(
        opcode, inputs, {"y": activation(*shape)}, table=table, options=options, version=version
    )  # fmt: skip


def shaped(
    opcode: str,
    before: tuple[int, ...],
    after: tuple[int, ...],
    *values: int,
    table: str | None = None,
    version: int = 2,
    **options: object,
) -> Net:
    """A model of one operator with an int32 constant as second input: a shape, axes, a permutation."""
    inputs = {"x": activation(*before), "values": shape_constant(*values)}
    return op(opcode, inputs, after, table, version, **options)
