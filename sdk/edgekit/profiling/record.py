"""What a profile holds: `Profile` and its parts, which read and write the schema "edgekit-profile/1".

Every field is a key of the JSON, every key is required (``null`` for None), and no other key may stand there.
None, and an empty tuple of conditions, mean that nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from edgekit import strictjson
from edgekit.errors import BundleError, InvalidManifestError, ProfileError
from edgekit.profiling.conditions import Conditions
from edgekit.profiling.latency import Latency
from edgekit.record import Record, require
from edgekit.strictjson import shown

SCHEMA = "edgekit-profile/1"
MAX_BYTES = 64 << 20
"""A profile file that is larger is not read: 64 MiB hold a million runs."""


@dataclass(frozen=True, slots=True)
class BundleFacts(Record):
    """Which bundle was measured.

    Attributes:
        name: Of the model, from its manifest.
        version: Of the model, from its manifest.
        digest: SHA-256 of the bundle file in hexadecimal; None where a session that was open already was measured.
        variant: The member that ran, such as "model.tflite".
    """

    name: str
    version: str
    digest: str | None
    variant: str


@dataclass(frozen=True, slots=True)
class Host(Record):
    """The machine that it was measured on.

    Attributes:
        identity: A keyed hash of the board's serial number or of /etc/machine-id, 16 digits: tells two
            machines of one model apart and gives neither number away.
        board: Such as "Raspberry Pi 4 Model B Rev 1.4".
        cpu: The processor's model.
        cpu_features: What its cores can do, as the kernel spells it, separated by spaces.
        cores: That the process may run on.
        memory_kib: Of the machine.
        machine: Of the instruction set, such as "aarch64".
        system: The operating system's name for people.
        kernel: Name and release, such as "Linux 6.6.31".
        python: Its version.
        numpy: Its version.
        edgekit: Its version.
    """

    identity: str | None
    board: str | None
    cpu: str | None
    cpu_features: str | None
    cores: int | None
    memory_kib: int | None
    machine: str
    system: str | None
    kernel: str
    python: str
    numpy: str
    edgekit: str


@dataclass(frozen=True, slots=True)
class Stages(Record):
    """Where the time of a run goes. The three do not add up to the whole: a little is the session's own.

    Attributes:
        preprocess_ns: Median of the time from the raw sample to the model's integers.
        invoke_ns: Median of the time inside the runtime.
        postprocess_ns: Median of the time from the model's integers to real values and labels.
        started_ns: When each run began, after the first one's beginning.
        preprocess_samples_ns: Of each run.
        invoke_samples_ns: Of each run.
        postprocess_samples_ns: Of each run.
    """

    preprocess_ns: int
    invoke_ns: int
    postprocess_ns: int
    started_ns: tuple[int, ...]
    preprocess_samples_ns: tuple[int, ...]
    invoke_samples_ns: tuple[int, ...]
    postprocess_samples_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Memory(Record):
    """What the measurement took of the machine's memory, in bytes.

    Attributes:
        peak_rss_bytes: The most that the process ever held (VmHWM), interpreter of Python and all.
        baseline_rss_bytes: What it held before the bundle was loaded.
        scope: "own process" where the measurement had a process to itself, "shared process" where other
            things ran in it before, which the peak then includes.
        model_bytes: The flatbuffer that ran; None where a session that was open already was measured.
        arena_bytes: What its tensors take while it runs: an estimate by the runtime's own plan, because LiteRT
            does not tell. Scratch memory of kernels and what XNNPACK packs come on top.
    """

    peak_rss_bytes: int | None
    baseline_rss_bytes: int | None
    scope: str
    model_bytes: int | None
    arena_bytes: int | None

    def _check(self) -> None:
        scopes = ("own process", "shared process")
        require(self.scope in scopes, "scope", f"must be one of {', '.join(scopes)}")


@dataclass(frozen=True, slots=True)
class ThreadsPoint(Record):
    """One step of the sweep over thread counts, measured in a process of its own.

    Attributes:
        threads: Threads for one inference.
        load_ns: From the file to an open session, with the import of the runtime.
        first_ns: The first inference.
        steady: The inferences after the warm-up.
        throughput_per_s: Samples a second.
        peak_rss_bytes: The most that its process ever held.
        verdict: Why this step should not be compared with others; empty where nothing speaks against it.
    """

    threads: int
    load_ns: int
    first_ns: int
    steady: Latency
    throughput_per_s: float
    peak_rss_bytes: int | None
    verdict: tuple[str, ...]

    def _check(self) -> None:
        require(self.threads >= 1, "threads", f"must be at least 1, and is {self.threads}")


@dataclass(frozen=True, slots=True)
class BatchPoint(Record):
    """One step of the sweep over batch sizes, measured in a process of its own.

    Attributes:
        batch: Samples in one call of `Session.run`.
        steady: Latencies of whole calls after the warm-up.
        throughput_per_s: Samples a second.
        peak_rss_bytes: The most that its process ever held.
        verdict: Why this step should not be compared with others; empty where nothing speaks against it.
    """

    batch: int
    steady: Latency
    throughput_per_s: float
    peak_rss_bytes: int | None
    verdict: tuple[str, ...]

    def _check(self) -> None:
        require(self.batch >= 1, "batch", f"must be at least 1, and is {self.batch}")


@dataclass(frozen=True, slots=True)
class OpTime(Record):
    """One operator of the model.

    Attributes:
        index: Its place in the model.
        opcode: Such as "CONV_2D".
        name: Of its first output tensor, escaped so that it prints.
        layer: As the training framework named it, as well as the tensor's name tells.
        time_ns: What it takes in one inference.
        share: Of the sum of all, 0 to 1.
        macs: Multiplications with addition; None where the operator has no such notion.
        gmac_per_s: Billions of them a second.
        delegate: "XNNPACK", None for the runtime's own kernels, or "unknown".
    """

    index: int
    opcode: str
    name: str
    layer: str
    time_ns: float
    share: float
    macs: int | None
    gmac_per_s: float | None
    delegate: str | None


@dataclass(frozen=True, slots=True)
class OpsProfile(Record):
    """Where the time inside the runtime goes, operator by operator.

    Attributes:
        method: "litert" (the runtime's own profiler) or "prefix" (differences of ever longer prefixes).
        whole_ns: One inference of the whole model, measured without profiling.
        sum_ns: All operators and the bare call together.
        ratio: sum_ns / whole_ns: how far the two agree.
        ops: In the order of the model.
        note: What whoever reads the figures must know; empty where there is nothing.
        call_ns: What a call of the runtime takes before any operator runs: that of the model cut down to none.
            Its share is 1 minus that of all operators. 0 where it was not measured.
    """

    method: str
    whole_ns: float
    sum_ns: float
    ratio: float
    ops: tuple[OpTime, ...]
    note: str
    call_ns: float = 0.0

    def _check(self) -> None:
        require(self.method in ("litert", "prefix"), "method", "must be litert or prefix")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(Record):
    """Everything that one measurement of a bundle says.

    Attributes:
        schema: Of this document.
        created: When, in UTC, such as "2026-11-24T05:00:00Z".
        bundle: Which bundle.
        host: Which machine.
        device: What ran it: "cpu", "usb:0", "pci:0" or "simulated".
        runtime: Package and version, such as "ai-edge-litert 2.3.0".
        threads: Threads for one inference; None left it to the runtime.
        kernels: "xnnpack", "builtin" or "reference".
        fallback: Why the CPU ran it although an accelerator was asked for; None where nothing fell back.
        inputs: Where the samples came from, for people.
        warmup: Runs before the first that counts.
        load_ns: From the file to an open session, with the import of the runtime; None where the session was open already.
        first_ns: The first inference of the session; None where others came before.
        steady: Whole calls of `Session.run` after the warm-up, with one sample unless `inputs` says otherwise.
        throughput_per_s: Samples a second, one call after the other.
        stages: Where the time of a call goes.
        memory: What it took.
        threads_sweep: The same with other numbers of threads; empty where none was asked for.
        batch_sweep: The same with several samples a call; empty where none was asked for.
        conditions_before: Of the machine.
        conditions_after: Of the machine.
        verdict: Why these figures should not be compared with others; empty where nothing speaks against it.
        ops: Where the time inside the runtime goes; None where it was not asked for.
    """

    schema: str = SCHEMA
    created: str
    bundle: BundleFacts
    host: Host
    device: str
    runtime: str
    threads: int | None
    kernels: str
    fallback: str | None
    inputs: str
    warmup: int
    load_ns: int | None
    first_ns: int | None
    steady: Latency
    throughput_per_s: float
    stages: Stages
    memory: Memory
    threads_sweep: tuple[ThreadsPoint, ...]
    batch_sweep: tuple[BatchPoint, ...]
    conditions_before: Conditions
    conditions_after: Conditions
    verdict: tuple[str, ...]
    ops: OpsProfile | None

    def _check(self) -> None:
        require(self.schema == SCHEMA, "schema", f"must be {SCHEMA}, and is {shown(self.schema)}")
        for name in ("started_ns", "preprocess_samples_ns", "invoke_samples_ns", "postprocess_samples_ns"):
            count = len(getattr(self.stages, name))
            rule = f"must have {self.steady.runs} entries, one a run, and has {count}"
            require(count == self.steady.runs, f"stages.{name}", rule)

    @classmethod
    def from_json(cls, value: object, where: str = "") -> Self:
        """Builds the profile from a parsed JSON object that has exactly its keys.

        Args:
            value: What `to_json` gave.
            where: Path of the value in its document; empty for the document itself.

        Raises:
            ProfileError: Another schema, an unknown or missing key, or a value that makes no sense.
        """
        schema = value.get("schema") if isinstance(value, dict) else None
        if schema != SCHEMA:
            said = "has no schema" if schema is None else f"has the schema {shown(schema)}"
            raise ProfileError(
                f"not a profile that this edgekit reads: it {said}, and {SCHEMA} is wanted",
                hint="edgekit profile BUNDLE -o profile.json writes one",
            )
        try:
            # A dataclass with slots is a new class, which super() without arguments does not know.
            return super(Profile, cls).from_json(value, where)
        except InvalidManifestError as error:
            raise ProfileError(
                f"not a sound profile: {error}", hint="take it again: edgekit profile"
            ) from None

    @classmethod
    def from_bytes(cls, data: bytes, document: str = "profile") -> Self:
        """Reads the JSON of a profile.

        Args:
            data: UTF-8 text.
            document: What the error messages call it, such as its path.

        Raises:
            ProfileError: It is not the JSON of a sound profile.
        """
        try:
            value = strictjson.parse(data, document)
        except BundleError as error:
            raise ProfileError(str(error), hint="edgekit profile BUNDLE -o profile.json writes one") from None
        try:
            return cls.from_json(value)
        except ProfileError as error:
            raise ProfileError(f"{document}: {error}", hint=error.hint) from None

    def to_bytes(self) -> bytes:
        """The profile as a JSON file: sorted keys, two spaces of indent, a newline at the end."""
        return strictjson.dump(self.to_json())
