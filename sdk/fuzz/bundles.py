"""A million hostile bundles, signatures and manifests through `read_unverified` and `Trust.check`.

    python sdk/fuzz/bundles.py [--mutations 1000000] [--seed 1] [--workers N] [--keep FOLDER]

What must hold: nothing comes out but edgekit's own errors, each in one short printable sentence; and what is accepted
is right. Right means, worked out here without the code under test: a trusted key has signed exactly this payload; it is
of the right types and lists every member but ``signature.json`` once, with its SHA-256, and no other; and name, target
and epoch are allowed. A second valid signature over the same payload (its high-S twin, say) changes nothing that runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import zipfile
from base64 import b64decode
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

from fuzz_bases import EPOCH, NAME, TARGET, TRUST, all_data
from fuzz_cases import Case, draw

from edgekit.bundle import read_unverified
from edgekit.errors import BundleError, TrustError
from edgekit.trust import VerifiedBundle

CHUNK = 1000
ACCEPTED, UNCHANGED = "accepted, rightly", "unchanged and accepted"


@dataclass(slots=True)
class Tally:
    """How the cases ended: by class, and those that must not have ended so."""

    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.ends += other.ends
        self.faults += other.faults


def run_cases(seed: int, indices: range) -> Tally:
    """Shows some cases to the verifier."""
    tally = Tally()
    for index in indices:
        case = draw(seed, index)
        end, fault = judge(case)
        tally.ends[case.kind, end] += 1
        if fault:
            tally.faults.append((index, f"{case.kind}: {fault}"))
    return tally


def judge(case: Case) -> tuple[str, str]:
    """How a case ended, and what is wrong with that (else "")."""
    try:
        verified = TRUST.check(read_unverified(case.data))
    except (BundleError, TrustError) as error:
        return type(error).__name__, _fault_of(error)
    except Exception as error:
        return "another exception", f"{type(error).__name__}: {error}"
    fault = wrongly_accepted(case, verified)
    if fault:
        return "ACCEPTED, WRONGLY", fault
    return UNCHANGED if case.data in all_data() else ACCEPTED, ""


def _fault_of(error: BundleError | TrustError) -> str:
    text = str(error)
    if not text.isprintable() or len(text) > 400:
        return f"a message that no terminal should see: {text[:80]!a}"
    return "a refusal without a hint" if isinstance(error, TrustError) and not error.hint else ""


def wrongly_accepted(case: Case, verified: VerifiedBundle) -> str:
    """Why a bundle should not have been accepted (else ""), by zipfile, json and hashlib alone."""
    if verified.data != case.data or not verified.signed:
        return "other bytes than those that were given"
    with zipfile.ZipFile(BytesIO(case.data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if {name: bytes(content) for name, content in verified.members.items()} != members:
        return "other members than zipfile finds"
    if verified.payload_digest not in case.signed:
        return "nobody who is trusted signed this payload"
    envelope = json.loads(members.pop("signature.json"))["dsseEnvelope"]
    payload = b64decode(envelope["payload"])
    if sha256(payload).hexdigest() != verified.payload_digest:
        return "another payload than the envelope holds"
    digests = {name: sha256(content).hexdigest() for name, content in members.items()}
    if (said := _listed(payload)) != digests:
        return f"members {sorted(digests)}, and signed was {said}"
    manifest = json.loads(members["manifest.json"])
    allowed = (
        manifest["name"] == NAME and TARGET in manifest["targets"] and manifest["security_epoch"] >= EPOCH
    )
    return "" if allowed else "its name, target or epoch is not allowed"


def _listed(payload: bytes) -> dict[str, str] | str:
    """What a statement lists, or what is wrong with it."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("a key stands there twice")
        return dict(pairs)

    try:
        statement = json.loads(payload, object_pairs_hook=unique)
        types = statement["_type"], statement["predicateType"]
        resources = statement["predicate"]["resources"]
        serialization = statement["predicate"]["serialization"]
        (subject,) = statement["subject"]
        listed = {resource["name"]: resource["digest"] for resource in resources}
        joined = b"".join(bytes.fromhex(resource["digest"]) for resource in resources)
        rules = {
            "types": types == ("https://in-toto.io/Statement/v1", "https://model_signing/signature/v1.0"),
            "a name twice": len(listed) == len(resources),
            "algorithms": all(resource["algorithm"] == "sha256" for resource in resources),
            "serialization": (serialization["method"], serialization["hash_type"]) == ("files", "sha256"),
            "subject": subject["digest"] == {"sha256": sha256(joined).hexdigest()},
        }
    except (ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    broken = [rule for rule, holds in rules.items() if not holds]
    return f"broken: {', '.join(broken)}" if broken else listed


def fuzz(count: int, seed: int, workers: int, *, show_progress: bool = False) -> Tally:
    """Runs `count` cases on several processes."""
    chunks = [range(at, min(at + CHUNK, count)) for at in range(0, count, CHUNK)]
    tally = Tally()
    if workers == 1:
        for chunk in chunks:
            tally.add(run_cases(seed, chunk))
        return tally
    with ProcessPoolExecutor(workers) as pool:
        for done, part in enumerate(pool.map(partial(run_cases, seed), chunks), 1):
            tally.add(part)
            if show_progress:
                print(f"\r{done * CHUNK:>12,} of {count:,}", end="", file=sys.stderr, flush=True)
    if show_progress:
        print(file=sys.stderr)
    return tally


def table(tally: Tally) -> str:
    """How each class ended, the most frequent end first."""
    by_class: dict[str, Counter[str]] = defaultdict(Counter)
    for (kind, end), count in tally.ends.items():
        by_class[kind][end] += count
    width = max(map(len, by_class))
    lines = [f"{'mutated':{width}}{'cases':>9}  how they ended"]
    for kind, ends in sorted(by_class.items()):
        said = ", ".join(f"{end} {count:,}" for end, count in ends.most_common())
        lines.append(f"{kind:{width}}{ends.total():>9,}  {said}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutations", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="write the files of faults there")
    options = parser.parse_args()
    begin = time.perf_counter()
    show = sys.stderr.isatty()
    tally = fuzz(options.mutations, options.seed, options.workers, show_progress=show)
    print(table(tally))
    total, seconds = tally.ends.total(), time.perf_counter() - begin
    accepted = sum(count for (_, end), count in tally.ends.items() if end == ACCEPTED)
    print(f"{total:,} mutations, seed {options.seed}, {seconds:.0f} s; {accepted:,} accepted, rightly")
    for index, fault in islice(sorted(tally.faults), 20):
        print(f"FAULT: case {index}: {fault}")
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{options.seed}-{index}.edgekit").write_bytes(draw(options.seed, index).data)
    print(f"other exceptions, wrong accepts, bad messages: {len(tally.faults)}")
    sys.exit(1 if tally.faults else 0)


if __name__ == "__main__":
    main()
