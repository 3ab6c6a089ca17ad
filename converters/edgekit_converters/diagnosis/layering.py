"""From blocks to layers as people know them, with all that is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit_converters.calibration.observe import Observation
from edgekit_converters.diagnosis.ablation import Effect
from edgekit_converters.diagnosis.blocks import Chain, main_operator
from edgekit_converters.diagnosis.channels import look_at_channels
from edgekit_converters.diagnosis.lone import find_lone_samples
from edgekit_converters.diagnosis.record import INPUT, Layer
from edgekit_converters.diagnosis.written import HIGHEST, LOWEST
from edgekit_targets.layers import layer_of
from edgekit_targets.tflite import Graph


@dataclass(frozen=True, slots=True)
class Graphs:
    """The models that are looked at.

    Attributes:
        exact: The float model.
        rough: The int8 model.
        part: What of the int8 model the blocks are of.
    """

    exact: Graph
    rough: Graph
    part: Graph


def layers_of(
    graphs: Graphs, chain: Chain, effects: Sequence[Effect], observation: Observation
) -> tuple[Layer, ...]:
    """Puts the layers together.

    Args:
        graphs: The models.
        chain: The blocks.
        effects: Of each block.
        observation: Of the float model on all samples.
    """
    ranges = {
        name: ((LOWEST - zero_point) * scale, (HIGHEST - zero_point) * scale)
        for name, (scale, zero_point) in chain.scales.items()
    }
    lone = {found.tensor: found for found in find_lone_samples(observation, ranges)}
    channels = look_at_channels(graphs.exact, graphs.rough, observation.channels)
    tensors, part = graphs.rough.main.tensors, graphs.part.main
    index_of = {tensors[op.outputs[0]].name: op.index for op in graphs.rough.main.operators}
    layers = []
    for number, (block, effect) in enumerate(zip(chain.blocks, effects, strict=True)):
        operators = part.operators[slice(*block.int8_ops)]
        operator = main_operator(operators) if number else None
        written = [part.tensors[index].name for each in operators for index in each.outputs]
        layers.append(
            Layer(
                number=number,
                index=None if operator is None else index_of[part.tensors[operator.outputs[0]].name],
                opcode=INPUT if operator is None else operator.opcode,
                name=", ".join(block.reads) if operator is None else layer_of(part, operator),
                effect=effect,
                channels=next((channels[name] for name in written if name in channels), None),
                lone=next((lone[name] for name in (*written, *block.writes) if name in lone), None),
            )
        )
    return tuple(layers)
