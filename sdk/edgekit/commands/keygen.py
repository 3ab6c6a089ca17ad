"""``edgekit keygen``: a pair of keys, the private one encrypted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgekit import console
from edgekit.commands.passphrase import ask_passphrase, given_passphrase, passphrase_options

if TYPE_CHECKING:
    from pathlib import Path

    from edgekit.trust.private import PrivateKey


@click.command()
@click.option("-o", "--output", metavar="NAME", required=True, help="Write NAME.key.pem and NAME.pub.pem.")
@click.option(
    "--curve",
    type=click.Choice(("p256", "p384", "p521")),
    default="p256",
    show_default=True,
    help="The curve of the key.",
)
@passphrase_options
@click.option("--no-passphrase", is_flag=True, help="Leave the private key unencrypted.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def keygen(
    output: str,
    curve: str,
    passphrase_file: str | None,
    passphrase_env: str | None,
    no_passphrase: bool,
    as_json: bool,
) -> None:
    """Make a pair of keys to sign bundles with.

    NAME.key.pem is the private key; it stays on the machine that signs. NAME.pub.pem goes to every device that
    shall run what you sign. Files that are there are never overwritten.

    \b
      edgekit keygen -o keys/release
      edgekit sign cats.edgekit --key keys/release.key.pem
      edgekit run cats.edgekit photo.jpg --trust keys/release.pub.pem
    """  # noqa: D301 -- click keeps the lines after \b as they are
    from edgekit.trust.keys import CURVES
    from edgekit.trust.private import PrivateKey

    if no_passphrase and (passphrase_file is not None or passphrase_env is not None):
        raise click.UsageError("--no-passphrase excludes --passphrase-file and --passphrase-env")
    private, public = _names(output)
    _refuse_existing(private, public)
    passphrase = given_passphrase(passphrase_file, passphrase_env)
    if passphrase is None and not no_passphrase:
        passphrase = ask_passphrase(f"passphrase for {private}", confirm=True)
    (chosen,) = (known for known in CURVES if known.word == curve)
    key = PrivateKey.generate(chosen)
    _write(key, None if passphrase is None else passphrase.encode(), private, public)
    if passphrase is None:
        console.status(f"{private} is not encrypted: whoever reads it can sign as you")
    if as_json:
        said = {
            "private": private,
            "public": public,
            "curve": chosen.name,
            "fingerprint": key.public.fingerprint,
        }
        console.print_json({**said, "encrypted": passphrase is not None})
        return
    click.echo(console.printable(f"{private}: the private key, for this machine alone"))
    click.echo(console.printable(f"{public}: the public key, for every device that shall trust it"))
    click.echo(f"fingerprint: {key.public.fingerprint} ({chosen.name})")


def _names(output: str) -> tuple[Path, Path]:
    """The private and the public file of a name, which may be that of either file.

    Raises:
        OutputError: It is no name, or that of a folder.
    """
    from pathlib import Path

    from edgekit.errors import OutputError

    name = output
    for ending in (".key.pem", ".pub.pem"):
        if output.endswith(ending):
            name = output.removesuffix(ending)
    if name.rpartition("/")[2] in ("", ".", "..") or Path(name).is_dir():
        hint = "give the name that both files shall begin with, such as -o keys/release"
        raise OutputError(f"cannot write keys to {output!r}: it names no file", hint=hint)
    return Path(f"{name}.key.pem"), Path(f"{name}.pub.pem")


def _refuse_existing(private: Path, public: Path) -> None:
    """Refuses names that are taken, or cannot be written, before anybody is asked for a passphrase.

    Raises:
        OutputError: One of them is.
    """
    from edgekit.errors import OutputError
    from edgekit.files import ensure_writable

    for path in (private, public):
        if path.is_symlink() or path.exists():
            hint = "choose another name; a key that signed bundles is not made again"
            raise OutputError(
                f"cannot write {path}: it is there already, and keys are not overwritten", hint=hint
            )
        ensure_writable(path)


def _write(key: PrivateKey, passphrase: bytes | None, private: Path, public: Path) -> None:
    """Writes both files, or none.

    Raises:
        KeyFileError: The passphrase is too short.
        OutputError: One of them cannot be written.
    """
    from edgekit.errors import OutputError
    from edgekit.files import write_atomically

    write_atomically(private, key.to_pem(passphrase), overwrite=False, mode=0o600)
    try:
        write_atomically(public, key.public.pem, overwrite=False)
    except OutputError:
        private.unlink()
        raise
