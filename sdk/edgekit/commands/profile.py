"""``edgekit profile``: where a bundle's time and memory go, here or on a device over ssh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit import console
from edgekit.arguments import MOST_THREADS
from edgekit.commands.opening import device_options, trust_options

if TYPE_CHECKING:
    from pathlib import Path

    from edgekit.errors import ProfileError
    from edgekit.profiling.compare import Comparison
    from edgekit.profiling.plan import Plan
    from edgekit.profiling.record import Profile

    NumbersType = click.ParamType[tuple[int, ...]]
else:
    NumbersType = click.ParamType  # which takes no parameter before click 8.3


_EXAMPLES = """\
\b
On this machine, with a sweep over thread counts and all operators:
  edgekit profile cats.edgekit --trust release.pub.pem --threads 1,2,4 --ops
On a Raspberry Pi, where edgekit is installed too:
  edgekit profile cats.edgekit --trust release.pub.pem --host pi@raspberrypi.local
Before and after a change:
  edgekit profile cats.edgekit --trust release.pub.pem -o old.json
  edgekit profile cats.edgekit --trust release.pub.pem --against old.json
"""


class Numbers(NumbersType):
    """Whole numbers from 1 with commas between them, as in 1,2,4."""

    name = "N,N,..."

    def __init__(self, most: int = 999_999) -> None:
        self._most = most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Reads the numbers; each may stand there once."""
        if isinstance(value, tuple):
            return value
        words = str(value).split(",")
        if not all(word.isascii() and word.isdigit() and 0 < len(word) <= 6 and int(word) for word in words):
            self.fail(f"{value!r} is not a list of numbers such as 1,2,4", param, ctx)
        numbers = tuple(map(int, words))
        if max(numbers) > self._most:
            self.fail(f"{max(numbers)} is more than {self._most}", param, ctx)
        if len(set(numbers)) < len(numbers):
            self.fail(f"{value!r} names a number twice", param, ctx)
        return numbers


@click.command(epilog=_EXAMPLES)
@click.argument("bundle")
@click.argument("inputs", metavar="[INPUT]...", nargs=-1)
@trust_options
@click.option("--runs", type=click.IntRange(1), default=200, show_default=True, help="Timed runs.")
@click.option("--warmup", type=click.IntRange(0), default=20, show_default=True, help="Runs before them.")
@click.option(
    "--threads",
    type=Numbers(most=MOST_THREADS),
    default=(),
    help="Thread counts: the first is measured in full.",
)
@click.option("--batch", type=Numbers(), default=(), help="Samples a call, to compare batch sizes.")
@device_options
@click.option("--ops", is_flag=True, help="Time every operator too.")
@click.option(
    "--ops-method",
    type=click.Choice(("auto", "litert", "prefix")),
    default="auto",
    show_default=True,
    help="How to time operators: LiteRT's own profiler, or differences between prefixes of the model.",
)
@click.option("--against", metavar="OLD.json", help="Tell whether it is faster or slower than that profile.")
@click.option("--host", metavar="[USER@]HOST", help="Measure on that device, over ssh.")
@click.option(
    "--ssh-option",
    "ssh_options",
    metavar="KEY=VALUE",
    multiple=True,
    help="With --host: an option of ssh (its -o), such as Port=2222; may be repeated.",
)
@click.option(
    "--remote-edgekit",
    metavar="PATH",
    default="edgekit",
    show_default=True,
    help="With --host: edgekit on the device, such as venv/bin/edgekit, which lies in the home folder.",
)
@click.option("-o", "--output", metavar="PROFILE.json", help="Write the profile to this file.")
@click.option("--html", metavar="PAGE.html", help="Write a page with plots; it needs no network.")
@click.option("--trace", metavar="TRACE.json", help="Write a trace for https://ui.perfetto.dev.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def profile(
    bundle: str,
    inputs: tuple[str, ...],
    trust: str | None,
    unsigned: bool,
    runs: int,
    warmup: int,
    threads: tuple[int, ...],
    batch: tuple[int, ...],
    device: str,
    fallback: bool,
    ops: bool,
    ops_method: str,
    against: str | None,
    host: str | None,
    ssh_options: tuple[str, ...],
    remote_edgekit: str,
    output: str | None,
    html: str | None,
    trace: str | None,
    as_json: bool,
) -> None:
    """Measure where a bundle's time goes on this machine, or on a device over ssh.

    Without INPUT the bundle's own golden inputs are run; INPUT is what `edgekit run` takes. Every configuration
    runs in a process of its own. A run that was throttled, starved or swapping is marked "do not compare".
    Files are written all or none, and only after everything was measured.

    With --json the object is the profile itself; with --against it is {"profile": ..., "comparison": ...}.
    """
    if trust is not None and unsigned:
        raise click.UsageError("--trust and --unsigned exclude each other")
    if host is None and (ssh_options or remote_edgekit != "edgekit"):
        raise click.UsageError("--ssh-option and --remote-edgekit need --host")
    from pathlib import Path

    from edgekit.profiling.outputs import Outputs
    from edgekit.profiling.plan import Plan

    plan = Plan(
        trust=trust,
        unsigned=unsigned,
        inputs=inputs,
        runs=runs,
        warmup=warmup,
        threads=threads,
        batches=batch,
        device=device,
        fallback=fallback,
        ops=ops_method if ops or _given("ops_method") else None,
    )
    outputs = Outputs(*(None if name is None else Path(name) for name in (output, html, trace)))
    outputs.require_room(_read_files(bundle, plan, against))
    old = _read_old(Path(against), runs) if against is not None else None
    if host is None:
        new = _measure_here(bundle, plan)
    else:
        from edgekit.profiling.remote import Remote, profile_remotely

        new = profile_remotely(bundle, plan, Remote(host, ssh_options, remote_edgekit))
    if unsigned:
        console.status(f"{bundle} ran unsigned: nothing shows who made it")
    comparison, refusal = _compare(new, old)
    if not as_json:  # before anything is written, which can fail
        _show(new, comparison, host, against)
    for path in outputs.write(new, comparison):
        console.status(f"wrote {path}")
    if refusal is not None:
        raise refusal
    if as_json:
        said = new.to_json()
        console.print_json(
            said if comparison is None else {"profile": said, "comparison": comparison.to_json()}
        )


def _given(name: str) -> bool:
    """Whether the user wrote the option out."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not click.core.ParameterSource.DEFAULT


def _read_files(bundle: str, plan: Plan, against: str | None) -> dict[Path, str]:
    """The files that are read and must not be written to, each with what it is."""
    from pathlib import Path

    files = {Path(bundle): "the bundle"}
    for word in plan.inputs:
        files |= dict.fromkeys((Path(word), Path(word.partition("=")[2] or word)), "an input")
    if plan.trust is not None:
        files[Path(plan.trust)] = "the trusted key"
    if against is not None:
        files[Path(against)] = "the profile to compare with"
    return files


def _read_old(path: Path, runs: int) -> Profile:
    """The profile to compare with, read before anything is measured.

    Raises:
        ProfileError: It cannot be read, or no new profile of so many runs could be compared with it.
    """
    from edgekit.errors import ProfileError
    from edgekit.files import read_capped
    from edgekit.profiling.compare import refuse_hopeless
    from edgekit.profiling.record import MAX_BYTES, Profile

    old = Profile.from_bytes(read_capped(path, MAX_BYTES, error=ProfileError), str(path))
    refuse_hopeless(old, runs)
    return old


def _measure_here(bundle: str, plan: Plan) -> Profile:
    from pathlib import Path

    from edgekit.backends.banner import without_banner
    from edgekit.profiling.conduct import profile_bundle

    total = len(plan.steps) + (plan.ops is not None)
    with console.progress("measuring", total=total) as step:
        return profile_bundle(Path(bundle), plan, step, quietly=without_banner)


def _compare(new: Profile, old: Profile | None) -> tuple[Comparison | None, ProfileError | None]:
    """The comparison, or why there is none: the new profile is kept and shown even so."""
    from edgekit.errors import ProfileError
    from edgekit.profiling.compare import compare

    try:
        return (None if old is None else compare(new, old)), None
    except ProfileError as refusal:
        return None, refusal


def _show(new: Profile, comparison: Comparison | None, host: str | None, against: str | None) -> None:
    """Prints the profile, and the comparison below it."""
    from edgekit.profiling.text import describe

    if host is not None:
        click.echo(f"measured over ssh on {console.printable(host)}")
    click.echo(describe(new))
    if comparison is not None:
        click.echo(
            f"\nagainst {console.printable(against or '')}: {console.printable(comparison.explanation)}"
        )
        for change in comparison.also_changed:
            click.echo(f"also changed: {console.printable(change)}")
