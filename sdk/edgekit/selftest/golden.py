"""What a bundle's golden inputs must give, and whether they did: pure functions over arrays."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.arrays import read_arrays
from edgekit.bundle import GOLDEN
from edgekit.errors import MalformedBundleError, SelfTestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit.manifest import Manifest

_RECORDED = re.compile(r"output\.0\.(?P<runtime>.+)\.(?P<kernels>xnnpack|builtin|reference)")
_SHORT_NAMES = {"ai-edge-litert": "litert"}
_BROKEN = "the bundle was not made by edgekit convert, or is damaged: take it from its source again"


@dataclass(frozen=True, slots=True)
class Golden:
    """The golden inputs of a bundle and the answers that are on record.

    Attributes:
        inputs: By input name, [count, *shape without batch].
        answers: (runtime, kernels) such as ("litert-2.3.0", "xnnpack") -> one array an output, [count, *shape].
    """

    inputs: Mapping[str, NDArray[Any]]
    answers: Mapping[tuple[str, str], tuple[NDArray[Any], ...]]

    @property
    def count(self) -> int:
        """How many inputs there are."""
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True, slots=True)
class Expected:
    """What the answers are compared with.

    Attributes:
        outputs: One array an output of the manifest.
        tolerance: Largest difference that is no fault, in steps; 0 where the answers must be the recorded ones.
        exact: Whether they must.
    """

    outputs: tuple[NDArray[Any], ...]
    tolerance: int
    exact: bool


def read_golden(members: Mapping[str, memoryview], manifest: Manifest) -> Golden | None:
    """Reads ``golden.npz``.

    Args:
        members: Of the bundle.
        manifest: Of the bundle.

    Returns:
        None where the bundle has none.

    Raises:
        SelfTestError: It does not fit the manifest.
    """
    if manifest.golden is None:
        return None
    try:
        arrays = read_arrays(members[GOLDEN])
    except MalformedBundleError as error:
        raise SelfTestError(f"{GOLDEN}: {error}", hint=_BROKEN) from None
    count = manifest.golden.count
    inputs = {
        spec.name: _array(arrays, f"input.{number}", (count, *spec.shape[1:]), spec.dtype)
        for number, spec in enumerate(manifest.inputs)
    }
    keys = [match.group("runtime", "kernels") for match in map(_RECORDED.fullmatch, arrays) if match]
    answers = {
        (runtime, kernels): tuple(
            _array(arrays, f"output.{number}.{runtime}.{kernels}", (count, *spec.shape[1:]), spec.dtype)
            for number, spec in enumerate(manifest.outputs)
        )
        for runtime, kernels in keys
    }
    if not answers:
        raise SelfTestError(f"{GOLDEN} has inputs and no answers", hint=_BROKEN)
    return Golden(inputs, answers)


def _array(arrays: Mapping[str, NDArray[Any]], name: str, shape: Sequence[int], dtype: str) -> NDArray[Any]:
    array = arrays.get(name)
    if array is None:
        raise SelfTestError(f"{GOLDEN} lacks the array {name!r}", hint=_BROKEN)
    if array.shape != tuple(shape) or array.dtype != dtype:
        said, wanted = f"{array.dtype} {list(array.shape)}", f"{dtype} {list(shape)}"
        raise SelfTestError(f"{GOLDEN}: {name} is {said}, and the manifest asks for {wanted}", hint=_BROKEN)
    return array


def expected(
    golden: Golden,
    manifest: Manifest,
    *,
    runtime: str,
    kernels: str,
    device: str,
    machine: str | None = None,
) -> Expected:
    """Chooses what to compare with, and how strictly.

    Exactly, where runtime, version, kernels and machine are those on record: the same kernels may differ by a step
    between x86-64 and Arm. Else within the manifest's tolerance for these kernels. An Edge TPU computes in its own
    way, and always has the widest tolerance.

    Args:
        golden: Of the bundle.
        manifest: Of the bundle.
        runtime: Package and version of what ran, as in "ai-edge-litert 2.3.0".
        kernels: Which kernels.
        device: What it ran on.
        machine: Kind of processor, such as "aarch64"; None is this one's.
    """
    assert manifest.golden is not None
    tolerances = manifest.golden.tolerance_steps
    package, _, version = runtime.partition(" ")
    own = f"{_SHORT_NAMES.get(package, package)}-{version}"
    widest = max(tolerances.values(), default=0)
    if device != "cpu":
        key = next((key for key in golden.answers if key[1] == "builtin"), next(iter(golden.answers)))
        return Expected(golden.answers[key], tolerances.get("edgetpu", widest), exact=False)
    same_machine = manifest.tools.get("machine") == (platform.machine() if machine is None else machine)
    if (own, kernels) in golden.answers and same_machine:
        return Expected(golden.answers[own, kernels], 0, exact=True)
    if (own, kernels) in golden.answers:
        return Expected(golden.answers[own, kernels], tolerances.get(kernels, widest), exact=False)
    for key, outputs in golden.answers.items():
        if key[1] == kernels:
            return Expected(outputs, tolerances.get(kernels, widest), exact=False)
    return Expected(next(iter(golden.answers.values())), widest, exact=False)


def compare(wanted: Expected, given: Sequence[NDArray[Any]], names: Sequence[str], runtime: str) -> int:
    """Compares answers with those on record.

    Args:
        wanted: From `expected`.
        given: One array an output, shaped as the recorded ones.
        names: Of the outputs.
        runtime: What gave them, for messages.

    Returns:
        The largest difference, in steps of the stored integers.

    Raises:
        SelfTestError: It is more than is allowed; the message names the input and how far it is off.
    """
    import numpy as np

    largest = 0
    for name, ours, theirs in zip(names, given, wanted.outputs, strict=True):
        # As float64: the difference of two int64 can leave their range, and the sign of none is needed.
        apart = (
            np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).reshape(len(theirs), -1).max(axis=1)
        )
        apart = np.where((ours != theirs).reshape(len(theirs), -1).any(axis=1), np.maximum(apart, 1), apart)
        worst = int(apart.argmax())
        largest = max(largest, int(apart[worst]))
        if apart[worst] > wanted.tolerance:
            rule = (
                "it must be exactly the recorded one" if wanted.exact else f"{wanted.tolerance} are allowed"
            )
            wrong = int((apart > wanted.tolerance).sum())
            raise SelfTestError(
                f"golden input {worst}: output '{name}' is {int(apart[worst])} steps off what is on record, and {rule} "
                f"({wrong} of {len(apart)} inputs are wrong, {runtime})",
                hint="the model computes something else here than where it was made: do not use it; edgekit doctor "
                "looks at the runtime",
            )
    return largest
