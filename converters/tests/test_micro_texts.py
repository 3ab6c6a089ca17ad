"""What C sources are made of: names and texts of any origin, and the scratch memory that CMSIS-NN will take."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tflite_models import Net, conv, dense, depthwise, unary

from edgekit_converters.micro.names import comment, float_literal, identifier, string_literal
from edgekit_converters.micro.scratch import scratch_bytes
from edgekit_targets.ops import view
from edgekit_targets.tflite import read_graph


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Köln Zoo", "koln_zoo"),
        ("3d-net", "model_3d_net"),
        ("__x__", "x"),
        ("日本", "model"),
        ("", "model"),
        ("a/../b", "a_b"),
        ("A" * 200, "a" * 48),
        ('x";\nint y', "x_int_y"),
    ],
)
def test_any_name_becomes_an_identifier(text: str, name: str) -> None:
    assert identifier(text) == name


def test_texts_stay_in_their_literal_and_comment() -> None:
    assert string_literal('a"b\\\n?\x7f é1') == '"a\\042b\\134\\012\\077\\177 \\303\\2511"'
    assert comment("x*/\n#include\\") == "x*/_#include_"


@pytest.mark.parametrize("value", [1.0, 0.05, 1e-7, 3.4e38, 1 / 255, 2.0**-20])
def test_floats_read_back_as_the_same(value: float) -> None:
    literal = float_literal(value)
    assert re.fullmatch(r"-?\d+(\.\d+)?(e[-+]\d+)?f", literal)
    assert "." in literal or "e" in literal
    assert np.float32(literal[:-1]) == np.float32(value)


def test_the_scratch_memory_of_cmsis_nn() -> None:
    """By the formulas of its own sources, the larger of both sorts of cores, and sums of weights beside it."""

    def of(model: Net) -> int:
        return scratch_bytes(view(read_graph(model.build())))

    assert of(conv(channels=4)) == 4 * 32 + 4 * 4  # 3x3 of 3 channels are 27 values, in four columns of 16s
    assert of(depthwise(channels=4)) == 4 * 124 * 9
    assert of(depthwise(channels=300)) == 2 * 300 * 9
    assert of(dense(units=4)) == 4 * 4
    assert of(unary("RELU")) == 0
