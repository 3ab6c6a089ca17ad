"""What one inference gives: `Result`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgekit.errors import InputError
from edgekit_targets.frozen import Frozen, lean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    Labels = tuple[tuple[str, float], ...]


class Timing(NamedTuple):
    """How long the parts of one inference took, by the monotonic clock, in nanoseconds.

    Attributes:
        preprocess_ns: From the raw sample to the model's integers.
        invoke_ns: Inside the runtime's invoke alone.
        postprocess_ns: From the model's integers to real values and labels.
    """

    preprocess_ns: int
    invoke_ns: int
    postprocess_ns: int


@lean
class Result(Frozen):
    """The answer of a model to one sample, or to a batch of them. The arrays are the caller's own.

    ``len(result)`` is the number of samples, and ``result[i]`` the Result of one of them.

    Attributes:
        outputs: Output name -> real values, float32, of the output's shape, where the 1 of the batch axis is the
            number of samples. An output that is not quantized (int32 indices, say) keeps its integers. In the
            order of the manifest.
        quantized: Output name -> what the model itself gave, int8 or uint8 where it is quantized.
        ranking: The labels of every sample, as `labels` has those of a single one.
        timings: How long every sample took.
        device: What ran it: "cpu", "usb:0", "pci:0" (with any number) or "simulated".
        fallback: Why the CPU ran it although an Edge TPU was asked for; None where nothing fell back.
    """

    outputs: Mapping[str, NDArray[Any]]
    quantized: Mapping[str, NDArray[Any]]
    ranking: tuple[Labels, ...]
    timings: tuple[Timing, ...]
    device: str = "cpu"
    fallback: str | None = None

    __eq__ = object.__eq__  # arrays have no single answer to whether they are equal
    __hash__ = object.__hash__

    @property
    def labels(self) -> Labels:
        """The best classes with their scores, best first; of equal scores the lower class index comes first.

        Empty where the bundle has no labels, or not exactly one output with one value a label.

        Raises:
            InputError: There are several samples.
        """
        if len(self.ranking) != 1:
            raise InputError(
                f"the result holds the answers to {len(self.ranking)} samples, each with labels of its own",
                hint="take one of them: result[i].labels",
            )
        return self.ranking[0]

    @property
    def timing(self) -> Timing:
        """How long it took, all samples together."""
        if len(self.timings) == 1:
            return self.timings[0]
        return Timing(
            sum(each.preprocess_ns for each in self.timings),
            sum(each.invoke_ns for each in self.timings),
            sum(each.postprocess_ns for each in self.timings),
        )

    def __len__(self) -> int:
        return len(self.timings)

    def __getitem__(self, sample: int) -> Result:
        """The answer to one sample; its arrays are views of the batch's.

        Raises:
            IndexError: There are not so many samples.
        """
        if not -len(self) <= sample < len(self):
            raise IndexError(f"there is no sample {sample} among {len(self)}")
        row = sample % len(self)
        return Result(
            {name: values[row : row + 1] for name, values in self.outputs.items()},
            {name: values[row : row + 1] for name, values in self.quantized.items()},
            (self.ranking[row],),
            (self.timings[row],),
            self.device,
            self.fallback,
        )

    def __iter__(self) -> Iterator[Result]:
        return (self[sample] for sample in range(len(self)))


def best_labels(
    stored: NDArray[np.integer[Any]], real: NDArray[Any], labels: tuple[str, ...], top: int
) -> Labels:
    """Pair the highest scores with their labels.

    Args:
        stored: The model's integers, one a label, of any shape. They are in the order of the real values, and radix
            sort takes 2 us for 1,000 of them where floats take 10.
        real: The real values, of the same shape.
        labels: The name of each class.
        top: At most how many are wanted.
    """
    order = (~stored.reshape(-1)).argsort(kind="stable")[:top].tolist()  # ~x is -1 - x: the highest first
    flat = real.reshape(-1)
    return tuple((labels[index], float(flat[index])) for index in order)
