"""What a profile is to measure: `Plan`."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.errors import ProfileError

OPS_METHODS = ("auto", "litert", "prefix")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how.

    Attributes:
        trust: Path of the key or the folder of keys, None where none was given.
        unsigned: Whether the user accepts the bundle unsigned.
        inputs: The user's files, ``FILE`` or ``NAME=FILE``; empty takes the bundle's own data.
        runs: Timed runs of each configuration.
        warmup: Runs before them.
        threads: Threads for one inference: the first is that of the profile itself, several make a sweep. Empty
            leaves the number to the runtime.
        batches: Samples a call of the other sweep; empty where none is wanted.
        device: As `edgekit.load` takes it.
        fallback: Whether the CPU may stand in for an Edge TPU.
        ops: "auto", "litert" or "prefix" to time every operator too, None not to.

    Raises:
        ProfileError: A number makes no sense, or trust is said in two ways.
    """

    trust: str | None = None
    unsigned: bool = False
    inputs: tuple[str, ...] = ()
    runs: int = 200
    warmup: int = 20
    threads: tuple[int, ...] = ()
    batches: tuple[int, ...] = ()
    device: str = "auto"
    fallback: bool = False
    ops: str | None = None

    def __post_init__(self) -> None:
        if self.unsigned and self.trust is not None:
            raise ProfileError(
                "trust and unsigned exclude each other", hint="leave unsigned out: the key is then checked"
            )
        for what, numbers, least in (
            ("runs", (self.runs,), 1),
            ("warmup", (self.warmup,), 0),
            ("threads", self.threads, 1),
            ("batch", self.batches, 1),
        ):
            for number in numbers:
                if number < least:
                    raise ProfileError(f"{what} must be at least {least}, and is {number}")
            if len(set(numbers)) < len(numbers):
                raise ProfileError(f"{what} names a number twice: {', '.join(map(str, numbers))}")
        if self.ops is not None and self.ops not in OPS_METHODS:
            raise ProfileError(f"there is no method {self.ops!r}", hint=f"one of {', '.join(OPS_METHODS)}")

    @property
    def steps(self) -> tuple[tuple[int | None, int], ...]:
        """Threads and batch of every configuration to measure, the profile's own first."""
        threads: tuple[int | None, ...] = self.threads or (None,)
        batches = tuple(size for size in self.batches if size != 1)
        return tuple((count, 1) for count in threads) + tuple((threads[0], size) for size in batches)
