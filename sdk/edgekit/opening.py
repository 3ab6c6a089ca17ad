"""From a file to an open session: `load` reads once, establishes trust, and opens those very bytes.

Not ``load.py``: a module of that name would hide the function `edgekit.load`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from edgekit.admission import admit
from edgekit.bundle import DEFAULT_LIMITS, read_unverified
from edgekit.errors import BundleError, SelfTestError, SessionError, StateError, TrustError
from edgekit.files import read_capped
from edgekit.session import Session

if TYPE_CHECKING:
    from edgekit.admission import State, When
    from edgekit.backends.simulated import Simulation


def load(
    path: str | os.PathLike[str],
    *,
    trust: object,
    device: str | Simulation = "auto",
    threads: int | None = None,
    fallback: bool = False,
    state: State = None,
    self_test: When = "once",
) -> Session:
    """Read a bundle, establish that it may be trusted, and open its model.

    The file is read once: the bytes that are checked are the bytes that run.

    Args:
        path: The .edgekit file.
        trust: The maker's public key, as the path of a PEM file; a folder of such keys; an `edgekit.Trust` for more
            than keys; or `edgekit.UNSIGNED`, written out, to run a bundle of unproven origin. There is no default.
        device: "auto" (the Edge TPU where the bundle was compiled for one, else the CPU), "cpu", "usb", "usb:N",
            "pci", "pci:N", or an `edgekit.Simulation`.
        threads: Threads for one inference, 1 to 1024; None leaves it to the runtime.
        fallback: Whether the CPU may run the int8 model of the bundle where the Edge TPU cannot be used. The
            session and its results then say why, in `fallback`.
        state: Where the device remembers security epochs and self-tests: a folder or a `StateStore`. None takes
            $EDGEKIT_STATE, or else the usual folder of this user.
        self_test: Whether the golden inputs are run in a sandboxed child first: "once" a bundle, runtime and device,
            "always" or "never". A `Simulation` is not tested.

    Raises:
        BundleError: The file is not a canonical bundle, or has a newer format, or `path` is no path.
        TrustError: Trust was not given, or cannot be established; each reason is a class of its own.
        KeyFileError: A key cannot be read.
        StateError: The bundle is signed, and the state store cannot be used; or `state` is no such thing.
        MalformedModelError: The firewall refuses the model; no runtime has seen it.
        RuntimeNotFoundError: No TFLite runtime is installed.
        DeviceError: The Edge TPU that is wanted cannot be used, and `fallback` is False.
        SessionError: The runtime refuses the model or is too old for it, the model is not the one that the
            manifest describes, or another argument makes no sense.
    """
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise BundleError(
            f"a bundle is loaded from a path, and got {type(path).__name__}",
            hint='edgekit.load("model.edgekit", trust="release.pub.pem")',
        )
    if state is not None and not isinstance(state, (str, os.PathLike)):
        _require_store(state)
    if threads is not None:
        from edgekit.arguments import MOST_THREADS, whole

        threads = whole("threads", threads, 1, most=MOST_THREADS, error=SessionError)
    data = read_capped(path, DEFAULT_LIMITS.archive.total)
    options: dict[str, Any] = {"device": device, "threads": threads, "fallback": fallback}
    try:
        unverified = read_unverified(data)
        del data  # the bundle has it; nobody keeps it once the model is open
        admitted = admit(unverified, trust, state=state, self_test=self_test, **options, stacklevel=3)
        del unverified
    except (BundleError, TrustError) as error:
        raise type(error)(f"{os.fspath(path)}: {error}", hint=error.hint) from error
    session = Session(admitted.bundle, **options, screened=admitted.screened)
    try:
        admitted.settle()
        if admitted.screened not in (None, session.device):  # an Edge TPU came or went in between
            raise SelfTestError(
                f"the self-test ran on {admitted.screened}, and the session would run on {session.device}",
                hint="load it again, or say which device is meant: device=...",
            )
    except BaseException:  # an interrupt, too: settling may wait for another process that writes
        session.close()
        raise
    return session


def _require_store(state: object) -> None:
    from edgekit.state import StateStore

    if not isinstance(state, StateStore):
        raise StateError(
            f"state is a folder or a StateStore, and got {type(state).__name__}",
            hint="give the path of a folder, or leave state out",
        )
