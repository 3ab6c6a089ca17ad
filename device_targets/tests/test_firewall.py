"""The firewall: what edgekit makes passes, and each rule refuses a sound model that breaks just this one."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from firewall_cases import BENT, MODEL, REFUSED, SOUND, put
from firewall_kernels import grouped_models, retyped_models, shapes_in_litert, sliced_models
from firewall_models import int32, moved
from tflite_models import Net, Op, T, activation, conv, edit, net, shape_constant, unary

from edgekit_targets.errors import MalformedModelError
from edgekit_targets.tflite.firewall import check_model
from edgekit_targets.tflite.firewall.operators import allowed_operators
from edgekit_targets.tflite.firewall.structure import WalkLimits, check_structure


@pytest.mark.parametrize("name", SOUND)
def test_each_operator_passes_and_runs(name: str) -> None:
    model = SOUND[name].build()
    check_model(model)
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    for details in interpreter.get_input_details():
        interpreter.set_tensor(details["index"], np.full(details["shape"], 4, details["dtype"]))
    interpreter.invoke()
    said = interpreter.get_output_details()
    assert [tuple(details["shape"]) for details in said] == [
        SOUND[name].tensors[n].shape for n in SOUND[name].outputs
    ]


def test_every_operator_that_may_pass_has_a_sound_model() -> None:
    assert SOUND.keys() == allowed_operators().keys()


@pytest.mark.parametrize("name", REFUSED)
def test_what_breaks_one_rule_is_refused(name: str) -> None:
    base, change, message = REFUSED[name]
    with pytest.raises(MalformedModelError, match=message) as caught:
        check_model(edit(base.build(), change))
    assert caught.value.hint
    assert str(caught.value).startswith("refused before it reaches the runtime: ")


@pytest.mark.parametrize("opcode", allowed_operators())
def test_versions_are_those_that_litert_has(opcode: str) -> None:
    highest = allowed_operators()[opcode].version

    def resolves(version: int) -> bool:
        try:
            Interpreter(
                model_content=unary(opcode, version=version).build(),
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
        except ValueError as error:
            return "Didn't find op" not in str(error)
        return True

    assert resolves(highest)
    assert not resolves(highest + 1)


def custom(name: str) -> bytes:
    inputs = {"stream": T((4,), "UINT8", data=[1, 2, 3, 4]), "x": activation(1, 8)}
    outputs = {"y": activation(1, 8)}
    return net("CUSTOM", inputs, outputs, custom_code=name, custom_options=b"\x01\x04\x01").build()


def test_a_custom_operator_passes_where_it_is_named() -> None:
    check_model(custom("edgetpu-custom-op"), custom_ops=frozenset({"edgetpu-custom-op"}))
    with pytest.raises(MalformedModelError, match="only ethos-u may occur here"):
        check_model(custom("edgetpu-custom-op"), custom_ops=frozenset({"ethos-u"}))
    with pytest.raises(MalformedModelError, match="and none may occur here"):
        check_model(custom("edgetpu-custom-op"))


def test_a_stand_in_without_operators_passes_only_where_nothing_runs_it() -> None:
    bare = replace(conv(), ops=()).build()
    check_model(bare, executed=False)
    with pytest.raises(MalformedModelError, match="nothing computes"):
        check_model(bare)


def test_what_a_runtime_computes_holds_where_the_signature_is_open() -> None:
    """TFLiteConverter writes 1 for sizes that it leaves open, in the middle of a model too."""
    x = activation(1, 4, 4, 2)
    blocks = {"blocks": shape_constant(2, 2), "edges": int32(2, 2, data=[[0, 0], [0, 0]])}
    opened = activation(1, 2, 2, 2, signature=(-1, 2, 2, 2))
    model = moved("SPACE_TO_BATCH_ND", {"x": x, **blocks}, 1, 2, 2, 2, table="SpaceToBatchNDOptions")
    check_model(model.tensor("y", shape=opened.shape, signature=opened.signature).build())
    with pytest.raises(MalformedModelError, match="it computes"):
        check_model(model.build())


def test_a_shape_that_follows_from_shapes_is_known() -> None:
    """What Keras makes of Flatten with an open batch: SHAPE, STRIDED_SLICE, PACK, RESHAPE."""
    tensors = {
        "x": activation(1, 2, 4), "shape": int32(3), "b": shape_constant(0), "e": shape_constant(1),
        "s": shape_constant(1), "batch": int32(), "rest": int32(data=-1), "wanted": int32(2), "y": activation(1, 8),
    }  # fmt: skip

    def flatten(rest: int) -> bytes:
        ops = (
            Op("SHAPE", ("x",), ("shape",), "ShapeOptions", {"outType": 2}),
            Op(
                "STRIDED_SLICE",
                ("shape", "b", "e", "s"),
                ("batch",),
                "StridedSliceOptions",
                {"shrinkAxisMask": 1},
            ),
            Op("PACK", ("batch", "rest"), ("wanted",), "PackOptions", {"valuesCount": 2}),
            Op("RESHAPE", ("x", "wanted"), ("y",), "ReshapeOptions"),
        )
        return Net({**tensors, "rest": int32(data=rest)}, ops, ("x",), ("y",)).build()

    check_model(flatten(-1))
    check_model(flatten(8))
    with pytest.raises(MalformedModelError, match="cannot become"):
        check_model(flatten(9))


def passing(models: Mapping[str, Net]) -> dict[str, Net]:
    """Those that the firewall lets pass; any error but its own ends the test."""
    passed = {}
    for name, model in models.items():
        try:
            check_model(model.build())
        except MalformedModelError:
            continue
        passed[name] = model
    return passed


def declared(model: Net) -> list[tuple[int, ...]]:
    """The shapes of the outputs in the file."""
    return [model.tensors[name].shape for name in model.outputs]


def test_litert_reads_constants_as_the_firewall_does(tmp_path: Path) -> None:
    """What passes has the shapes of the file in LiteRT too, whatever the type and form of its constants."""
    models = passing(dict(retyped_models()))
    computed = [(name, shapes) for name, shapes in shapes_in_litert(models, tmp_path) if shapes is not None]
    assert len(computed) > 40
    assert [(name, shapes) for name, shapes in computed if shapes != declared(models[name])] == []


def test_litert_slices_as_the_firewall_does(tmp_path: Path) -> None:
    models = {}
    for name, model in sliced_models(random.Random(1), 400):
        with pytest.raises(MalformedModelError) as caught:
            check_model(model.build())
        if found := re.search(r"it computes \[([0-9, ]*)\]", str(caught.value)):
            sizes = tuple(int(size) for size in found[1].split(",") if size)
            models[name] = model.tensor("y", shape=sizes)
    models = passing(models)
    computed = [(name, shapes) for name, shapes in shapes_in_litert(models, tmp_path) if shapes is not None]
    assert len(computed) > 100
    assert [(name, shapes) for name, shapes in computed if shapes != declared(models[name])] == []


def test_dense_layers_that_the_file_groups_pass_and_run(tmp_path: Path) -> None:
    models = dict(grouped_models())
    assert passing(models) == models
    for name, shapes in shapes_in_litert(models, tmp_path):
        assert shapes is not None, name
        assert np.prod(shapes[0]) == np.prod(declared(models[name])[0])


@pytest.mark.parametrize("name", BENT)
def test_bent_bytes_are_refused(name: str) -> None:
    data, message = BENT[name]
    with pytest.raises(MalformedModelError, match=message):
        check_model(data)


def test_padding_must_be_zero() -> None:
    """A byte of the alignment between two parts, set: a place to hide something."""
    found = 0
    for at in range(8, len(MODEL)):
        if MODEL[at] == 0:
            try:
                check_structure(memoryview(put(MODEL, at, "B", 0xA5)))
            except MalformedModelError as error:
                found += "is not zero" in str(error)
    assert found > 0


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (WalkLimits(size=100), "over the limit of 100"),
        (WalkLimits(tables=3), "over the limit of 3"),
        (WalkLimits(string=3), "over the limit of 3"),
        (WalkLimits(vector=3), "over the limit of 3"),
        (WalkLimits(parts=10), "more than 10 parts"),
    ],
)
def test_limits(limits: WalkLimits, message: str) -> None:
    with pytest.raises(MalformedModelError, match=message):
        check_structure(memoryview(MODEL), limits)


def test_what_is_no_run_of_bytes_is_refused() -> None:
    with pytest.raises(MalformedModelError, match="contiguous"):
        check_model(memoryview(MODEL)[::2])


def test_random_damage_ends_in_one_kind_of_error() -> None:
    generator, refused = random.Random(7), 0
    for _ in range(3000):
        data = bytearray(MODEL)
        for _ in range(generator.choice((1, 2, 8))):
            data[generator.randrange(len(data))] = generator.randrange(256)
        try:
            check_model(bytes(data))
        except MalformedModelError:
            refused += 1
    assert refused > 1000
