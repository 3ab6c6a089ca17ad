"""Whether the runtime and libedgetpu are known to fit each other. Pure: facts in, findings out.

A libedgetpu that was built for another TensorFlow Lite loads, and then ends the process (google-coral/edgetpu#812
and #821). Which TensorFlow it was built for stands in the version of its Debian package alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgekit.backends.installed import numbers
from edgekit.doctor.facts import Facts
from edgekit.doctor.finding import Finding, Kind, Severity
from edgekit.doctor.libraries import Package
from edgekit.doctor.remedies import NO_BUILD, Targets, library_steps, reported_runtime, runtime_steps
from edgekit_targets.install import LIBEDGETPU, Step

FIRST_TOO_NEW = (2, 12)
"""From this tflite-runtime on Google's libedgetpu 16.0, built for TensorFlow 2.5, ends the process (edgetpu#812)."""

OLDEST_SERVED = (2, 11, 1)
"""feranick's libraries serve tflite-runtime from here up to their own TensorFlow (his release notes)."""

_TRY = "edgekit doctor --probe tries this pair; sessions try it too, in a child process, before they use it"


def pair_findings(facts: Facts, targets: Targets) -> Iterator[Finding]:
    """Findings on the runtime and libedgetpu together.

    What was tried on this machine counts more than what is known of versions.

    Args:
        facts: Of the machine.
        targets: The catalogue.
    """
    library = facts.coral.library
    if library is None or library.fits(facts.userland) is False or not facts.runtimes:
        return
    known = _known(facts, facts.runtimes[0], targets)
    failed = [pairing for pairing in facts.pairings if pairing.error is not None]
    if known is not None and known.kind is Kind.PAIR_CRASHES and (failed or not facts.pairings):
        yield known
    elif facts.pairings:
        for pairing in failed:
            advice = pairing.hint or "replug it, and run edgekit doctor --probe again"
            yield Finding(Kind.PAIR_FAILS, Severity.FAULT, str(pairing.error), advice=advice)
    elif known is not None and facts.coral.is_present:
        yield known


def tensorflow_of(version: str) -> tuple[int, ...]:
    """Which TensorFlow a libedgetpu was built for, by its package's version: "16.0TF2.19.1-1"; () where it is not said."""
    match = re.search(r"tf(\d+(?:\.\d+)*)", version, re.IGNORECASE)
    return numbers(match[1]) if match else ()


def _known(facts: Facts, runtime: Package, targets: Targets) -> Finding | None:
    """What is known of the versions; None where they are reported to fit."""
    package = facts.coral.library_package
    if package is None:
        sentence = "no Debian package brought libedgetpu, so which TensorFlow it was built for is not known"
        return Finding(Kind.PAIR_UNKNOWN, Severity.NOTE, sentence, advice=_TRY)
    pair = f"{runtime.name} {runtime.version} with {package.name} {package.version}"
    built_for, version = tensorflow_of(package.version), numbers(runtime.version)
    is_legacy = runtime.name == "tflite-runtime"
    steps, advice = _known_pair(facts, targets)
    if not built_for and numbers(package.version)[:1] == (16,) and _is_killed(runtime):
        severity = Severity.FAULT if facts.coral.is_present else Severity.WARNING
        sentence = f"{pair} ends the process: Google's libedgetpu 16.0 was built for TensorFlow 2.5"
        return Finding(Kind.PAIR_CRASHES, severity, sentence, steps, advice)
    if is_legacy and built_for and version > built_for:
        sentence = f"{pair}: the library was built for an older TensorFlow than the runtime"
        return Finding(Kind.PAIR_TOO_NEW, Severity.WARNING, sentence, steps, advice or _TRY)
    reported = reported_runtime(targets)
    known = (reported.package, numbers(reported.version or ""), tensorflow_of(LIBEDGETPU))
    if (runtime.name, version, built_for) == known or (is_legacy and built_for and version >= OLDEST_SERVED):
        return None
    sentence = f"{pair}: nobody is known to have run this pair"
    return Finding(Kind.PAIR_UNCONFIRMED, Severity.NOTE, sentence, steps, advice or f"or keep it: {_TRY}")


def _is_killed(runtime: Package) -> bool:
    """Whether Google's libedgetpu 16.0 is known to end a process with it."""
    version = numbers(runtime.version)
    return runtime.name == "ai-edge-litert" or (bool(version) and version >= FIRST_TOO_NEW)


def _known_pair(facts: Facts, targets: Targets) -> tuple[tuple[Step, ...], str | None]:
    """The lines to a pair that is reported to work; where edgekit has none, where to look."""
    library, first, package = library_steps(facts), facts.runtimes[0], facts.coral.library_package
    version, served = numbers(first.version), tensorflow_of(LIBEDGETPU)
    is_served = first.name == "tflite-runtime" and OLDEST_SERVED <= version <= served
    reported = reported_runtime(targets)
    if not library:
        runtime = f"{first.name} {first.version}" if is_served else f"{reported.package} {reported.version}"
        return (), f"{runtime} with libedgetpu {LIBEDGETPU} is a pair that is reported to work: {NO_BUILD}"
    if package is not None and tensorflow_of(package.version) == served:
        library = ()
    elif package is not None and package.name != "libedgetpu1-std":
        library = (Step(f"sudo apt remove {package.name}"), *library)
    has_runtime = is_served or (first.name, first.version) == (reported.package, reported.version)
    return (*library, *(() if has_runtime else runtime_steps(facts, reported))), None
