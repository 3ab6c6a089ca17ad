"""What every command that executes a bundle shares: whom to trust, what to run it on, and opening it by that."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgekit import console

if TYPE_CHECKING:
    from edgekit.session import Session

F = TypeVar("F", bound=Callable[..., Any])


def trust_options(command: F) -> F:
    """Add ``--trust`` and ``--unsigned`` to a click command, which gets them as `trust` and `unsigned`."""
    command = click.option(
        "--unsigned", is_flag=True, help="Run it although nothing proves where it comes from."
    )(command)
    return click.option(
        "--trust", metavar="KEY|FOLDER", help="The key, or the folder of keys, that must have signed it."
    )(command)


def state_option(command: F) -> F:
    """Add ``--state`` to a click command, which gets it as `state`."""
    return click.option(
        "--state", metavar="FOLDER", help="Where this device remembers security epochs and self-tests."
    )(command)


def self_test_option(command: F) -> F:
    """Add ``--self-test`` to a click command that opens a bundle, which gets it as `self_test`."""
    return click.option(
        "--self-test",
        type=click.Choice(("once", "always", "never")),
        default="once",
        show_default=True,
        help="When to run its golden inputs in a sandboxed child first.",
    )(command)


def device_options(command: F) -> F:
    """Add ``--device`` and ``--fallback`` to a click command, which gets them as `device` and `fallback`."""
    command = click.option(
        "--fallback", is_flag=True, help="Let the CPU stand in for an Edge TPU that cannot be used."
    )(command)
    return click.option(
        "--device", default="auto", show_default=True, help="auto, cpu, usb, usb:N, pci or pci:N."
    )(command)


def open_bundle(bundle: str, trust: str | None, *, unsigned: bool, **options: Any) -> Session:
    """Open a bundle as the command line says, without the runtime's banner.

    Args:
        bundle: Path of the .edgekit file.
        trust: What ``--trust`` was given.
        unsigned: Whether ``--unsigned`` was.
        options: Further keywords of `edgekit.load`.

    Raises:
        click.UsageError: Both were given.
        EdgekitError: Whatever `edgekit.load` raises.
    """
    import warnings

    from edgekit.backends.banner import without_banner
    from edgekit.opening import load
    from edgekit.trust import UNSIGNED, UnsignedBundleWarning

    if trust is not None and unsigned:
        raise click.UsageError("--trust and --unsigned exclude each other")
    with warnings.catch_warnings():
        if unsigned:  # said once, and not with the source line that a Python warning shows
            warnings.simplefilter("ignore", UnsignedBundleWarning)
        with without_banner():
            session = load(bundle, trust=UNSIGNED if unsigned else trust, **options)
    if unsigned:
        console.status(f"{bundle} runs unsigned: nothing shows who made it")
    if session.fallback is not None:
        console.status(f"runs on the CPU: {session.fallback}")
    return session
