"""The schema tables against the code that Google generates from schema.fbs."""

import re
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as generated
from tflite_models import Op, activation, conv, edit, net

from edgekit_targets.tflite import read_graph, schema

# Tables with fields that edgekit does not decode: embedding lookups of 2017, and StableHLO's.
UNREAD = {
    "ConcatEmbeddingsOptions",
    "EmbeddingLookupSparseOptions",
    "LSHProjectionOptions",
    "SkipGramOptions",
}
ENUM_CLASSES = {
    "Padding": "Padding",
    "Activation": "ActivationFunctionType",
    "WeightsFormat": "FullyConnectedOptionsWeightsFormat",
    "LstmKernel": "LSTMKernelType",
    "MirrorPadMode": "MirrorPadMode",
    "CustomOptionsFormat": "CustomOptionsFormat",
    "Type": "TensorType",
}


def numbered(name: str) -> dict[str, int]:
    return {k: v for k, v in vars(getattr(generated, name)).items() if not k.startswith("_")}


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


@pytest.mark.parametrize(
    ("names", "class_name"),
    [
        (schema.OPERATORS, "BuiltinOperator"),
        (schema.TENSOR_TYPES, "TensorType"),
        (schema.OPTIONS, "BuiltinOptions"),
        (schema.OPTIONS_2, "BuiltinOptions2"),
        (schema.QUANTIZATION_DETAILS, "QuantizationDetails"),
        *((schema.ENUMS[ours], theirs) for ours, theirs in ENUM_CLASSES.items()),
    ],
)
def test_names_stand_at_their_numbers(names, class_name):
    assert {name: number for number, name in enumerate(names)} == numbered(class_name)


def test_every_enumeration_in_the_option_tables_is_compared_above():
    assert set(schema.ENUMS) == set(ENUM_CLASSES)


def test_every_type_with_a_fixed_size_has_its_bits():
    assert set(schema.TENSOR_TYPES) - set(schema.BITS) == {"STRING", "RESOURCE", "VARIANT"}


def options_object(table: str) -> Any:
    return getattr(generated, table + "T")()


def fields(table: str) -> set[str]:
    return {snake(name) for name in vars(options_object(table))}


def test_every_table_with_fields_is_decoded():
    with_fields = {name for name in schema.OPTIONS[1:] if fields(name)}
    composite = {"StableHLOCompositeOptions"}
    assert set(schema.option_tables()) == with_fields - UNREAD | composite


@pytest.mark.parametrize("table", schema.option_tables())
def test_every_field_of_a_table_is_decoded(table):
    ours = {re.sub("_", "", field.name) for field in schema.option_tables()[table]}
    assert ours == {re.sub("_", "", name) for name in fields(table)}


def sample(kind: str, slot: int) -> Any:
    """A value of a field that differs from its default and from its neighbours'."""
    numbers = {"int": 100 + slot, "uint": 100 + slot, "long": 2**40 + slot, "float": slot + 0.5, "bool": True}
    others = {
        "ints": [slot, slot + 1],
        "floats": [slot + 0.25],
        "string": f"text {slot}",
        "bytes": [slot, 255],
    }
    return (numbers | others).get(kind, None if kind not in schema.ENUMS else len(schema.ENUMS[kind]) - 1)


def as_read(kind: str, value: Any) -> Any:
    if kind in schema.ENUMS:
        return schema.ENUMS[kind][value]
    if kind in ("ints", "floats"):
        return tuple(value or ())
    if kind == "bytes":
        return bytes(value or ())
    if kind == "string":
        return value.decode() if isinstance(value, bytes) else value or ""
    return value


def read_options(table: str, opcode: str, options: Any) -> dict[str, Any]:
    """Writes an options object with Google's code into a model and reads it with ours."""

    def change(model: Any) -> None:
        number = getattr(generated.BuiltinOperator, opcode)
        model.operatorCodes[0].builtinCode = number
        model.operatorCodes[0].deprecatedBuiltinCode = min(number, 127)
        operator = model.subgraphs[0].operators[0]
        if table in schema.OPTIONS:
            operator.builtinOptionsType = schema.OPTIONS.index(table)
            operator.builtinOptions = options
        else:
            operator.builtinOptions2Type = schema.OPTIONS_2.index(table)
            operator.builtinOptions2 = options
        # Fields that name a subgraph must be answered by one.
        model.subgraphs = model.subgraphs * 200

    plain = net("ABS", {"x": activation(1, 8)}, {"y": activation(1, 8)}).build()
    read = read_graph(edit(plain, change)).main.operators[0].options
    return {name: bytes(v) if isinstance(v, memoryview) else v for name, v in read.items()}


def attribute(options: Any, name: str) -> str:
    return next(a for a in vars(options) if a.lower() == name.replace("_", "").lower())


@pytest.mark.parametrize(("opcode", "table"), schema.options_of_operators().items())
@pytest.mark.parametrize("written", [True, False], ids=["written", "defaults"])
def test_options_are_read_as_google_writes_them(opcode, table, written):
    options, expected = options_object(table), {}
    for field in schema.option_tables()[table]:
        name = attribute(options, field.name)
        if written:
            setattr(options, name, sample(field.kind, field.slot))
            if field.kind == "bool" and field.default:
                setattr(options, name, False)
        expected[field.name] = as_read(field.kind, getattr(options, name))
    assert read_options(table, opcode, options) == expected


@pytest.mark.parametrize(("opcode", "table"), schema.options_of_operators().items())
def test_an_operator_without_its_table_has_the_defaults(opcode, table):
    default = {f.name: as_read(f.kind, getattr(options_object(table), attribute(options_object(table), f.name)))
               for f in schema.option_tables()[table]}  # fmt: skip

    def change(model: Any) -> None:
        number = getattr(generated.BuiltinOperator, opcode)
        model.operatorCodes[0].builtinCode, model.operatorCodes[0].deprecatedBuiltinCode = (
            number,
            min(number, 127),
        )

    plain = net("ABS", {"x": activation(1, 8)}, {"y": activation(1, 8)}).build()
    read = read_graph(edit(plain, change)).main.operators[0].options
    assert {name: bytes(v) if isinstance(v, memoryview) else v for name, v in read.items()} == default


def test_old_files_keep_the_operator_number_in_the_small_field():
    data = edit(conv().build(), lambda model: setattr(model.operatorCodes[0], "builtinCode", 0))
    assert read_graph(data).main.operators[0].opcode == "CONV_2D"


def test_operators_beyond_127_keep_it_in_the_large_field():
    model = net("GELU", {"x": activation(1, 8)}, {"y": activation(1, 8)}, table="GeluOptions")
    assert model.ops[0] == Op("GELU", ("x",), ("y",), "GeluOptions")
    assert read_graph(model.build()).main.operators[0].opcode == "GELU"
