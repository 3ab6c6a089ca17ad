"""Takes a whole profile: `profile_bundle` in fresh processes, `profile_session` in this one."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.bundle import DEFAULT_LIMITS, EDGETPU_MODEL, MODEL, UnverifiedBundle, read_unverified
from edgekit.errors import BundleError, EdgekitError, OutputError
from edgekit.files import read_capped
from edgekit.profiling import samples as sampling
from edgekit.profiling.child import Measured, Request, write_pool
from edgekit.profiling.children import measure_in_child
from edgekit.profiling.host import read_host
from edgekit.profiling.measure import as_given, measure
from edgekit.profiling.plan import Plan
from edgekit.profiling.readings import peak_rss_bytes, read_conditions
from edgekit.profiling.record import BatchPoint, BundleFacts, Memory, OpsProfile, Profile, ThreadsPoint
from edgekit.profiling.samples import Samples
from edgekit.profiling.verdict import do_not_compare

if TYPE_CHECKING:
    from edgekit.session import Session

SECOND_NS = 1_000_000_000


def profile_bundle(
    path: Path,
    plan: Plan,
    done: Callable[[], object] = lambda: None,
    *,
    quietly: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Profile:
    """Measures a bundle, each configuration in a process of its own.

    The file is read once. Trust is established in those very bytes, and the self-test run, before a process that
    measures opens them: it establishes trust once more, and its times and its memory hold no self-test.

    Args:
        path: The .edgekit file.
        plan: What to measure.
        done: Called after each of `Plan.steps`, and after the operators.
        quietly: Makes a context for what runs in this very process, the operators: a runtime writes to stderr.

    Raises:
        BundleError: It is not a bundle.
        TrustError: Trust cannot be established.
        InputError: A file of the user does not fit the model.
        EdgekitError: The runtime or the device cannot run it.
        WorkerCrashedError: A process that measured died.
        OutputError: There is no room for temporary files.
    """
    bundle = read_bundle(path)
    specs = bundle.manifest.inputs
    pool = sampling.from_files(plan.inputs, specs) if plan.inputs else sampling.from_bundle(bundle)
    for size in plan.batches:
        pool.require_batch(size)
    _admit(bundle, plan)
    measured: dict[tuple[int | None, int], Measured] = {}
    with _temporary_folder() as folder:
        copy = folder / "bundle.edgekit"
        copy.write_bytes(bundle.data)
        for threads, batch in plan.steps:
            measured[threads, batch] = _measure(folder, copy, plan, pool, specs, threads, batch)
            done()
    profile = _profile(bundle, plan, pool.said, measured)
    if plan.ops is not None:
        with quietly():
            profile = replace(profile, ops=_ops(bundle, plan, pool, profile))
        done()
    return profile


def _admit(bundle: UnverifiedBundle, plan: Plan) -> None:
    """Establishes trust in a bundle, and runs its self-test where that has not been passed yet."""
    from edgekit.admission import admit
    from edgekit.trust import UNSIGNED

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the command says that the bundle is unsigned
        admit(
            bundle,
            UNSIGNED if plan.unsigned else plan.trust,
            device=plan.device,
            threads=plan.threads[0] if plan.threads else None,
            fallback=plan.fallback,
        )


def profile_session(session: Session, x: Any = None, *, runs: int = 200, warmup: int = 20) -> Profile:
    """Measures a session that is open, in this very process.

    What only a fresh process can tell is None: the time of loading, the first inference, the bundle's digest.
    The peak of memory is that of everything that the process did before.

    Args:
        session: The session.
        x: What `Session.run` takes, one sample or a batch; None draws random values.
        runs: How many runs are timed, at least 1.
        warmup: How many go before them.

    Raises:
        ProfileError: A number makes no sense.
        EdgekitError: Whatever `Session.run` raises.
    """
    Plan(runs=runs, warmup=warmup)  # refuses numbers that make no sense
    if x is None:
        samples = sampling.noise(session.manifest)
        pool, said = [as_given(sample) for sample in samples.raw], samples.said
    else:
        pool, said = [x], "one sample of the caller"
    before = read_conditions()
    steady = measure(session, pool, runs=runs, warmup=warmup)
    after = read_conditions()
    if steady.samples > runs:
        said = f"a batch of {steady.samples // runs} samples of the caller"
    return Profile(
        created=_now(),
        bundle=BundleFacts(session.manifest.name, session.manifest.version, None, _variant(session.device)),
        host=read_host(),
        device=session.device,
        runtime=session.runtime,
        threads=session.threads,
        kernels=session.kernels,
        fallback=session.fallback,
        inputs=said,
        warmup=warmup,
        load_ns=None,
        first_ns=None,
        steady=steady.latency,
        throughput_per_s=_per_second(steady.samples, steady.elapsed_ns),
        stages=steady.stages,
        memory=Memory(peak_rss_bytes(), None, "shared process", None, None),
        threads_sweep=(),
        batch_sweep=(),
        conditions_before=before,
        conditions_after=after,
        verdict=do_not_compare(before, after),
        ops=None,
    )


def read_bundle(path: Path) -> UnverifiedBundle:
    """Reads a bundle; the error of one that is malformed names its file.

    Raises:
        BundleError: It cannot be read, or is not a bundle.
    """
    data = read_capped(path, DEFAULT_LIMITS.archive.total)
    try:
        return read_unverified(data)
    except BundleError as error:
        raise type(error)(f"{path}: {error}", hint=error.hint) from error


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder for what this process and those that measure give each other."""
    try:
        with tempfile.TemporaryDirectory(prefix="edgekit-profile-") as folder:
            yield Path(folder)
    except OSError as problem:
        raise OutputError(
            f"cannot write temporary files: {problem.strerror or problem}",
            hint="name a folder with room for the bundle: TMPDIR=/var/tmp edgekit profile ...",
        ) from None


def _measure(
    folder: Path,
    bundle: Path,
    plan: Plan,
    pool: Samples,
    specs: Sequence[Any],
    threads: int | None,
    batch: int,
) -> Measured:
    """One configuration in a process of its own."""
    samples = folder / "samples.npz"
    write_pool(samples, pool.batch(batch), specs)
    return measure_in_child(
        Request(
            bundle=str(bundle),
            trust=plan.trust,
            unsigned=int(plan.unsigned),
            samples=str(samples),
            answer=str(folder / "answer.json"),
            device=plan.device,
            fallback=int(plan.fallback),
            threads=threads,
            runs=plan.runs,
            warmup=plan.warmup,
        )
    )


def _profile(
    bundle: UnverifiedBundle, plan: Plan, said: str, measured: dict[tuple[int | None, int], Measured]
) -> Profile:
    """Puts together what the processes measured."""
    threads = plan.steps[0][0]
    main = measured[threads, 1]
    variant = _variant(main.device)
    model = bytes(bundle.members[variant])
    return Profile(
        created=_now(),
        bundle=BundleFacts(bundle.manifest.name, bundle.manifest.version, bundle.digest, variant),
        host=read_host(),
        device=main.device,
        runtime=main.runtime,
        threads=threads,
        kernels=main.kernels,
        fallback=main.fallback,
        inputs=said,
        warmup=plan.warmup,
        load_ns=main.load_ns,
        first_ns=main.first_ns,
        steady=main.steady,
        throughput_per_s=_per_second(plan.runs, main.elapsed_ns),
        stages=main.stages,
        memory=Memory(
            main.peak_rss_bytes, main.baseline_rss_bytes, "own process", len(model), _arena_bytes(model)
        ),
        threads_sweep=tuple(
            ThreadsPoint(
                threads=count,
                load_ns=(step := measured[count, 1]).load_ns,
                first_ns=step.first_ns,
                steady=step.steady,
                throughput_per_s=_per_second(plan.runs, step.elapsed_ns),
                peak_rss_bytes=step.peak_rss_bytes,
                verdict=do_not_compare(step.before, step.after),
            )
            for count in (plan.threads if len(plan.threads) > 1 else ())
        ),
        batch_sweep=tuple(
            BatchPoint(
                batch=size,
                steady=(step := measured[threads, size]).steady,
                throughput_per_s=_per_second(plan.runs * size, step.elapsed_ns),
                peak_rss_bytes=step.peak_rss_bytes,
                verdict=do_not_compare(step.before, step.after),
            )
            for size in plan.batches
        ),
        conditions_before=main.before,
        conditions_after=main.after,
        verdict=do_not_compare(main.before, main.after),
        ops=None,
    )


def _ops(bundle: UnverifiedBundle, plan: Plan, pool: Samples, profile: Profile) -> OpsProfile:
    """Times the operators of the variant that was measured, on the runtime that measured it."""
    from edgekit.backends.choose import choose
    from edgekit.profiling.ops import profile_ops

    manifest = bundle.manifest
    choice = choose(
        profile.device,
        variants=bundle.members,
        runtime=manifest.runtime,
        targets=manifest.targets,
        fallback=False,
    )
    return profile_ops(
        bytes(bundle.members[choice.variant]),
        threads=profile.threads,
        kernels=choice.kernels,
        backend=choice.backend,
        method=plan.ops,  # type: ignore[arg-type]  # Plan has checked it
        runs=plan.runs,
        inputs=[sampling.stored_of(pool.raw[0][spec.name], spec) for spec in manifest.inputs],
    )


def _arena_bytes(model: bytes) -> int | None:
    """An estimate by LiteRT's own plan; None for a model that edgekit's reader refuses."""
    from edgekit_targets.memory import plan_arena
    from edgekit_targets.tflite import read_graph

    try:
        return plan_arena(read_graph(model)).bytes
    except EdgekitError:
        return None


def _variant(device: str) -> str:
    """The member of the bundle that a device runs."""
    return EDGETPU_MODEL if device.startswith(("usb", "pci")) else MODEL


def _per_second(samples: int, elapsed_ns: int) -> float:
    return samples * SECOND_NS / max(elapsed_ns, 1)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
