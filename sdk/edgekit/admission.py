"""What stands between a bundle that was read and a session: trust, the device's floor, and the self-test.

Here the pure decisions of `edgekit.trust` meet what the device remembers.
"""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, NamedTuple

from edgekit.errors import SessionError, StateError
from edgekit.trust import resolve

if TYPE_CHECKING:
    from typing import Literal

    from edgekit.backends.simulated import Simulation
    from edgekit.bundle import UnverifiedBundle
    from edgekit.selftest.report import SelfTestReport
    from edgekit.state import StateStore
    from edgekit.trust import VerifiedBundle

    When = Literal["once", "always", "never"]
    State = StateStore | str | os.PathLike[str] | None

WHEN = ("once", "always", "never")


class Admitted(NamedTuple):
    """A bundle that may be opened on this device.

    Attributes:
        bundle: What to open.
        store: Where its epoch goes once it is open; None where the bundle is unsigned and there is no store.
        screened: The device on which these very bytes have passed firewall and self-test; None for none.
    """

    bundle: VerifiedBundle
    store: StateStore | None
    screened: str | None

    def settle(self) -> None:
        """Raise the device's floor to the epoch of a signed bundle that was found good, and is open.

        Raises:
            StateError: The floor must rise, and the store cannot be written.
        """
        if self.bundle.signed and self.store is not None:
            manifest = self.bundle.manifest
            self.store.raise_floor(manifest.name, manifest.security_epoch)


def admit(
    bundle: UnverifiedBundle,
    trust: object,
    *,
    state: State = None,
    self_test: When = "once",
    device: str | Simulation = "auto",
    threads: int | None = None,
    fallback: bool = False,
    stacklevel: int = 2,
) -> Admitted:
    """Decides whether a bundle may be opened on this device.

    Args:
        bundle: What `read_unverified` gave.
        trust: As `edgekit.load` takes it; so are the others.
        state: See there.
        self_test: See there.
        device: See there.
        threads: See there.
        fallback: See there.
        stacklevel: Which caller a warning points at, counted from 1 for this function.

    Raises:
        TrustError: Trust cannot be established.
        KeyFileError: A key cannot be read.
        StateError: The bundle is signed, and the state store cannot be used.
        EdgekitError: The runtime or the device cannot run it.
    """
    if self_test not in WHEN:
        raise SessionError(f"self_test must be one of {', '.join(WHEN)}, and is {self_test!r}")
    verified = resolve(bundle, trust, stacklevel=stacklevel + 1)
    store = _store(state, needed=verified.signed)
    if verified.signed and store is not None:
        refuse_below_floor(verified, store)
    screened = None
    if isinstance(device, str):
        screened = _test(verified, store, self_test, device, threads, fallback)
    return Admitted(verified, store, screened)


def refuse_below_floor(bundle: VerifiedBundle, store: StateStore) -> int:
    """Refuses a bundle whose epoch lies below what this device has run before.

    Returns:
        The floor.

    Raises:
        DowngradeError: It does.
        StateError: The store cannot be read.
    """
    from edgekit.trust.policy import refuse_downgrade

    floor = store.floor(bundle.manifest.name)
    refuse_downgrade(bundle.manifest, floor)
    return floor


def open_store(state: State) -> StateStore:
    """The state store that the user means.

    Raises:
        StateError: No folder was named, and this user has no home.
    """
    from edgekit.state import StateStore

    if isinstance(state, StateStore):
        return state
    if not isinstance(state, (str, os.PathLike, type(None))):
        raise StateError(
            f"state is a folder or a StateStore, and is {type(state).__name__}",
            hint="give the path of a folder",
        )
    return StateStore(state)


def _store(state: State, *, needed: bool) -> StateStore | None:
    """The store; None where it is not needed and cannot be had."""
    try:
        return open_store(state)
    except StateError:
        if needed:
            raise
        return None


def run_self_test(
    bundle: VerifiedBundle,
    store: StateStore | None,
    *,
    device: str = "auto",
    threads: int | None = None,
    fallback: bool = False,
) -> SelfTestReport:
    """Runs the self-test, and remembers that it was passed.

    Raises:
        SelfTestError: It was not.
        StateError: The bundle is signed, and the store cannot be written.
        EdgekitError: The runtime or the device cannot run it.
    """
    from edgekit.selftest.conduct import self_test
    from edgekit.selftest.planning import record_key

    report = self_test(bundle, device=device, threads=threads, fallback=fallback)
    if report.tested and store is not None:
        key = record_key(_identity(bundle), report.runtime, report.kernels, report.device)
        # What is not remembered is tested again: no harm for a bundle whose origin nobody vouches for.
        with nullcontext() if bundle.signed else suppress(StateError):
            store.record_passed(key)
    return report


def _test(
    bundle: VerifiedBundle,
    store: StateStore | None,
    when: When,
    device: str,
    threads: int | None,
    fallback: bool,
) -> str | None:
    """Runs the self-test where it has not been passed yet, or is wanted always.

    Returns:
        The device that it was passed on, now or before: the child puts the model through the firewall first.
    """
    if when == "never" or bundle.manifest.golden is None:
        return None
    if when == "once" and store is not None:
        passed = _passed_on(bundle, store, device, fallback)
        if passed is not None:
            return passed
    return run_self_test(bundle, store, device=device, threads=threads, fallback=fallback).device


def _passed_on(bundle: VerifiedBundle, store: StateStore, device: str, fallback: bool) -> str | None:
    """The device that it would run on, where the store knows that it passed there."""
    from edgekit.selftest.planning import planned, record_key

    plan = planned(bundle, device=device, fallback=fallback)
    with nullcontext() if bundle.signed else suppress(StateError):
        key = record_key(_identity(bundle), plan.runtime, plan.kernels, plan.device)
        return plan.device if store.has_passed(key) else None
    return None


def _identity(bundle: VerifiedBundle) -> str:
    """What the record names: what was signed, which covers every member; else the whole file, by BLAKE2b-256."""
    if bundle.payload_digest is not None:
        return bundle.payload_digest
    try:
        from _blake2 import blake2b  # as hashlib has it, which loads OpenSSL first: 3 ms
    except ImportError:
        from hashlib import blake2b
    return blake2b(bundle.data, digest_size=32).hexdigest()
