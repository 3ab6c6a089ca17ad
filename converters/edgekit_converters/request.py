"""Everything that a person can say to `convert`, in one record; the command line's words are its field names."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

from edgekit.errors import DataError, EdgekitError, InvalidManifestError
from edgekit.manifest import LAYOUTS, Identity
from edgekit_converters.calibration import DataSpec, InputSpec, SaidPreprocessing
from edgekit_converters.calibration.resolving import check_words
from edgekit_converters.quantize.pipeline import Settings
from edgekit_converters.quantize.recipe import EFFORTS
from edgekit_converters.quantize.recipe_file import read_recipe
from edgekit_converters.sources import SourceOptions
from edgekit_targets.target import Kind, Target
from edgekit_targets.tflite.wide import LEAST_LITERT

Value = TypeVar("Value")
Numbers: TypeAlias = float | tuple[float, ...]

MOST_GOLDEN = 1000
"""Each costs a run with every kernel set, here and again at every start on a device."""
MOST_THREADS = 1024
"""Each is an interpreter with the model's activations in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One conversion.

    The words about preprocessing take either one value for all inputs or a mapping by input name.

    Attributes:
        model: Path of the trained model, or a `keras.Model`, a `tf.function`, a concrete function, a `torch.nn.Module`
            or a function of JAX; None where `torch` names it.
        target: Name of the device, as `edgekit targets` lists them.
        device_dirs: Folders with device files of the user's own.
        calibration: Where the calibration samples are: ``PATH[#ARRAY[,LABELS]]``, ``file.py:function``, or from Python the
            function itself.
        output: The bundle to write; None writes nothing and only reports.
        evaluation: Where labelled samples are, in the same words; None measures no accuracy.
        metric: Name of a metric or ``file.py:function``; None lets the labels decide.
        max_drop: The most that int8 may lose, in percentage points of the metric; None sets no contract.
        samples: How many calibration samples are used at most.
        seed: Of the choice among them.
        effort: "fast", "balanced" or "best".
        recipe: What an earlier search found, to be done again without one: a bundle, a .json file, or an object from Python.
        budget: After so many seconds the search opens no other candidate; None for no limit.
        per_tensor_weights: One scale a tensor for weights, for delegates that know no other.
        keep_outliers: Whether samples that lie far outside the others are used all the same.
        allow_int16: Whether a few operators may work on 16-bit activations where int8 loses much; on processors alone.
        range: What 0..255 (images) or -32768..32768 (sound) becomes.
        mean: Subtracted after `range`, one number or one a channel.
        std: Divided by after `mean`, one number or one a channel.
        resize: How images of another size are stretched: "nearest", "bilinear", "bicubic" or "lanczos".
        color: The channel order that the model wants: "RGB", "BGR" or "GRAY".
        preprocessed: Whether the data are model input already.
        layout: "NHWC" or "NCHW" of image inputs; None where the shape tells.
        name: Of the model; None takes the stem of `output`, else of `model`.
        model_version: Of the model, as SemVer has it.
        security_epoch: Raised when older bundles of this name must no longer run.
        labels: A text file with a class name a line, "from-folder" for the class folders of the data, or None.
        compile: Whether the accelerator's compiler, which must be installed, makes a second model for the bundle.
        golden: How many golden inputs the bundle carries.
        golden_data: Where real samples are that may leave the workstation as golden inputs; None draws them.
        outputs: Where to cut the graph; empty for the model's own outputs.
        input_shapes: Whole shapes for inputs with open dimensions, by name.
        saved_model_signature: Which one, where a SavedModel has several.
        custom_objects: A Python file or module with the classes and functions that Keras needs.
        trust_model_code: Whether code in the model file may run.
        torch: ``file.py:factory``, a function that returns a `torch.nn.Module`.
        weights: A file with that module's state dict.
        example_inputs: One tensor or array an input, batch 1: what a module or a function of JAX is traced with.
        params: The first argument of a function of JAX.
        threads: Interpreters side by side; None takes one a core. It changes no result.
    """

    model: object = None
    target: str
    calibration: DataSpec | None
    output: Path | None = None
    device_dirs: tuple[Path, ...] = ()
    evaluation: DataSpec | None = None
    metric: str | None = None
    max_drop: float | None = None
    samples: int = 200
    seed: int = 0
    effort: str = "balanced"
    recipe: str | Path | Mapping[str, object] | None = None
    budget: float | None = None
    per_tensor_weights: bool = False
    keep_outliers: bool = False
    allow_int16: bool = False
    range: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None
    mean: Numbers | Mapping[str, Numbers] | None = None
    std: Numbers | Mapping[str, Numbers] | None = None
    resize: str | Mapping[str, str] | None = None
    color: str | Mapping[str, str] | None = None
    preprocessed: bool | Collection[str] = False
    layout: str | Mapping[str, str] | None = None
    name: str | None = None
    model_version: str = "0.1.0"
    security_epoch: int = 0
    labels: str | None = None
    compile: bool = False
    golden: int = 4
    golden_data: str | None = None
    outputs: tuple[str, ...] = ()
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    saved_model_signature: str | None = None
    custom_objects: str | None = None
    trust_model_code: bool = False
    torch: str | None = None
    weights: str | os.PathLike[str] | None = None
    example_inputs: object = None
    params: object = None
    threads: int | None = None

    def check(self) -> None:
        """Refuses what no model and no data can make sense of, before any work is done.

        Raises:
            EdgekitError: A word is out of its range, or words contradict each other; the message names the word.
        """
        self._check_choices()
        self._check_model()
        self._check_numbers()
        self._check_contract()
        self._check_recipe()
        for name in (None, *sorted(self.names_inputs())):
            check_words(self._said(name))
        try:
            Identity(self.bundle_name, self.model_version, self.security_epoch)
        except InvalidManifestError as error:
            raise EdgekitError(
                f"the bundle's {error}", hint="say it with --name, --model-version or --security-epoch"
            ) from error

    def _check_choices(self) -> None:
        if isinstance(self.outputs, str) or not all(self.outputs):
            raise EdgekitError(
                f"--outputs {self.outputs!r}: holds an empty name, or is no list of names",
                hint="name the tensors or layers to cut at, as in --outputs boxes,scores",
            )
        if self.allow_int16 and self.effort == "fast":
            raise EdgekitError(
                "--allow-int16 chooses layers by measurement, and --effort fast measures nothing",
                hint="say --effort balanced, or leave --allow-int16 out",
            )
        layouts = self.layout.values() if isinstance(self.layout, Mapping) else (self.layout,)
        said = (("effort", self.effort, EFFORTS), *(("layout", each, (None, *LAYOUTS)) for each in layouts))
        for word, value, known in said:
            if value not in known:
                names = " or ".join(filter(None, known))
                raise EdgekitError(f"--{word} {value}: there is no such {word}", hint=f"say {names}")

    def check_device(self, target: Target) -> None:
        """Refuses what the device cannot do.

        Raises:
            EdgekitError: --allow-int16, or a recipe with 16-bit operators, for a device whose kernels or runtime have no
                16-bit activations.
        """
        widened = self.recipe is not None and read_recipe(self.recipe).int16_operators
        if not self.allow_int16 and not widened:
            return
        word = "--allow-int16" if self.allow_int16 else "a --recipe with int16_operators"
        remedy = f"leave {word.removeprefix('a ')} out: every layer is int8 then"
        if target.kind is not Kind.CPU:
            raise EdgekitError(
                f"{word} is for models that run on a processor under Linux: 16-bit activations are not for "
                f"accelerators and microcontrollers, as with {target.title}",
                hint=remedy,
            )
        if all(runtime.package != "ai-edge-litert" for runtime in target.runtimes):
            raise EdgekitError(
                f"{word} needs ai-edge-litert {LEAST_LITERT} or later, which {target.title} has no wheel of",
                hint=remedy,
            )

    def _check_model(self) -> None:
        if (self.model is None) == (self.torch is None):
            raise EdgekitError(
                "there is no model" if self.torch is None else "a model and --torch are two models",
                hint="give the path of a model, or --torch file.py:factory",
            )
        if self.torch is not None and ":" not in self.torch:
            raise EdgekitError(
                f"--torch {self.torch}: which function of it makes the model?",
                hint=f"say {self.torch}:FUNCTION",
            )
        if self.weights is not None and self.torch is None:
            raise EdgekitError(
                "--weights belong to a module that --torch makes", hint="add --torch file.py:factory"
            )

    def _check_numbers(self) -> None:
        if self.samples < 2:
            raise DataError(
                f"--samples {self.samples}: one sample sets no range",
                hint="take at least 20, better 100 or more",
            )
        for word, value, least, most in (
            ("seed", self.seed, 0, 2**63 - 1),
            ("golden", self.golden, 1, MOST_GOLDEN),
            ("threads", self.threads, 1, MOST_THREADS),
        ):
            if value is not None and not least <= value <= most:
                raise EdgekitError(
                    f"--{word} {value}: must lie within {least}..{most}",
                    hint=f"leave --{word} out if in doubt",
                )

    def _check_recipe(self) -> None:
        if self.budget is not None and not 0 < self.budget < math.inf:
            raise EdgekitError(
                f"--budget {self.budget:g}: must be a number of seconds above 0",
                hint="leave it out for no limit",
            )
        if self.recipe is None:
            return
        if self.per_tensor_weights or self.budget is not None:
            word = "--per-tensor-weights" if self.per_tensor_weights else "--budget"
            raise EdgekitError(
                f"--recipe is done as it is, and {word} says something else",
                hint='a recipe says "per_channel": false for one scale a tensor, and searches nothing',
            )
        read_recipe(self.recipe)

    def _check_contract(self) -> None:
        if self.max_drop is not None and self.evaluation is None:
            raise EdgekitError(
                "--max-drop is a contract on measured accuracy, and there are no evaluation data",
                hint="add --evaluation DATA with labelled samples that were not used for training",
            )
        if self.max_drop is not None and not 0 <= self.max_drop <= 100:
            raise EdgekitError(
                f"--max-drop {self.max_drop:g}: must lie within 0..100", hint="1 allows a loss of one point"
            )
        if self.max_drop is not None and self.metric == "sqnr":
            raise EdgekitError(
                "--metric sqnr measures int8 against float, and knows no drop for --max-drop to hold",
                hint="choose a metric on labels, such as top1, or drop --max-drop",
            )
        if self.metric is not None and self.evaluation is None:
            raise EdgekitError("--metric needs data to measure on", hint="add --evaluation DATA")

    @property
    def bundle_name(self) -> str:
        """What the bundle calls the model: its given name, the stem of the output, that of the model, or "model"."""
        if self.name is not None:
            return self.name
        path = self.output or (
            Path(self.model) if isinstance(self.model, str | Path) else Path(self.weights or "")
        )
        return path.stem or "model"

    @property
    def cores(self) -> int:
        """How many interpreters run side by side."""
        return self.threads or len(os.sched_getaffinity(0))

    def settings(self) -> Settings:
        """What is asked of quantization."""
        return Settings(
            effort=self.effort,
            recipe=None if self.recipe is None else read_recipe(self.recipe),
            per_channel=not self.per_tensor_weights,
            keep_outliers=self.keep_outliers,
            allow_int16=self.allow_int16,
            budget_s=self.budget,
            threads=self.cores,
        )

    def source_options(self) -> SourceOptions:
        """What is said about the model."""
        return SourceOptions(
            outputs=self.outputs,
            input_shapes=self.input_shapes,
            signature=self.saved_model_signature,
            custom_objects=self.custom_objects,
            trust_model_code=self.trust_model_code,
            torch=self.torch,
            weights=self.weights,
            example_inputs=self.example_inputs,
            params=self.params,
        )

    def said(self, spec: InputSpec) -> SaidPreprocessing:
        """What is said about the preprocessing of one input."""
        return self._said(spec.name)

    def _said(self, name: str | None) -> SaidPreprocessing:
        """What is said of the input of that name; of every input, for None."""
        preprocessed = self.preprocessed
        return SaidPreprocessing(
            range=_for(self.range, name),
            mean=_numbers_for(self.mean, name),
            std=_numbers_for(self.std, name),
            resize=_for(self.resize, name),
            color=_for(self.color, name),
            preprocessed=preprocessed if isinstance(preprocessed, bool) else name in preprocessed,
        )

    def layout_of(self, spec: InputSpec) -> str | None:
        """The layout that is said for one input, else the one that its source or its shape tells.

        Of an input that was turned to NHWC, what is said is the trained model's layout.

        Raises:
            DataError: That is said to be NHWC, and is not.
        """
        said = _for(self.layout, spec.name)
        if spec.data_layout is None:
            return said or spec.layout
        if said not in (None, spec.data_layout):
            raise DataError(
                f"--layout {said}: input '{spec.name}' of the trained model is {spec.data_layout}",
                hint="leave --layout out; photos in folders fit either way",
            )
        return spec.layout

    def names_inputs(self) -> set[str]:
        """Every input name that the words about preprocessing mention."""
        words = (self.range, self.mean, self.std, self.resize, self.color, self.layout)
        named = {name for word in words if isinstance(word, Mapping) for name in word}
        return named if isinstance(self.preprocessed, bool) else named | set(self.preprocessed)


def _for(word: Value | Mapping[str, Value] | None, name: str | None) -> Value | None:
    if isinstance(word, Mapping):
        return None if name is None else word.get(name)
    return word


def _numbers_for(word: Numbers | Mapping[str, Numbers] | None, name: str | None) -> tuple[float, ...] | None:
    numbers = (word.get(name) if name is not None else None) if isinstance(word, Mapping) else word
    return (numbers,) if isinstance(numbers, int | float) else numbers
