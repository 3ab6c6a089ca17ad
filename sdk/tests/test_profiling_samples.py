"""What a model is run on while it is measured: raw samples that become the bundle's own integers again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekit.arrays import write_arrays
from edgekit.backends.simulated import Simulation
from edgekit.bundle import UnverifiedBundle, read_unverified, write_bundle
from edgekit.errors import BadSampleError, InputError, MalformedBundleError
from edgekit.manifest import GoldenRecord, Manifest, Preprocessing, TensorSpec
from edgekit.profiling import samples as sampling
from edgekit.profiling.child import _read_pool, write_pool
from edgekit.profiling.measure import as_given
from edgekit.profiling.samples import (
    MOST_BATCH_BYTES,
    POOL,
    Samples,
    from_bundle,
    from_files,
    raw_of,
    stored_of,
)

pytestmark = pytest.mark.filterwarnings("ignore:this bundle runs unsigned")

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIXELS = Preprocessing("image", "uint8", range=(0.0, 1.0), resize="bilinear", color="RGB")

SPECS = {
    "image": TensorSpec("x", (1, 6, 5, 3), "int8", 1 / 255, -128, "NHWC", PIXELS),
    "image-of-another-span": TensorSpec(
        "x", (1, 6, 5, 3), "int8", 2 / 255, -1, "NHWC", replace(PIXELS, range=(-1.0, 1.0))
    ),
    "image-channels-first": TensorSpec("x", (1, 3, 6, 5), "int8", 1 / 255, -128, "NCHW", PIXELS),
    "image-mean-and-std": TensorSpec(
        "x", (1, 6, 5, 3), "int8", 0.0187, -14, "NHWC", replace(PIXELS, mean=MEAN, std=STD)
    ),
    "image-mean-and-std-channels-first": TensorSpec(
        "x", (1, 3, 6, 5), "int8", 0.0187, -14, "NCHW", replace(PIXELS, mean=MEAN, std=STD)
    ),
    "image-mean-alone": TensorSpec(
        "x", (1, 6, 5, 3), "int8", 1.0, 0, "NHWC", replace(PIXELS, range=None, mean=(127.5,), color="BGR")
    ),
    "gray": TensorSpec("x", (1, 6, 5, 1), "int8", 1 / 255, -128, "NHWC", replace(PIXELS, color="GRAY")),
    "gray-channels-first": TensorSpec(
        "x", (1, 1, 6, 5), "int8", 1 / 255, -128, "NCHW", replace(PIXELS, color="GRAY")
    ),
    "image-into-uint8": TensorSpec("x", (1, 6, 5, 3), "uint8", 1 / 255, 0, "NHWC", PIXELS),
    "sound": TensorSpec(
        "x", (1, 400), "int8", 1 / 128, 0, None, Preprocessing("audio", "int16", range=(-1.0, 1.0))
    ),
    "sound-with-a-channel": TensorSpec(
        "x", (1, 400, 1), "int8", 1 / 128, 0, None, Preprocessing("audio", "int16", range=(-1.0, 1.0))
    ),
    "sensor-int16": TensorSpec(
        "x",
        (1, 8, 3),
        "int8",
        0.05,
        4,
        None,
        Preprocessing("array", "int16", mean=(10.0, -20.0, 0.0), std=(200.0, 300.0, 400.0)),
    ),
    "array-uint8-channels-first": TensorSpec(
        "x",
        (1, 2, 3, 4),
        "int8",
        0.03,
        -8,
        "NCHW",
        Preprocessing("array", "uint8", mean=(99.0, 30.0), std=(40.0,)),
    ),
    "features": TensorSpec("x", (1, 12), "int8", 0.07, 3, None, Preprocessing("array", "float32")),
    "features-standardized": TensorSpec(
        "x",
        (1, 2),
        "int8",
        0.03,
        3,
        None,
        Preprocessing("array", "float32", mean=(5.0, -1e4), std=(0.5, 250.0)),
    ),
    "tokens": TensorSpec("x", (1, 7), "int32", 1.0, 0),
    "long-tokens": TensorSpec("x", (1, 7), "int64", 1.0, 0),
}
SCORES = TensorSpec("scores", (1, 2), "int8", 1 / 256, -128)


def fed(spec: TensorSpec, raw: NDArray[Any]) -> NDArray[Any]:
    """The integers that a session makes of a raw sample, without the batch axis."""
    seen: list[NDArray[Any]] = []

    def answer(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        seen.append(inputs["x"])
        return {"scores": np.zeros((1, 2), np.int8)}

    with Simulation(answers=answer).session([spec], [SCORES]) as session:
        session.run(raw)
    return seen[0][0]


def reachable(spec: TensorSpec, seed: int) -> NDArray[Any]:
    """Stored integers that some raw sample becomes, without the batch axis."""
    random = np.random.default_rng(seed)
    if spec.preprocessing is None:
        return random.integers(0, 999, spec.shape[1:]).astype(spec.dtype)
    if spec.preprocessing.dtype == "float32":
        return random.integers(-128, 128, spec.shape[1:]).astype(spec.dtype)
    limits = np.iinfo(spec.preprocessing.dtype)
    shape = spec.shape[1:]
    if spec.preprocessing.source == "image" and spec.layout == "NCHW":
        shape = (*shape[1:], shape[0])
    raw = random.integers(limits.min, limits.max + 1, shape).astype(spec.preprocessing.dtype)
    return stored_of(raw, spec)[0]


@pytest.mark.parametrize("name", SPECS)
def test_a_session_makes_the_stored_integers_again(name: str) -> None:
    spec = SPECS[name]
    stored = reachable(spec, seed=7)
    assert len(np.unique(stored)) > 1
    raw = raw_of(stored, spec)
    again = fed(spec, raw)
    assert (again.dtype, again.shape) == (stored.dtype, stored.shape)
    assert np.abs(again.astype(np.int64) - stored).max() <= 1
    np.testing.assert_array_equal(stored_of(raw, spec)[0], again)


@pytest.mark.parametrize(
    "name", ["image", "gray", "image-channels-first", "image-into-uint8", "tokens", "features"]
)
def test_where_every_step_has_a_raw_value_it_is_exact(name: str) -> None:
    stored = reachable(SPECS[name], seed=8)
    np.testing.assert_array_equal(fed(SPECS[name], raw_of(stored, SPECS[name])), stored)


@pytest.mark.parametrize("name", SPECS)
def test_the_raw_sample_is_what_an_application_has(name: str) -> None:
    spec = SPECS[name]
    raw = raw_of(reachable(spec, seed=9), spec)
    assert raw.flags.c_contiguous
    preprocessing = spec.preprocessing
    assert raw.dtype == (spec.dtype if preprocessing is None else preprocessing.dtype)
    is_turned = preprocessing is not None and preprocessing.source == "image" and spec.layout == "NCHW"
    shape = spec.shape[1:]
    assert raw.shape == ((*shape[1:], shape[0]) if is_turned else shape)


@settings(max_examples=60, deadline=None)
@given(
    stored=st.lists(st.integers(-128, 127), min_size=6, max_size=6),
    scale=st.floats(1e-4, 10),
    zero_point=st.integers(-128, 127),
    mean=st.floats(-100, 100),
    std=st.floats(0.01, 100),
)
def test_any_float_model_within_a_step(
    stored: list[int], scale: float, zero_point: int, mean: float, std: float
) -> None:
    preprocessing = Preprocessing("array", "float32", mean=(mean,), std=(std,))
    # float32 cannot tell the steps of a scale apart that is tiny beside the mean.
    spec = TensorSpec(
        "x", (1, 6), "int8", max(scale, 1e-5 * abs(mean) / std), zero_point, None, preprocessing
    )
    want = np.array(stored, np.int8)
    assert np.abs(fed(spec, raw_of(want, spec)).astype(int) - want).max() <= 1


def test_integers_beyond_the_raw_span_end_at_its_ends() -> None:
    spec = replace(SPECS["image"], scale=2 / 255)  # 1.0 is stored as -0.5, and the other half never occurs
    raw = raw_of(np.array([-128, 127], np.int8).repeat(45).reshape(6, 5, 3), spec)
    assert set(raw.ravel().tolist()) == {0, 255}


Pack = Callable[..., UnverifiedBundle]


@pytest.fixture
def pack(manifest: Manifest, dense: Any) -> Pack:
    """A bundle with these inputs and arrays; the model is never run."""

    def make(
        *specs: TensorSpec,
        golden: Mapping[str, NDArray[Any]] | None = None,
        reference: Mapping[str, NDArray[Any]] | None = None,
    ) -> UnverifiedBundle:
        record = None if golden is None else GoldenRecord(1, 0, "drawn", {})
        said = replace(manifest, inputs=specs, outputs=(SCORES,), labels=None, golden=record)
        members = {"model.tflite": dense.model, "manifest.json": said.to_bytes()}
        for name, arrays in (("golden.npz", golden), ("reference.npz", reference)):
            if arrays is not None:
                members[name] = write_arrays(arrays)
        return read_unverified(write_bundle(members))

    return make


def integers(count: int, spec: TensorSpec, seed: int = 1) -> NDArray[Any]:
    return np.stack([reachable(spec, seed + row) for row in range(count)])


def test_golden_inputs_are_used(pack: Pack) -> None:
    spec = SPECS["image"]
    golden = integers(3, spec)
    samples = from_bundle(pack(spec, golden={"input.0": golden, "output.0.x": np.zeros((3, 2), np.int8)}))
    assert samples.said == "3 golden inputs of the bundle"
    assert len(samples.raw) == 3
    for raw, stored in zip(samples.raw, golden, strict=True):
        np.testing.assert_array_equal(fed(spec, raw["x"]), stored)


def test_of_many_golden_inputs_some_take_turns(pack: Pack) -> None:
    samples = from_bundle(pack(SPECS["tokens"], golden={"input.0": integers(POOL + 5, SPECS["tokens"])}))
    assert (samples.said, len(samples.raw)) == (f"{POOL} golden inputs of the bundle", POOL)


def test_golden_inputs_of_several_inputs(pack: Pack) -> None:
    first, second = replace(SPECS["tokens"], name="words"), SPECS["features"]
    arrays = {"input.0": integers(2, first), "input.1": integers(2, second)}
    samples = from_bundle(pack(first, second, golden=arrays))
    assert [list(sample) for sample in samples.raw] == [["words", "x"]] * 2
    np.testing.assert_array_equal(samples.raw[1]["words"], arrays["input.0"][1])
    lacking = from_bundle(pack(first, second, golden={"input.0": arrays["input.0"]}))
    assert lacking.said == f"{POOL} samples of random values"


@pytest.mark.parametrize(
    "golden",
    [
        np.zeros((2, 6, 5, 3), np.uint8),
        np.zeros((2, 6, 5, 3), np.float32),
        np.zeros((2, 1, 6, 5, 3), np.int8),
        np.zeros((2, 6, 5, 4), np.int8),
        np.zeros((6, 5, 3), np.int8),
        np.zeros(90, np.int8),
        np.array(3, np.int8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_golden_inputs_that_do_not_fit_are_refused(pack: Pack, golden: NDArray[Any]) -> None:
    with pytest.raises(
        MalformedBundleError, match=r"golden inputs of 'x' are .*, and it takes int8 of \(1, 6, 5, 3\)"
    ):
        from_bundle(pack(SPECS["image-mean-and-std"], golden={"input.0": golden}))


def test_samples_are_drawn_as_the_calibration_data_were_distributed(pack: Pack) -> None:
    counts = np.zeros(256, np.int64)
    counts[[0, 100, 255]] = [1, 2, 1]
    spec = replace(SPECS["image"], shape=(1, 60, 50, 3))
    bundle = pack(spec, reference={"input.0": counts})
    samples = from_bundle(bundle)
    assert samples.said == f"{POOL} samples drawn as the calibration data were distributed"
    assert len(samples.raw) == POOL
    values, seen = np.unique(np.stack([sample["x"] for sample in samples.raw]), return_counts=True)
    assert values.tolist() == [0, 100, 255]  # bin k is stored as k - 128, which the pixel k becomes
    np.testing.assert_allclose(seen / seen.sum(), [0.25, 0.5, 0.25], atol=0.01)
    assert len({sample["x"].tobytes() for sample in samples.raw}) == POOL
    again = from_bundle(bundle)
    for first, second in zip(samples.raw, again.raw, strict=True):
        np.testing.assert_array_equal(first["x"], second["x"])


def test_histograms_of_a_uint8_input(pack: Pack) -> None:
    counts = np.zeros(256, np.int64)
    counts[[7, 9]] = 5
    samples = from_bundle(pack(SPECS["image-into-uint8"], reference={"input.0": counts}))
    assert set(np.unique(np.stack([sample["x"] for sample in samples.raw])).tolist()) == {7, 9}


@pytest.mark.parametrize(
    "histogram",
    [
        np.zeros(256, np.int64),
        np.full(256, -1, np.int64),
        np.ones(255, np.int64),
        np.ones((256, 1), np.int64),
        np.full(256, np.nan),
        np.ones(256, np.float32),
        np.ones(256, np.bool_),
        np.array(5, np.int64),
    ],
    ids=["none", "negative", "short", "column", "nan", "floats", "booleans", "scalar"],
)
def test_histograms_that_are_none_are_refused(pack: Pack, histogram: NDArray[Any]) -> None:
    with pytest.raises(MalformedBundleError, match="reference histogram of 'x' does not hold 256 counts"):
        from_bundle(pack(SPECS["image"], reference={"input.0": histogram}))


def test_of_a_model_of_whose_data_nothing_is_known_values_are_random(pack: Pack) -> None:
    tokens = replace(SPECS["tokens"], name="words")
    samples = from_bundle(pack(SPECS["image"], tokens))
    assert samples.said == f"{POOL} samples of random values"
    pixels = np.stack([sample["x"] for sample in samples.raw])
    assert pixels.shape == (POOL, 6, 5, 3)
    assert len(np.unique(pixels)) > 200
    assert not np.stack([sample["words"] for sample in samples.raw]).any()  # another word may not exist


@pytest.mark.parametrize(
    "name", ["image", "gray-channels-first", "sound-with-a-channel", "features", "tokens"]
)
@pytest.mark.parametrize("size", [1, 3, 20])
def test_batches_hold_the_same_samples(pack: Pack, name: str, size: int) -> None:
    spec = SPECS[name]
    samples = from_bundle(pack(spec, golden={"input.0": integers(4, spec)}))
    seen: list[bytes] = []

    def answer(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        seen.append(inputs["x"].tobytes())
        return {"scores": np.zeros((1, 2), np.int8)}

    with Simulation(answers=answer).session([spec], [SCORES]) as session:
        for sample in samples.raw:
            session.run(as_given(sample))
        alone = list(seen)
        seen.clear()
        for sample in samples.batch(size).raw:
            assert len(session.run(as_given(sample))) == size
    assert seen == [alone[i % 4] for i in range(len(seen))]
    assert len(seen) >= 4


def test_a_batch_that_no_board_has_room_for_is_refused() -> None:
    samples = Samples("one", ({"a": np.zeros(1000, np.uint8), "b": np.zeros(24, np.uint8)},))
    assert samples.batch(2).raw[0]["a"].shape == (2, 1000)
    with pytest.raises(InputError, match=r"a batch of 262145 takes 268,436,480 bytes") as caught:
        samples.batch(MOST_BATCH_BYTES // 1024 + 1)
    assert caught.value.hint == "name a smaller --batch"


def test_samples_of_different_sizes_make_no_batch() -> None:
    samples = Samples("two", ({"x": np.zeros((4, 4, 3))}, {"x": np.zeros((5, 4, 3))}))
    with pytest.raises(InputError, match="different sizes"):
        samples.batch(2)


def test_the_files_of_the_user(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    spec = SPECS["image"]
    pillow.fromarray(np.full((60, 50, 3), (1, 2, 3), np.uint8)).save(tmp_path / "a.png")
    np.save(tmp_path / "many.npy", np.zeros((POOL, 6, 5, 3), np.uint8))
    one = from_files([str(tmp_path / "a.png")], [spec])
    assert one.said == "1 sample from files"
    assert one.raw[0]["x"].tolist() == [[[1, 2, 3]] * 5] * 6  # decoded and resized before the clock starts
    many = from_files([f"x={tmp_path / 'a.png'}", str(tmp_path / "many.npy")], [spec])
    assert len(many.raw) == POOL


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", BadSampleError), (b"\x93NUMPY\x01\0", BadSampleError), (None, BadSampleError)],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, error: type[Exception]) -> None:
    path = tmp_path / "x.npy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=r"x\.npy"):
        from_files([str(path)], [SPECS["features"]])


@pytest.mark.parametrize("name", SPECS)
def test_a_pool_travels_to_a_child(tmp_path: Path, name: str) -> None:
    specs = [SPECS[name], replace(SPECS["tokens"], name="words")]
    raw = tuple(
        {spec.name: raw_of(reachable(spec, seed), spec) for spec in reversed(specs)} for seed in range(12)
    )
    write_pool(tmp_path / "pool.npz", Samples("", raw), specs)
    with np.load(tmp_path / "pool.npz") as archive:
        assert len(archive.files) == 24  # nothing but the samples, whatever numpy takes its keywords for
    rows = _read_pool(tmp_path / "pool.npz")
    assert len(rows) == 12
    for row, sample in zip(rows, raw, strict=True):
        for array, spec in zip(row, specs, strict=True):
            np.testing.assert_array_equal(array, sample[spec.name])
            assert array.dtype == sample[spec.name].dtype


def test_noise_needs_no_bundle(manifest: Manifest) -> None:
    samples = sampling.noise(manifest)
    assert (samples.said, len(samples.raw)) == (f"{POOL} samples of random values", POOL)
    assert as_given(samples.raw[0]).shape == (8, 8, 3)
