"""`certify`: from a bundle and the names of targets to a certificate. It conducts: boards, systems, trials, verdict."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgekit.backends import Kernels
from edgekit.backends.installed import numbers
from edgekit.bundle import MODEL, UnverifiedBundle, sha256_of, write_bundle
from edgekit.errors import CertificateContractError, CertifyError
from edgekit.manifest import Manifest
from edgekit.version import __version__
from edgekit_converters.certify import verdict
from edgekit_converters.certify.boards import HOST, KERNELS, Board, boards_of, unique
from edgekit_converters.certify.certificate import CERTIFICATE, BoardRecord, Certificate, Row
from edgekit_converters.certify.compare import TOLERANCES, Tolerance, scores_of
from edgekit_converters.certify.emulator import Machine, machine
from edgekit_converters.certify.microcontrollers import certify_microcontroller, is_microcontroller
from edgekit_converters.certify.recipes import LITERT, RECIPES, TFLITE, Recipe
from edgekit_converters.certify.sysroot import Sysroot, prepare
from edgekit_converters.certify.trial import Answers, Failure, try_kernels
from edgekit_converters.certify.vectors import Vectors, collect, data_files
from edgekit_converters.progress import SILENT, Progress
from edgekit_targets.catalog import load_target
from edgekit_targets.target import Target
from edgekit_targets.tflite import read_graph

SIGNATURE = "signature.json"

TIMEOUT_S = 600.0
"""How long one program on a board may take: a MobileNet of 224x224 takes seconds a sample under QEMU."""

MOST_AT_ONCE = 2
FEW_SAMPLES = 100

STANDARD = ("raspberry-pi-zero-2-w", "raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5", "linux-armhf")
"""The targets that ``--prepare`` means where none is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked.

    Attributes:
        targets: Names, each with "/SYSTEM" if it is not the first one of the target that is meant.
        device_dirs: Folders with device files of the user's.
        data: Files of samples, as ``edgekit run`` takes them.
        tolerances: What is allowed.
        timeout_s: How long one program on a board may take, in seconds.
    """

    targets: tuple[str, ...]
    device_dirs: tuple[Path, ...] = ()
    data: tuple[str, ...] = ()
    tolerances: Mapping[str, Tolerance] = field(default_factory=lambda: TOLERANCES)
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Plan:
    """The targets of a request, sorted by what is done with them.

    Attributes:
        boards: To emulate, x86-64 first.
        microcontrollers: Whose kernels run on the workstation.
    """

    boards: tuple[Board, ...]
    microcontrollers: tuple[Target, ...]


def plan(targets: Sequence[str], device_dirs: Sequence[Path] = ()) -> Plan:
    """What is to be done for these targets.

    Args:
        targets: Names, each with "/SYSTEM" if it is not the first one of the target that is meant.
        device_dirs: Folders with device files of the user's.

    Raises:
        UnknownTargetError: There is no such target.
        CertifyError: One of them cannot be emulated.
    """
    boards, micro = [HOST], []
    for word in targets:
        name, slash, system = word.partition("/")
        target = load_target(name, device_dirs)
        if is_microcontroller(target) and not slash:
            micro.append(target)
        else:
            boards += boards_of(target, system if slash else None)
    for board in boards:
        recipe_of(board)
    return Plan(unique(boards), tuple(micro))


def recipe_of(board: Board) -> Recipe:
    """What the system of a board holds.

    Raises:
        CertifyError: No TFLite runtime has a wheel for it.
    """
    recipe = RECIPES.get((board.debian, board.suite))
    if recipe is None:
        raise CertifyError(
            f"{board.name}: no TFLite runtime has a wheel for {board.debian} and Debian {board.suite}",
            hint=f"these can be emulated: {', '.join(' '.join(key) for key in RECIPES)}",
        )
    return recipe


def prepare_systems(boards: Sequence[Board], progress: Progress = SILENT) -> dict[str, Sysroot]:
    """Builds the systems of boards, or finds them in the cache: recipe's name -> system.

    Raises:
        SysrootError: One of them cannot be built.
    """
    recipes = {recipe_of(board).name: recipe_of(board) for board in boards}
    return {name: prepare(recipe, progress) for name, recipe in recipes.items()}


def refuse_signed(bundle: UnverifiedBundle) -> None:
    """Refuses a bundle whose signature another member would break.

    Raises:
        CertifyError: It is signed.
    """
    if SIGNATURE in bundle.members:
        raise CertifyError(
            f"the bundle is signed already, and a certificate in it would break the signature ({SIGNATURE})",
            hint="certify first and sign then: the signature covers the certificate",
        )


def certify(bundle: UnverifiedBundle, request: Request, progress: Progress = SILENT) -> Certificate:
    """Runs a bundle's model on all boards and compares.

    Args:
        bundle: Of unknown origin; its model runs on emulated boards only, in processes of their own.
        request: What is asked.
        progress: Where to say how far it is.

    Raises:
        CertifyError: It is signed, has nothing to run, or a target cannot be emulated.
        SysrootError: A system cannot be built.
        EmulatorError: An emulator hung, or was ended from outside.
    """
    refuse_signed(bundle)
    planned = plan(request.targets, request.device_dirs)
    vectors = collect(bundle, request.data)
    model = bytes(bundle.members[MODEL])
    systems = prepare_systems(planned.boards, progress)
    judge = verdict.Judge(
        vectors, scores_of(bundle.manifest), request.tolerances, frozenset(_operators(model))
    )
    with ExitStack() as stack:
        machines = [
            stack.enter_context(machine(board, systems[recipe_of(board).name])) for board in planned.boards
        ]
        jobs = [(each, name) for each in machines for name in _runtimes(each.board, bundle.manifest)]
        outcomes = _run_all(jobs, model, vectors, request.timeout_s, progress)
        records = tuple(_record(each) for each in machines)
    rows, estimates = list(_judge(planned.boards, outcomes, judge)), []
    for target in planned.microcontrollers:
        progress.status(f"running the model for {target.name}")
        more, estimate = certify_microcontroller(
            model, vectors.inputs, target, request.tolerances, request.timeout_s
        )
        rows += more
        estimates += estimate
    return Certificate(
        edgekit=__version__,
        model_sha256=sha256_of(model),
        golden=vectors.golden,
        data=vectors.count - vectors.golden,
        data_files=data_files(request.data),
        inputs_sha256=vectors.sha256,
        boards=records,
        rows=tuple(rows),
        estimates=tuple(estimates),
    )


def hold(certificate: Certificate) -> None:
    """Refuses a certificate with a fault.

    Raises:
        CertificateContractError: It has one; the message names all.
    """
    faults = certificate.faults
    if faults:
        raise CertificateContractError(
            "\n".join(faults),
            hint=_hint(certificate),
            report=certificate.to_json(),
        )


def _hint(certificate: Certificate) -> str:
    if any(row.fault and not row.started for row in certificate.rows):
        return "the runtime or the model needs what this processor or its system lacks: choose another target"
    if any(
        row.fault and row.board == HOST.name and row.expected == verdict.RECORDED for row in certificate.rows
    ):
        return "the golden answers in the bundle are not those of its model: convert the model again"
    if all(row.kernels == "builtin" and row.runtime == LITERT for row in certificate.rows if row.fault):
        return "edgekit itself runs LiteRT on XNNPACK; if your app does too, say --tolerance builtin=90%"
    if certificate.golden + certificate.data < FEW_SAMPLES:
        return f"a share of so few samples says little: name {FEW_SAMPLES} or more with --data FILE"
    return "look at more samples with --data FILE; --tolerance KERNELS=LIMIT says what else is allowed"


def with_certificate(bundle: UnverifiedBundle, certificate: Certificate) -> bytes:
    """The bundle with the certificate as a member, in place of an earlier one."""
    return write_bundle({**bundle.members, CERTIFICATE: certificate.to_bytes()})


Outcomes = Mapping[tuple[str, str], Mapping[Kernels, Answers | Failure]]
"""(board, runtime) -> set of kernels -> what came of it."""


def _runtimes(board: Board, manifest: Manifest) -> tuple[str, ...]:
    """The runtimes to try on a board: on x86-64, which only stands for others, none that the bundle calls too old."""
    least = numbers(manifest.runtime.get(MODEL, {}).get("tensorflow-lite", ""))
    is_old = board == HOST and TFLITE in board.runtimes and numbers(_version(board, TFLITE)) < least
    return tuple(name for name in board.runtimes if not (is_old and name == TFLITE))


def _version(board: Board, runtime: str) -> str:
    return {wheel.name: wheel.version for wheel in recipe_of(board).sites[runtime]}[runtime]


def _run_all(
    jobs: Sequence[tuple[Machine, str]], model: bytes, vectors: Vectors, timeout_s: float, progress: Progress
) -> Outcomes:
    """Runs the model on all machines and runtimes, a few at a time."""
    most = min(MOST_AT_ONCE, os.cpu_count() or 1)
    names = dict.fromkeys(each.board.name for each, _ in jobs)
    progress.status(f"running {vectors.count} samples on {', '.join(names)}")
    with progress.bar("emulating", len(jobs)) as step, ThreadPoolExecutor(most) as pool:
        futures = [
            pool.submit(try_kernels, each, runtime, KERNELS[runtime], model, vectors, timeout_s)
            for each, runtime in jobs
        ]
        outcomes = {}
        try:
            for (each, runtime), future in zip(jobs, futures, strict=True):
                outcomes[each.board.name, runtime] = future.result()
                step(1)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return outcomes


def _judge(boards: Sequence[Board], outcomes: Outcomes, judge: verdict.Judge) -> list[Row]:
    """A row for every set of kernels, x86-64 first: its answers are what the others are compared with."""
    rows: list[Row] = []
    base: dict[tuple[str, Kernels], tuple[np.ndarray, ...]] = {}
    for board in boards:
        for runtime in board.runtimes:
            for kernels, outcome in outcomes.get((board.name, runtime), {}).items():
                if board == HOST and isinstance(outcome, Answers):
                    base[runtime, kernels] = outcome.outputs
                rows.append(judge.row(board.name, runtime, _version(board, runtime), kernels, outcome, base))
    return rows


def _record(each: Machine) -> BoardRecord:
    board, recipe = each.board, each.system.recipe
    return BoardRecord(
        name=board.name,
        title=board.title,
        cpu=board.cpu,
        emulator=each.emulator,
        system=f"{recipe.debian} {recipe.suite}",
        versions={runtime: each.system.versions(runtime) for runtime in board.runtimes},
    )


def _operators(model: bytes) -> set[str]:
    """The names of all operators in a model."""
    return {operator.opcode for subgraph in read_graph(model).subgraphs for operator in subgraph.operators}
