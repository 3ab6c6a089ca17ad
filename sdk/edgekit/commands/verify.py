"""``edgekit verify``: every check of a signed bundle, and what it says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgekit import console
from edgekit.commands.opening import state_option

if TYPE_CHECKING:
    from edgekit.trust import Trust, VerifiedBundle
    from edgekit.trust.keys import PublicKey

NO_TIME = "not shown: a signature made with a key carries no time that can be trusted"


@click.command()
@click.argument("bundle")
@click.option(
    "--trust", metavar="KEY|FOLDER", help="The key, or the folder of keys, that must have signed it."
)
@click.option("--self-test", is_flag=True, help="Also run its golden inputs in a sandboxed child process.")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="With --self-test: auto, cpu, usb, usb:N, pci or pci:N.",
)
@state_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(
    bundle: str, trust: str | None, self_test: bool, device: str, state: str | None, as_json: bool
) -> None:
    """Check a bundle's signature, and tell who signed what, and when.

    Every check that a device makes before it runs the bundle is made here, also against the security epochs that this
    machine remembers; nothing is remembered but a passed self-test.

    \b
      edgekit verify cats.edgekit --trust release.pub.pem
      edgekit verify cats.edgekit --trust /etc/edgekit/trust.d --self-test
    """  # noqa: D301 -- click keeps the lines after \b as they are
    from pathlib import Path

    from edgekit.admission import open_store, refuse_below_floor, run_self_test
    from edgekit.bundle import read_unverified
    from edgekit.errors import BundleError, MalformedModelError, TrustError
    from edgekit.files import read_capped

    if device != "auto" and not self_test:
        raise click.UsageError("--device needs --self-test")
    data = read_capped(Path(bundle))
    try:
        unverified = read_unverified(data)
        pinned = _trust(trust)
        verified = pinned.check(unverified)
        floor = refuse_below_floor(verified, store := open_store(state))
        models = _check_models(verified)
        tested = run_self_test(verified, store, device=device) if self_test else None
    except (BundleError, TrustError, MalformedModelError) as error:
        raise type(error)(f"{bundle}: {error}", hint=error.hint) from error
    epoch = verified.manifest.security_epoch
    passed = (
        *verified.checks,
        f"its security epoch, {epoch}, is not below this machine's floor, {floor}",
        *models,
    )
    checks = passed if tested is None else (*passed, f"self-test: {tested.sentence}")
    (key,) = (key for key in pinned.keys if key.fingerprint == verified.signer)
    if as_json:
        console.print_json(
            {**_as_json(bundle, verified, key, floor, checks), "self_test": tested and tested.to_json()}
        )
    else:
        click.echo(_as_text(bundle, verified, key, checks))


def _trust(path: str | None) -> Trust:
    """The keys of ``--trust``.

    Raises:
        TrustRequiredError: It was not given.
        KeyFileError: They cannot be read.
    """
    from edgekit.errors import TrustRequiredError
    from edgekit.trust import Trust

    if path is None:
        hint = "give the maker's public key, or a folder of keys: --trust KEY|FOLDER"
        raise TrustRequiredError("nothing says whose signature this bundle must have", hint=hint)
    return Trust.read(path)


def _check_models(bundle: VerifiedBundle) -> tuple[str, ...]:
    """Shows every model to the firewall.

    Raises:
        MalformedModelError: It refuses one.
    """
    from edgekit.bundle import VARIANTS
    from edgekit.firewall import check_variant

    variants = [name for name in VARIANTS if name in bundle.members]
    for name in variants:
        check_variant(name, bundle.members[name])
    return tuple(f"{name} is soundly built, and holds only operators that may run" for name in variants)


def _as_json(
    path: str, bundle: VerifiedBundle, key: PublicKey, floor: int, checks: tuple[str, ...]
) -> dict[str, object]:
    manifest = bundle.manifest
    return {
        "bundle": path,
        "verified": True,
        "name": manifest.name,
        "version": manifest.version,
        "security_epoch": manifest.security_epoch,
        "floor": floor,
        "targets": list(manifest.targets),
        "signer": {"fingerprint": bundle.signer, "key": key.origin, "curve": key.curve.name},
        "signed_at": None,
        "payload_digest": bundle.payload_digest,
        "digest": bundle.digest,
        "checks": list(checks),
    }


def _as_text(path: str, bundle: VerifiedBundle, key: PublicKey, checks: tuple[str, ...]) -> str:
    manifest = bundle.manifest
    facts = (
        ("name", f"{manifest.name} {manifest.version}"),
        ("signed by", f"{key.origin} ({key.curve.name})"),
        ("fingerprint", bundle.signer or ""),
        ("signed at", NO_TIME),
        ("payload digest", bundle.payload_digest or ""),
        ("file digest", bundle.digest),
        ("security epoch", str(manifest.security_epoch)),
        ("targets", ", ".join(manifest.targets)),
    )
    width = max(len(name) for name, _ in facts)
    lines = [f"{path}: verified", *(f"  {name:{width}}  {value}" for name, value in facts), "checks passed:"]
    return "\n".join(console.printable(line) for line in (*lines, *(f"  - {check}" for check in checks)))
