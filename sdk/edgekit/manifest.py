"""What a bundle says of itself: `Manifest` and its parts, read and written as canonical JSON.

The classes below are the schema of ``manifest.json``, format 1: every field is a key, every key is required
(``null`` for None), and no other key may stand there.
"""

# No "from __future__ import annotations": Record reads the annotations, and as text each would be compiled at loading.
import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY
from typing import Self

from edgekit import strictjson
from edgekit.errors import (
    EdgekitError,
    InputError,
    InvalidManifestError,
    MalformedBundleError,
    NewerFormatError,
    PreprocessingError,
)
from edgekit.record import Record, require
from edgekit.strictjson import shown
from edgekit_targets.frozen import lean

FORMAT = 1
"""The bundle format that this edgekit writes and reads."""
MIN_EDGEKIT = "0.1.0"
"""The first edgekit that reads FORMAT."""

ZERO_POINTS: Mapping[str, tuple[int, int]] = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int32": (0, 0),  # token and index tensors, named exceptions of the audit: their integers mean themselves
    "int64": (0, 0),
}
"""The tensor types that a model may show to the outside, each with the zero points that it can have."""

COLOR_CHANNELS: Mapping[str, int] = {"RGB": 3, "BGR": 3, "GRAY": 1}
RESIZERS = ("nearest", "bilinear", "bicubic", "lanczos")
LAYOUTS = ("NHWC", "NCHW")
RAW_DTYPES: Mapping[str, tuple[str, ...]] = {
    "image": ("uint8",),
    "audio": ("int16",),
    "array": ("uint8", "int16", "float32"),
}
"""What each kind of source can feed."""

_SLUG = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")  # linux-x86_64 is one
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RELEASE = re.compile(r"(?:0|[1-9]\d{0,8})(?:\.(?:0|[1-9]\d{0,8}))*", re.ASCII)
# https://semver.org/spec/v2.0.0.html, without its rule on leading zeros in a pre-release.
_SEMVER = re.compile(
    r"(?:(?:0|[1-9]\d{0,8})\.){2}(?:0|[1-9]\d{0,8})(?:-[0-9A-Za-z.-]{1,64})?(?:\+[0-9A-Za-z.-]{1,64})?",
    re.ASCII,
)


@lean
class Preprocessing(Record):
    """How a raw sample becomes the model's float input; workstation and device do the very same.

    ``Preprocessing("array", "float32")`` says that the data are already model input.

    Attributes:
        source: "image", "audio" or "array".
        dtype: What the application feeds: "uint8", "int16" or "float32".
        range: What the span of an integer dtype becomes: 0..255 or -32768..32768 -> (LO, HI). None: it
            stays as it is.
        mean: Subtracted after `range`: one number, or one a channel.
        std: Divided by after `mean`: one number, or one a channel; in the units of the model's input.
        resize: How an image of another size is stretched to the model's, of RESIZERS. None: it is refused.
        color: Channel order that the model wants, one of COLOR_CHANNELS; images only.

    Raises:
        PreprocessingError: The parts contradict each other, or an integer dtype is left without a scaling.
    """

    source: str
    dtype: str
    range: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: str | None = None
    color: str | None = None

    def _check(self) -> None:
        _one_of("source", self.source, tuple(RAW_DTYPES), PreprocessingError)
        _one_of("dtype", self.dtype, RAW_DTYPES[self.source], PreprocessingError)
        if self.range is not None:
            low, high = self.range
            _preprocessing(low < high, "range", f"must be LO < HI, and is {low:g}, {high:g}")
            _preprocessing(self.dtype != "float32", "range", "needs integer data: floats have no span to map")
        elif self.dtype != "float32":
            said = self.mean is not None or self.std is not None
            _preprocessing(said, "range", f"is missing: nothing says how {self.dtype} becomes model input")
        for name, values in (("mean", self.mean), ("std", self.std)):
            _preprocessing(values is None or len(values) > 0, name, "must not be empty")
        _preprocessing(min(self.std or (1.0,)) > 0, "std", "must be above 0")
        if self.source == "image":
            _one_of("color", self.color, tuple(COLOR_CHANNELS), PreprocessingError)
        else:
            _preprocessing(self.color is None, "color", "belongs to images only")
            _preprocessing(self.resize is None, "resize", "belongs to images only")
        if self.resize is not None:
            _one_of("resize", self.resize, RESIZERS, PreprocessingError)


@lean
class TensorSpec(Record):
    """One input or output of the model: real value = (stored - zero_point) * scale.

    Attributes:
        name: The name that applications use.
        shape: Static; the batch, 1, stands first.
        dtype: A key of ZERO_POINTS; "int8" unless the audit lists a named exception.
        scale: Real units a step; 1.0 for int32 and int64.
        zero_point: The stored integer that means 0.
        layout: "NHWC" or "NCHW" for images, else None.
        preprocessing: For inputs: how a raw sample becomes the real values that are then quantized.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    layout: str | None = None
    preprocessing: Preprocessing | None = None

    def _check(self) -> None:
        require(self.name != "", "name", "must not be empty")
        _one_of("dtype", self.dtype, tuple(ZERO_POINTS))
        require(self.shape[:1] == (1,), "shape", f"must start with the batch, 1, and is {self.shape}")
        require(all(0 < size < 2**31 for size in self.shape), "shape", f"must be static, and is {self.shape}")
        require(self.scale > 0, "scale", f"must be above 0, and is {self.scale:g}")
        low, high = ZERO_POINTS[self.dtype]
        span = f"must lie within {low}..{high} for {self.dtype}, and is {self.zero_point}"
        require(low <= self.zero_point <= high, "zero_point", span)
        if low == high:
            require(self.scale == 1, "scale", f"must be 1.0 for {self.dtype}, and is {self.scale:g}")
        if self.layout is not None:
            _one_of("layout", self.layout, LAYOUTS)
            require(len(self.shape) == 4, "layout", f"needs four dimensions, and the shape is {self.shape}")
        if self.preprocessing is not None:
            self._check_channels(self.preprocessing)

    def _check_channels(self, preprocessing: Preprocessing) -> None:
        channels = self.shape[1 if self.layout == "NCHW" else -1]
        for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
            fits = values is None or len(values) in (1, channels)
            require(fits, f"preprocessing.{name}", f"must have 1 or {channels} numbers, as many as channels")
        if preprocessing.color is not None:
            require(self.layout is not None, "layout", "must be said where images come in")
            fits = COLOR_CHANNELS[preprocessing.color] == channels
            require(
                fits,
                "preprocessing.color",
                f"is {preprocessing.color}, and the model has {channels} channels",
            )


@lean
class CalibrationRecord(Record):
    """What calibrated the model.

    Attributes:
        source: One line for people, such as "folder of 500 images in 10 classes".
        sha256: Fingerprint of the samples that were used, in hexadecimal.
        samples: How many were used.
        available: How many there were.
        seed: Of the choice among them.
        ranges: How quantization ranges came out of them, such as "minmax"; "model" where it brought its own.
        left_out: Samples that were chosen and then set aside, one line each.
    """

    source: str
    sha256: str
    samples: int
    available: int
    seed: int
    ranges: str
    left_out: tuple[str, ...] = ()

    def _check(self) -> None:
        require(self.source != "", "source", "must not be empty")
        require(bool(_SHA256.fullmatch(self.sha256)), "sha256", "must be 64 digits of lowercase hexadecimal")
        between = 1 <= self.samples <= self.available
        require(between, "samples", f"must lie within 1..{self.available}, and is {self.samples}")
        require(self.seed >= 0, "seed", "must not be negative")
        require(
            bool(_SLUG.fullmatch(self.ranges)),
            "ranges",
            f"must be a lowercase word, and is {shown(self.ranges)}",
        )


@lean
class AccuracyRecord(Record):
    """int8 beside float on the same evaluation samples.

    Attributes:
        metric: Such as "top-1".
        unit: Of the values, such as "%".
        n: Evaluation samples.
        float_value: What the float model reached.
        int8_value: What the int8 model reached.
        difference: int8_value - float_value.
        low: Lower end of the 95 % interval of the difference.
        high: Upper end of it.
        agreement: Percent of samples on which both answer alike; None where the metric has no such notion.
        agreement_n: Samples that `agreement` was counted on.
    """

    metric: str
    unit: str
    n: int
    float_value: float
    int8_value: float
    difference: float
    low: float
    high: float
    agreement: float | None = None
    agreement_n: int | None = None

    def _check(self) -> None:
        require(self.metric != "", "metric", "must not be empty")
        require(self.n >= 1, "n", f"must be at least 1, and is {self.n}")
        require(self.low <= self.high, "low", f"must not exceed high, {self.high:g}, and is {self.low:g}")
        paired = (self.agreement is None) == (self.agreement_n is None)
        require(paired, "agreement_n", "must be given with agreement, and only then")
        require(0 <= (self.agreement or 0) <= 100, "agreement", "must lie within 0..100 percent")
        require(self.agreement_n is None or self.agreement_n >= 1, "agreement_n", "must be at least 1")


@lean
class GoldenRecord(Record):
    """How to compare with ``golden.npz``.

    Attributes:
        count: Golden inputs.
        seed: That they were drawn by.
        source: "drawn" from the reference histograms, or "data" where the user gave real samples.
        tolerance_steps: Kernel set -> largest difference, in int8 steps, that is no fault where the runtime's
            version is not the recorded one.
    """

    count: int
    seed: int
    source: str
    tolerance_steps: Mapping[str, int]

    def _check(self) -> None:
        require(self.count >= 1, "count", f"must be at least 1, and is {self.count}")
        require(self.seed >= 0, "seed", "must not be negative")
        _one_of("source", self.source, ("drawn", "data"))
        for kernels, steps in self.tolerance_steps.items():
            require(
                0 <= steps <= 255,
                f"tolerance_steps[{shown(kernels)}]",
                f"must lie within 0..255, and is {steps}",
            )


@lean
class Identity(Record):
    """What names one release of a model; a manifest holds these fields as its own.

    Attributes:
        name: Of the model, for people.
        version: Of the model, as SemVer has it.
        security_epoch: Raised when older bundles of this name must no longer run.
    """

    name: str
    version: str
    security_epoch: int

    def _check(self) -> None:
        trimmed = 0 < len(self.name.strip()) == len(self.name) <= 200
        require(trimmed, "name", "must have 1 to 200 characters and no space at its ends")
        semver = f"must be a version such as 1.4.0 (https://semver.org), and is {shown(self.version)}"
        require(bool(_SEMVER.fullmatch(self.version)), "version", semver)
        require(self.security_epoch >= 0, "security_epoch", "must not be negative")


@lean
class Manifest(Record):
    """Everything that a bundle says of itself.

    Attributes:
        format: Of the bundle file.
        min_edgekit: The first edgekit that reads this format; what an older one tells its user to install.
        name: Of the model, for people.
        version: Of the model, as SemVer has it.
        security_epoch: Raised when older bundles of this name must no longer run.
        targets: Names of the devices that it was made for.
        inputs: In the order of the model.
        outputs: In the order of the model.
        labels: Name of each class, or None.
        calibration: What calibrated it.
        recipe: How it was quantized: effort, engine, corrections; free-form JSON.
        tools: Name -> version of everything that can change the result; also "machine" and "cpu_features".
        accuracy: int8 beside float, or None where no evaluation data were given.
        exceptions: What the audit let pass because the user named it, one line each.
        runtime: Variant file -> runtime -> its least version.
        golden: How to compare with golden.npz, or None where the bundle has none.
    """

    _: KW_ONLY
    format: int = FORMAT
    min_edgekit: str = MIN_EDGEKIT
    name: str
    version: str
    security_epoch: int
    targets: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] | None
    calibration: CalibrationRecord
    recipe: Mapping[str, object]
    tools: Mapping[str, str]
    accuracy: AccuracyRecord | None
    exceptions: tuple[str, ...]
    runtime: Mapping[str, Mapping[str, str]]
    golden: GoldenRecord | None

    def _check(self) -> None:
        require(self.format == FORMAT, "format", f"must be {FORMAT}, and is {self.format}")
        require(is_release(self.min_edgekit), "min_edgekit", "must be a version such as 0.1.0")
        Identity(self.name, self.version, self.security_epoch)
        for index, target in enumerate(self.targets):
            slug = f"must be a device name such as raspberry-pi-4, and is {shown(target)}"
            require(bool(_SLUG.fullmatch(target)), f"targets[{index}]", slug)
        _filled_and_unique("targets", self.targets)
        _filled_and_unique("inputs", [spec.name for spec in self.inputs])
        _filled_and_unique("outputs", [spec.name for spec in self.outputs])
        require(self.labels != (), "labels", "must not be an empty list; null says that there are none")
        self._check_preprocessing()
        require("model.tflite" in self.runtime, "runtime", "must say what model.tflite needs")
        for variant, least in self.runtime.items():
            for runtime, version in least.items():
                path = f"runtime[{shown(variant)}][{shown(runtime)}]"
                require(
                    is_release(version), path, f"must be a version such as 2.3.0, and is {shown(version)}"
                )

    def _check_preprocessing(self) -> None:
        for index, spec in enumerate(self.inputs):
            said = (spec.preprocessing is not None) == (spec.dtype in ("int8", "uint8"))
            rule = "must be said for int8 and uint8 inputs, and only for these"
            require(said, f"inputs[{index}].preprocessing", rule)
        for index, spec in enumerate(self.outputs):
            require(spec.preprocessing is None, f"outputs[{index}].preprocessing", "belongs to inputs only")

    def input(self, name: str) -> TensorSpec:
        """The input of that name.

        Raises:
            InputError: There is none.
        """
        for spec in self.inputs:
            if spec.name == name:
                return spec
        names = ", ".join(spec.name for spec in self.inputs)
        raise InputError(f"the model has no input {shown(name)}", hint=f"its inputs are: {names}")

    def to_bytes(self) -> bytes:
        """``manifest.json``: sorted keys, two spaces of indent, UTF-8, a newline at the end."""
        return strictjson.dump(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """Reads ``manifest.json``, which must be spelt exactly as `to_bytes` spells it.

        Raises:
            NewerFormatError: A later edgekit wrote it; the hint names the one that reads it.
            MalformedBundleError: Anything else that is wrong; the message names its path.
        """
        value = strictjson.parse(data, "manifest.json")
        refuse_newer_format(value)
        try:
            manifest = cls.from_json(value)
        except InvalidManifestError as error:
            raise MalformedBundleError(f"manifest.json: {error}") from None
        if manifest.to_bytes() != bytes(data):
            raise MalformedBundleError(
                "manifest.json is not canonical: sorted keys, two spaces of indent, a newline at the end",
                hint="a bundle is not edited by hand: run edgekit convert again",
            )
        return manifest


def refuse_newer_format(value: object) -> None:
    """Refuses a manifest of a later format, whatever else that format may have changed.

    Raises:
        NewerFormatError: Its ``format`` is above FORMAT.
    """
    number = value.get("format") if isinstance(value, dict) else None
    if not isinstance(number, int) or number <= FORMAT:
        return
    assert isinstance(value, dict)
    least = value.get("min_edgekit")
    reader = (
        f"edgekit {least} or later" if isinstance(least, str) and is_release(least) else "a later edgekit"
    )
    raise NewerFormatError(
        f"the bundle has format {number}, and this edgekit reads format {FORMAT}; {reader} reads it",
        hint=f"install {reader}: pip install --upgrade edgekit",
    )


def is_release(version: str) -> bool:
    """Whether a version is numbers and dots, such as 2.3.0, so that two can be compared."""
    return len(version) <= 64 and _RELEASE.fullmatch(version) is not None


def _one_of(
    path: str, value: str | None, allowed: Sequence[str], error: type[EdgekitError] = InvalidManifestError
) -> None:
    require(value in allowed, path, f"must be one of {', '.join(allowed)}, and is {shown(value)}", error)


def _preprocessing(condition: bool, path: str, rule: str) -> None:
    require(condition, path, rule, PreprocessingError)


def _filled_and_unique(path: str, names: Sequence[str]) -> None:
    require(len(names) > 0, path, "must not be empty")
    require(len(set(names)) == len(names), path, f"must not repeat a name, and has {', '.join(names)}")
