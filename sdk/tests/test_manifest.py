from __future__ import annotations

import contextlib
import copy
import json
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import strictjson
from edgekit.errors import (
    EdgekitError,
    InputError,
    InvalidManifestError,
    MalformedBundleError,
    NewerFormatError,
    PreprocessingError,
)
from edgekit.manifest import AccuracyRecord, GoldenRecord, Manifest, Preprocessing, TensorSpec
from edgekit_targets.catalog import target_names


def test_round_trip_is_exact(manifest: Manifest) -> None:
    data = manifest.to_bytes()
    again = Manifest.from_bytes(data)
    assert again == manifest
    assert again.to_bytes() == data


def test_spelling_is_sorted_indented_utf8_with_a_newline(manifest: Manifest) -> None:
    text = manifest.to_bytes().decode("utf-8")
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    assert "猫でない" in text


def test_workers_and_caches_can_copy_it(manifest: Manifest) -> None:
    assert pickle.loads(pickle.dumps(manifest)) == copy.deepcopy(manifest) == manifest


def test_numpy_scalars_and_lists_become_what_the_schema_says() -> None:
    spec = TensorSpec("x", [np.int64(1), np.int32(4)], "int8", np.float32(0.1), np.int8(-3))  # type: ignore[arg-type]
    assert spec.shape == (1, 4)
    assert type(spec.scale) is float
    assert spec.scale == float(np.float32(0.1))
    assert TensorSpec.from_json(json.loads(strictjson.dump(spec.to_json()))) == spec


def test_whole_numbers_for_float_fields_survive_the_round_trip(manifest: Manifest) -> None:
    assert manifest.accuracy is not None
    whole = replace(manifest, accuracy=replace(manifest.accuracy, float_value=55, low=-1, high=1))
    assert Manifest.from_bytes(whole.to_bytes()) == whole


def test_what_the_caller_passed_cannot_change_the_manifest(manifest: Manifest) -> None:
    recipe: dict[str, object] = {"corrections": ["bias"]}
    made = replace(manifest, recipe=recipe)
    recipe["effort"] = "fast"
    assert made.recipe == {"corrections": ("bias",)}


def test_inputs_are_found_by_name(manifest: Manifest) -> None:
    assert manifest.input("image") is manifest.inputs[0]
    with pytest.raises(InputError, match="no input 'sound'") as caught:
        manifest.input("sound")
    assert caught.value.hint == "its inputs are: image"


def put(document: Any, path: tuple[str | int, ...], value: object) -> Any:
    """The document with one value swapped; `...` removes it."""
    document = copy.deepcopy(document)
    at = document
    for step in path[:-1]:
        at = at[step]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return document


WRONG: list[tuple[str, tuple[str | int, ...], object, str]] = [
    ("unknown key", ("colour",), 1, "colour is not a key"),
    ("unknown key inside", ("inputs", 0, "zeropoint"), 0, r"inputs\[0\]\.zeropoint is not a key"),
    ("missing key", ("labels",), ..., "labels is missing"),
    ("missing key inside", ("inputs", 0, "scale"), ..., r"inputs\[0\]\.scale is missing"),
    ("string for number", ("inputs", 0, "scale"), "0.1", r"inputs\[0\]\.scale must be a number, and is '0.1'"),
    ("bool for int", ("security_epoch",), True, "security_epoch must be a whole number, and is true"),
    ("bool for float", ("inputs", 0, "scale"), True, "must be a number, and is true"),
    ("float for int", ("calibration", "samples"), 10.0, r"calibration\.samples must be a whole number"),
    ("null for string", ("name",), None, "name must be a string, and is null"),
    ("number for string", ("labels", 1), 7, r"labels\[1\] must be a string, and is 7"),
    ("object for list", ("inputs",), {}, "inputs must be a list, and is an object of 0"),
    ("list for object", ("tools",), [], "tools must be an object, and is a list of 0"),
    ("list for record", ("inputs", 0), [], r"inputs\[0\] must be an object, and is a list of 0"),
    ("pair of three", ("inputs", 0, "preprocessing", "range"), [0.0, 1.0, 2.0], "range must have 2 entries, and has 3"),
    ("format 0", ("format",), 0, "format must be 1, and is 0"),
    ("min_edgekit", ("min_edgekit",), "soon", "min_edgekit must be a version"),
    ("empty name", ("name",), "", "name must have 1 to 200 characters"),
    ("padded name", ("name",), " cats", "no space at its ends"),
    ("terminal escape", ("name",), "\x1b[2J", r"name holds an unprintable character: '\\x1b\[2J'"),
    ("text direction", ("labels", 0), "\u202ecat", r"labels\[0\] holds an unprintable character"),
    ("version", ("version",), "1.4", "version must be a version such as 1.4.0"),
    ("version zeros", ("version",), "1.04.0", "version must be a version such as 1.4.0"),
    ("version digits", ("version",), "1.4.٣", "version must be a version such as 1.4.0"),
    ("epoch", ("security_epoch",), -1, "security_epoch must not be negative"),
    ("epoch size", ("security_epoch",), 2**63, "needs over 64 bits"),
    ("no target", ("targets",), [], "targets must not be empty"),
    ("target case", ("targets", 0), "Raspberry Pi", r"targets\[0\] must be a device name"),
    ("target twice", ("targets", 1), "raspberry-pi-4", "targets must not repeat"),
    ("no inputs", ("inputs",), [], "inputs must not be empty"),
    ("nameless tensor", ("outputs", 0, "name"), "", r"outputs\[0\]\.name must not be empty"),
    ("batch", ("outputs", 0, "shape"), [2, 2], r"outputs\[0\]\.shape must start with the batch"),
    ("no batch", ("outputs", 0, "shape"), [], r"outputs\[0\]\.shape must start with the batch"),
    ("open dimension", ("outputs", 0, "shape"), [1, -1], r"outputs\[0\]\.shape must be static"),
    ("empty dimension", ("outputs", 0, "shape"), [1, 0], r"outputs\[0\]\.shape must be static"),
    ("float tensor", ("outputs", 0, "dtype"), "float32", "dtype must be one of int8, uint8, int32, int64"),
    ("zero scale", ("outputs", 0, "scale"), 0.0, r"outputs\[0\]\.scale must be above 0"),
    ("negative scale", ("outputs", 0, "scale"), -0.5, r"outputs\[0\]\.scale must be above 0"),
    ("zero point", ("outputs", 0, "zero_point"), 128, "zero_point must lie within -128..127 for int8, and is 128"),
    ("integer scale", ("outputs", 0), {"name": "c", "shape": [1], "dtype": "int64", "scale": 2.0, "zero_point": 0,
     "layout": None, "preprocessing": None}, "scale must be 1.0 for int64"),
    ("layout", ("inputs", 0, "layout"), "HWC", "layout must be one of NHWC, NCHW"),
    ("layout rank", ("outputs", 0, "layout"), "NHWC", "layout needs four dimensions"),
    ("image layout", ("inputs", 0, "layout"), None, r"inputs\[0\]\.layout must be said where images come in"),
    ("color channels", ("inputs", 0, "preprocessing", "color"), "GRAY", "is GRAY, and the model has 3 channels"),
    ("mean channels", ("inputs", 0, "preprocessing", "mean"), [0.0, 0.0], "mean must have 1 or 3 numbers"),
    ("unsaid input", ("inputs", 0, "preprocessing"), None, r"inputs\[0\]\.preprocessing must be said"),
    ("said output", ("outputs", 0, "preprocessing"), {"source": "array", "dtype": "float32", "range": None,
     "mean": None, "std": None, "resize": None, "color": None}, r"outputs\[0\]\.preprocessing belongs to inputs"),
    ("range order", ("inputs", 0, "preprocessing", "range"), [1.0, 0.0], r"inputs\[0\]\.preprocessing\.range must be LO"),
    ("no labels", ("labels",), [], "labels must not be an empty list"),
    ("fingerprint", ("calibration", "sha256"), "abc", r"calibration\.sha256 must be 64 digits"),
    ("no samples", ("calibration", "samples"), 0, r"calibration\.samples must lie within 1\.\.500"),
    ("more than all", ("calibration", "samples"), 501, r"calibration\.samples must lie within 1\.\.500"),
    ("seed", ("calibration", "seed"), -1, r"calibration\.seed must not be negative"),
    ("no source", ("calibration", "source"), "", r"calibration\.source must not be empty"),
    ("ranges", ("calibration", "ranges"), "Min Max", r"calibration\.ranges must be a lowercase word"),
    ("tool version", ("tools", "python"), 3.11, r"tools\['python'\] must be a string, and is 3.11"),
    ("evaluation n", ("accuracy", "n"), 0, r"accuracy\.n must be at least 1"),
    ("nameless metric", ("accuracy", "metric"), "", r"accuracy\.metric must not be empty"),
    ("interval", ("accuracy", "low"), 5.0, r"accuracy\.low must not exceed high"),
    ("agreement", ("accuracy", "agreement"), 100.5, r"accuracy\.agreement must lie within 0\.\.100"),
    ("agreement alone", ("accuracy", "agreement_n"), None, r"accuracy\.agreement_n must be given with agreement"),
    ("agreement n", ("accuracy", "agreement_n"), 0, r"accuracy\.agreement_n must be at least 1"),
    ("runtime model", ("runtime",), {}, "runtime must say what model.tflite needs"),
    ("runtime version", ("runtime", "model.tflite", "litert"), "any", "must be a version such as 2.3.0"),
    ("golden count", ("golden", "count"), 0, r"golden\.count must be at least 1"),
    ("golden seed", ("golden", "seed"), -1, r"golden\.seed must not be negative"),
    ("golden source", ("golden", "source"), "random", r"golden\.source must be one of drawn, data"),
    ("tolerance", ("golden", "tolerance_steps"), {"xnnpack": -1}, r"tolerance_steps\['xnnpack'\] must lie within"),
    ("deep recipe", ("recipe", "a"), json.loads("[" * 15 + "]" * 15), "nests deeper than 16 levels"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_wrong_manifest_is_refused_with_its_path(
    manifest: Manifest, path: tuple[str | int, ...], value: object, message: str
) -> None:
    document = put(json.loads(manifest.to_bytes()), path, value)
    with pytest.raises(MalformedBundleError, match=message) as caught:
        Manifest.from_bytes(strictjson.dump(document))
    assert str(caught.value).startswith("manifest.json")


SPELLINGS: list[tuple[str, Any, str]] = [
    ("not JSON", lambda d: d[:-3], "is not JSON: .* line"),
    ("empty", lambda d: b"", "is not JSON"),
    ("not UTF-8", lambda d: d.replace(b"cats", b"\xff\xfe\xfd\xfc"), "is not UTF-8"),
    ("byte order mark", lambda d: b"\xef\xbb\xbf" + d, "is not JSON"),
    ("a list", lambda d: b"[]\n", "the document must be an object"),
    ("duplicate key", lambda d: d.replace(b'  "name"', b'  "name": "dogs",\n  "name"', 1), "'name' twice"),
    ("NaN", lambda d: d.replace(b"0.0078125", b"NaN"), "holds NaN, which is not a JSON number"),
    ("infinity", lambda d: d.replace(b"0.0078125", b"-Infinity"), "holds -Infinity"),
    ("float overflow", lambda d: d.replace(b"0.0078125", b"1e999"), "'1e999', which is out of range"),
    ("endless integer", lambda d: d.replace(b"199", b"9" * 5000), "needs over 64 bits"),
    ("endless nesting", lambda d: b"[" * 200_000, "nests deeper than 16 levels"),
    ("lone surrogate", lambda d: d.replace(b'"cat"', b'"\\ud800"'), "unprintable character: '.ud800'"),
    ("compact", lambda d: json.dumps(json.loads(d)).encode(), "is not canonical"),
    ("ASCII escapes", lambda d: d.replace("猫".encode(), b"\\u732b"), "is not canonical"),
    ("no newline", lambda d: d[:-1], "is not canonical"),
    ("1 for 1.0", lambda d: d.replace(b"1.0,", b"1,").replace(b"-1.0", b"-1"), "is not canonical"),
    ("other spelling of a float", lambda d: d.replace(b"0.0078125", b"7.8125e-3"), "is not canonical"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), [s[1:] for s in SPELLINGS], ids=[s[0] for s in SPELLINGS])
def test_other_spellings_are_refused(manifest: Manifest, spoil: Any, message: str) -> None:
    data = manifest.to_bytes()
    spoilt = spoil(data)
    assert spoilt != data
    with pytest.raises(MalformedBundleError, match=message):
        Manifest.from_bytes(spoilt)


def test_duplicate_keys_of_a_large_object_are_found_in_no_time() -> None:
    keys = ",".join(f'"{index}":0' for index in range(100_000))
    with pytest.raises(MalformedBundleError, match="'99999' twice"):
        strictjson.parse(f'{{{keys},"99999":1}}'.encode(), "manifest.json")


def test_newer_format_names_the_edgekit_that_reads_it() -> None:
    document = {"format": 2, "min_edgekit": "0.9.0", "everything": {"else": "is different"}}
    with pytest.raises(
        NewerFormatError, match=r"has format 2.* reads format 1; edgekit 0\.9\.0 or later"
    ) as caught:
        Manifest.from_bytes(json.dumps(document).encode())
    assert caught.value.hint == "install edgekit 0.9.0 or later: pip install --upgrade edgekit"


@pytest.mark.parametrize("least", [None, 9, "0.9.0; rm -rf /", "\x1b[2J"])
def test_newer_format_repeats_nothing_that_is_no_version(least: object) -> None:
    document = {"format": 3, "min_edgekit": least}
    with pytest.raises(NewerFormatError, match=r"; a later edgekit reads it$"):
        Manifest.from_bytes(json.dumps(document).encode())


BAD_PREPROCESSING: list[tuple[dict[str, Any], str]] = [
    ({"source": "video", "dtype": "uint8"}, "source must be one of image, audio, array"),
    ({"source": "array", "dtype": "float64"}, "dtype must be one of uint8, int16, float32"),
    ({"source": "image", "dtype": "float32", "color": "RGB"}, "dtype must be one of uint8"),
    ({"source": "audio", "dtype": "uint8", "range": (0, 1)}, "dtype must be one of int16"),
    ({"source": "array", "dtype": "uint8"}, "range is missing: nothing says how uint8 becomes model input"),
    ({"source": "audio", "dtype": "int16"}, "range is missing"),
    ({"source": "array", "dtype": "float32", "range": (0, 1)}, "range needs integer data"),
    ({"source": "array", "dtype": "uint8", "range": (1, 1)}, "range must be LO < HI, and is 1, 1"),
    ({"source": "array", "dtype": "float32", "std": (0.0,)}, "std must be above 0"),
    ({"source": "array", "dtype": "float32", "std": (1.0, -1.0)}, "std must be above 0"),
    ({"source": "array", "dtype": "float32", "mean": ()}, "mean must not be empty"),
    ({"source": "array", "dtype": "float32", "std": ()}, "std must not be empty"),
    ({"source": "image", "dtype": "uint8", "range": (0, 1)}, "color must be one of RGB, BGR, GRAY, and is null"),
    ({"source": "image", "dtype": "uint8", "range": (0, 1), "color": "CMYK"}, "color must be one of"),
    ({"source": "image", "dtype": "uint8", "range": (0, 1), "color": "RGB", "resize": "area"}, "resize must be"),
    ({"source": "array", "dtype": "float32", "color": "RGB"}, "color belongs to images only"),
    ({"source": "array", "dtype": "float32", "resize": "bilinear"}, "resize belongs to images only"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "message"), BAD_PREPROCESSING, ids=[m for _, m in BAD_PREPROCESSING])
def test_preprocessing_that_contradicts_itself_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(PreprocessingError, match=message):
        Preprocessing(**fields)


@pytest.mark.parametrize("range_", [(float("nan"), 1.0), (0.0, float("inf")), (float("-inf"), 0.0)])
def test_range_must_be_finite(range_: tuple[float, float]) -> None:
    with pytest.raises(EdgekitError, match="must be finite"):
        Preprocessing("array", "uint8", range=range_)


def test_preprocessed_data_need_nothing_said() -> None:
    assert Preprocessing("array", "float32").to_json() == {
        "source": "array", "dtype": "float32", "range": None, "mean": None, "std": None, "resize": None, "color": None,
    }  # fmt: skip


def test_mean_and_std_alone_say_how_integers_become_input() -> None:
    assert Preprocessing("array", "uint8", mean=(127.5,), std=(127.5,)).range is None


def test_channels_come_second_in_nchw() -> None:
    said = Preprocessing("image", "uint8", range=(0, 1), mean=(0.1, 0.2, 0.3), color="BGR")
    assert TensorSpec("x", (1, 3, 8, 5), "int8", 0.1, 0, "NCHW", said).preprocessing == said
    with pytest.raises(InvalidManifestError, match="mean must have 1 or 5 numbers"):
        TensorSpec("x", (1, 3, 8, 5), "int8", 0.1, 0, "NHWC", said)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan"), 10**400])
def test_numbers_are_finite(value: float) -> None:
    with pytest.raises(InvalidManifestError, match="scale must be finite"):
        TensorSpec("x", (1, 2), "int8", value, 0)


@pytest.mark.parametrize(
    "value", [object(), b"bytes", {1: 2}, float("nan"), {"x": np.array([1, 2])}, {"\n": 1}]
)
def test_recipe_holds_json_only(manifest: Manifest, value: object) -> None:
    with pytest.raises(InvalidManifestError, match="recipe"):
        replace(manifest, recipe={"a": value})


def test_the_same_name_twice_among_inputs_is_refused(manifest: Manifest) -> None:
    with pytest.raises(InvalidManifestError, match="inputs must not repeat a name, and has image, image"):
        replace(manifest, inputs=manifest.inputs * 2)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, max_value=1e300, min_value=-1e300)
    | st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc_é", max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(recipe=st.dictionaries(st.text("abcé", max_size=4), JSON_VALUES, max_size=4))
def test_any_recipe_survives(manifest: Manifest, recipe: dict[str, object]) -> None:
    made = replace(manifest, recipe=recipe)
    assert Manifest.from_bytes(made.to_bytes()) == made


@given(value=JSON_VALUES, data=st.data())
def test_any_wrong_value_anywhere_ends_in_an_edgekit_error(
    manifest: Manifest, value: object, data: st.DataObject
) -> None:
    document = json.loads(manifest.to_bytes())
    path: list[str | int] = []
    at: Any = document
    while isinstance(at, (dict, list)) and at and (not path or data.draw(st.booleans())):
        step: Any = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        path.append(step)
        at = at[step]
    spoilt = strictjson.dump(put(document, tuple(path), value))
    with contextlib.suppress(MalformedBundleError, NewerFormatError):
        assert Manifest.from_bytes(spoilt).to_bytes() == spoilt


def test_records_stand_alone() -> None:
    record = AccuracyRecord("RMSE", "°C", 10, 1.0, 1.5, 0.5, 0.25, 0.75)
    assert AccuracyRecord.from_json(record.to_json(), "accuracy") == record
    with pytest.raises(InvalidManifestError, match=r"^golden\.count must be a whole number"):
        GoldenRecord.from_json({"count": "4", "seed": 0, "source": "drawn", "tolerance_steps": {}}, "golden")


def test_every_device_of_the_catalogue_can_stand_in_a_manifest(manifest: Manifest) -> None:
    named = replace(manifest, targets=target_names())
    assert Manifest.from_bytes(named.to_bytes()).targets == target_names()
