"""``edgekit certify``: a bundle on the processors of its boards, before it leaves the workstation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgekit import console
from edgekit.devices import device_dir_option, device_folders

if TYPE_CHECKING:
    from pathlib import Path

    from edgekit.bundle import UnverifiedBundle
    from edgekit_converters.certify.certificate import Certificate

EPILOG = """\
\b
For instance:
  edgekit certify cats.edgekit --target raspberry-pi-4 --target linux-armhf
  edgekit certify cats.edgekit --target raspberry-pi-4/trixie --data photos/*.jpg -o certified.edgekit

\b
Tolerances are LiteRT's kernels or another runtime, with int8 steps or the share of
samples on which the highest value is the same:
  reference=0  xnnpack=1  builtin=99%  tflite-runtime=99%  tflite-micro=99%
  golden=0     (x86-64 against the answers that the bundle recorded)

\b
The systems of the boards are built once, into $EDGEKIT_CACHE or ~/.cache/edgekit
(some 20 s and 180 MB each). They need, on Debian or Ubuntu:
  sudo apt-get install -y --no-install-recommends qemu-user-static mmdebstrap uidmap
"""


@click.command(epilog=EPILOG)
@click.argument("bundle", type=click.Path(), required=False)
@click.argument("more", metavar="", nargs=-1)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME[/SYSTEM]",
    help="A board; may be said again. Default: the targets that the bundle was made for.",
)
@device_dir_option
@click.option(
    "--data",
    multiple=True,
    metavar="FILE...",
    help="Raw samples beside the golden ones, as edgekit run takes them: several files, or said again.",
)
@click.option(
    "--output", "-o", type=click.Path(), metavar="FILE", help="The bundle to write. Default: BUNDLE itself."
)
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="KERNELS=LIMIT",
    help="What is no fault: int8 steps, or a share as in 99%; see below.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(1, 86400),
    default=600.0,
    show_default=True,
    help="Seconds that one program on a board may take.",
)
@click.option("--prepare", is_flag=True, help="Only build the systems of the boards; needs no BUNDLE.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def certify(
    context: click.Context,
    bundle: str | None,
    more: tuple[str, ...],
    targets: tuple[str, ...],
    device_dirs: tuple[str, ...],
    data: tuple[str, ...],
    output: str | None,
    tolerances: tuple[str, ...],
    timeout: float,
    prepare: bool,
    as_json: bool,
) -> None:
    """Run a bundle on the emulated processors of its boards, and put what came out into it.

    The golden inputs of BUNDLE (and your own samples) run on x86-64 and under QEMU, with LiteRT's three sets of
    kernels or with tflite-runtime, and the answers are compared value by value. The exit code is 3, and nothing is
    written, where a board does not start or differs by more than is allowed.
    """
    from pathlib import Path

    from edgekit.files import ensure_writable, refuse_inputs
    from edgekit_converters.certify.certifying import Request
    from edgekit_converters.certify.certifying import certify as run
    from edgekit_converters.certify.compare import parse_tolerances
    from edgekit_converters.progress import Progress

    if more and not data:  # the files that a shell makes of --data photos/*.jpg
        raise click.UsageError(
            f"Got unexpected extra argument{'s' * (len(more) > 1)} ({' '.join(more)})", context
        )
    folders = device_folders(device_dirs)
    progress = Progress(console.status, console.progress)
    if prepare and bundle is None:
        _prepare(targets, folders, progress, as_json)
        return
    if bundle is None:
        raise click.UsageError("Missing argument 'BUNDLE'.", context)
    allowed = parse_tolerances(tolerances)
    unverified = _read(bundle)
    if prepare:
        _prepare(targets or unverified.manifest.targets, folders, progress, as_json)
        return
    place = Path(output or bundle)
    ensure_writable(place)
    refuse_inputs(place, {Path(name): "one of the samples" for name in (*data, *more)})
    request = Request(
        targets=targets or unverified.manifest.targets,
        device_dirs=folders,
        data=(*data, *more),
        tolerances=allowed,
        timeout_s=timeout,
    )
    _finish(context, run(unverified, request, progress), unverified, place, as_json)


def _read(path: str) -> UnverifiedBundle:
    from edgekit.bundle import read_unverified
    from edgekit.errors import BundleError
    from edgekit.files import read_capped
    from edgekit_converters.certify.certifying import refuse_signed

    data = read_capped(path)
    try:
        bundle = read_unverified(data)
    except BundleError as error:
        raise type(error)(f"{path}: {error}", hint=error.hint) from error
    refuse_signed(bundle)
    return bundle


def _prepare(targets: tuple[str, ...], folders: tuple[Path, ...], progress: object, as_json: bool) -> None:
    from edgekit_converters.certify.certifying import STANDARD, plan, prepare_systems
    from edgekit_converters.progress import Progress

    assert isinstance(progress, Progress)
    systems = prepare_systems(plan(targets or STANDARD, folders).boards, progress)
    if as_json:
        console.print_json({"systems": {name: str(system.folder) for name, system in systems.items()}})
    else:
        click.echo(
            console.table([(name, system.folder) for name, system in systems.items()], ("system", "folder"))
        )


def _finish(
    context: click.Context,
    certificate: Certificate,
    bundle: UnverifiedBundle,
    place: Path,
    as_json: bool,
) -> None:
    """Writes the bundle if nothing is wrong, and prints what came out in either case."""
    from edgekit.cli import report
    from edgekit.errors import CertificateContractError
    from edgekit.files import write_atomically
    from edgekit_converters.certify.certifying import hold, with_certificate
    from edgekit_converters.certify.text import render

    broken = None
    try:
        hold(certificate)
    except CertificateContractError as error:
        broken = error
    else:
        write_atomically(place, with_certificate(bundle, certificate))
    if not as_json:
        click.echo(render(certificate))
        if broken is not None:
            raise broken
        click.echo(f"\nwrote {place}, with its certificate")
        return
    answer = certificate.to_json()
    if broken is None:
        console.print_json(answer)
        return
    told = {"kind": type(broken).__name__, "message": str(broken), "hint": broken.hint}
    console.print_json(answer | {"error": told})
    context.exit(report(broken, as_json=False))
