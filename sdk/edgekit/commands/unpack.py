"""``edgekit unpack``: a bundle's members as plain files."""

from __future__ import annotations

import click

from edgekit import console


@click.command()
@click.argument("bundle")
@click.option("-o", "--output", metavar="FOLDER", required=True, help="A new folder, or an empty one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def unpack(bundle: str, output: str, as_json: bool) -> None:
    """Write a bundle's members to a folder, as any OpenSSF Model Signing verifier takes them.

    Nothing is verified, and nothing is run. A signed bundle's folder passes the official verifier:

    \b
      edgekit unpack cats.edgekit -o cats
      model_signing verify key cats --signature cats/signature.json --public_key release.pub.pem
    """  # noqa: D301 -- click keeps the lines after \b as they are
    from pathlib import Path

    from edgekit.archive import DEFAULT_LIMITS
    from edgekit.bundle import read_unverified
    from edgekit.errors import BundleError
    from edgekit.files import read_capped
    from edgekit.folders import write_folder_atomically

    data = read_capped(Path(bundle), DEFAULT_LIMITS.total)
    try:
        members = read_unverified(data).members
    except BundleError as error:
        raise type(error)(f"{bundle}: {error}", hint=error.hint) from error
    write_folder_atomically(Path(output), members)
    if as_json:
        sizes = {name: len(content) for name, content in members.items()}
        console.print_json({"folder": output, "members": sizes, "verified": False})
        return
    console.status(f"{bundle} is UNVERIFIED: unpacking checks no signature")
    click.echo(
        console.table([(name, f"{len(content):,}") for name, content in members.items()], ("member", "bytes"))
    )
