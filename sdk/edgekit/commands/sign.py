"""``edgekit sign``: a bundle that devices can trust."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import click

from edgekit import console
from edgekit.commands.passphrase import ask_passphrase, given_passphrase, passphrase_options

if TYPE_CHECKING:
    from pathlib import Path

    from edgekit.trust.signing import Signer


@click.command()
@click.argument("bundle")
@click.option(
    "--key", metavar="FILE", required=True, help="The private key, or the pkcs11: URI of one on a token."
)
@click.option("-o", "--output", metavar="FILE", help="Write the signed bundle there, not in place of BUNDLE.")
@click.option("--replace", is_flag=True, help="Replace the signature that the bundle has.")
@passphrase_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def sign(
    bundle: str,
    key: str,
    output: str | None,
    replace: bool,
    passphrase_file: str | None,
    passphrase_env: str | None,
    as_json: bool,
) -> None:
    """Sign a bundle, so that devices that trust your key run it.

    The signature covers every member of the bundle, and is an OpenSSF Model Signing v1.0 bundle: `edgekit unpack`
    writes a folder that any verifier of that format takes. What was signed is checked, as a device will, before
    anything is written.

    \b
    With a key file, or with a key on a token (extra 'pkcs11'; its PIN counts as the passphrase):
      edgekit sign cats.edgekit --key keys/release.key.pem
      edgekit sign cats.edgekit --key 'pkcs11:token=release;object=edgekit?module-path=/usr/lib/libykcs11.so'
    """  # noqa: D301 -- click keeps the lines after \b as they are
    import os
    from pathlib import Path

    from edgekit.archive import DEFAULT_LIMITS
    from edgekit.errors import BundleError, TrustError
    from edgekit.files import ensure_writable, read_capped, refuse_inputs, write_atomically
    from edgekit.trust.signing import sign_bundle

    # In place means the file itself, also where a symbolic link leads to it.
    target = Path(os.path.realpath(bundle)) if output is None else Path(output)
    data = read_capped(Path(bundle), DEFAULT_LIMITS.total)
    ensure_writable(target)
    secrets = ((key, "the key"), (passphrase_file, "the file with the passphrase"))
    refuse_inputs(target, {Path(name): what for name, what in secrets if name is not None})
    if output is not None:
        _refuse_other_files(target)
    with _signer(key, given_passphrase(passphrase_file, passphrase_env)) as signer:
        try:
            signed = sign_bundle(data, signer, replace=replace)
        except (BundleError, TrustError) as error:
            raise type(error)(f"{bundle}: {error}", hint=error.hint) from error
    write_atomically(target, signed.data)
    manifest, written = signed.manifest, bundle if output is None else output
    if as_json:
        console.print_json(
            {
                "bundle": written,
                "name": manifest.name,
                "version": manifest.version,
                "security_epoch": manifest.security_epoch,
                "signer": signed.signer,
                "payload_digest": signed.payload_digest,
                "digest": signed.digest,
            }
        )
        return
    click.echo(
        console.printable(
            f"{written}: {manifest.name} {manifest.version}, security epoch {manifest.security_epoch}, is signed"
        )
    )
    click.echo(f"key fingerprint: {signed.signer}")
    click.echo(f"payload digest:  {signed.payload_digest}")


def _refuse_other_files(target: Path) -> None:
    """Refuses to replace a file that is no bundle: somebody mistook the name.

    Raises:
        OutputError: There is such a file.
    """
    from edgekit.bundle import read_unverified
    from edgekit.errors import BundleError, OutputError
    from edgekit.files import read_capped

    if not target.exists():
        return
    try:
        read_unverified(read_capped(target))
    except BundleError:
        hint = "choose another name, or remove that file first"
        raise OutputError(
            f"cannot write {target}: it is there already, and is no bundle", hint=hint
        ) from None


def _signer(key: str, passphrase: str | None) -> AbstractContextManager[Signer]:
    """The key, unlocked; the passphrase is asked for where it is needed and was not given.

    Raises:
        KeyFileError: It cannot be used.
    """
    from edgekit.trust.pkcs11 import SCHEME, TokenUri, open_token_key

    if key.startswith(SCHEME):
        uri = TokenUri.parse(key)
        pin = ask_passphrase("PIN of the token", confirm=False) if passphrase is None else passphrase
        return open_token_key(uri, pin)

    from pathlib import Path

    from edgekit.errors import KeyFileError
    from edgekit.files import read_capped
    from edgekit.trust.keys import MAX_BYTES
    from edgekit.trust.private import PrivateKey, is_encrypted

    data = read_capped(Path(key), MAX_BYTES, error=KeyFileError)
    if passphrase is None and is_encrypted(data):
        passphrase = ask_passphrase(f"passphrase of {key}", confirm=False)
    return nullcontext(PrivateKey.from_pem(data, None if passphrase is None else passphrase.encode(), key))
