"""``edgekit profile``: where a bundle's time and memory go, here or on a device over ssh."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from edgekit import console
from edgekit.commands.opening import trust_options

if TYPE_CHECKING:
    from edgekit.profiling.compare import Comparison
    from edgekit.profiling.plan import Plan
    from edgekit.profiling.record import Profile


class Numbers(click.ParamType):
    """Whole numbers from 1 with commas between them, as in 1,2,4."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Reads the numbers; each may stand there once."""
        if isinstance(value, tuple):
            return value
        words = str(value).split(",")
        if not all(word.isascii() and word.isdigit() and 0 < len(word) <= 6 and int(word) for word in words):
            self.fail(f"{value!r} is not a list of numbers such as 1,2,4", param, ctx)
        numbers = tuple(map(int, words))
        if len(set(numbers)) < len(numbers):
            self.fail(f"{value!r} names a number twice", param, ctx)
        return numbers


@click.command()
@click.argument("bundle")
@click.argument("inputs", metavar="[INPUT]...", nargs=-1)
@trust_options
@click.option("--runs", type=click.IntRange(1), default=200, show_default=True, help="Timed runs.")
@click.option("--warmup", type=click.IntRange(0), default=20, show_default=True, help="Runs before them.")
@click.option("--threads", type=Numbers(), default=(), help="Thread counts: the first is measured in full.")
@click.option("--batch", type=Numbers(), default=(), help="Samples a call, to compare batch sizes.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, usb, usb:N, pci or pci:N.")
@click.option("--fallback", is_flag=True, help="Let the CPU stand in for an Edge TPU that cannot be used.")
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
    help="With --host: edgekit on the device, such as ~/venv/bin/edgekit.",
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
    """Measure where a bundle's time and memory go, and under which conditions.

    Without INPUT the bundle's own golden inputs are run; INPUT is what `edgekit run` takes. Every configuration
    runs in a process of its own. A run that was throttled, starved or swapping is marked "do not compare".

    \b
    On this machine, with a sweep over thread counts and all operators:
      edgekit profile cats.edgekit --trust release.pub.pem --threads 1,2,4 --ops
    On a Raspberry Pi, where edgekit is installed too:
      edgekit profile cats.edgekit --trust release.pub.pem --host pi@raspberrypi.local
    Before and after a change:
      edgekit profile cats.edgekit --trust release.pub.pem -o old.json
      edgekit profile cats.edgekit --trust release.pub.pem --against old.json

    With --json the object is the profile itself; with --against it is {"profile": ..., "comparison": ...}.
    """
    if trust is not None and unsigned:
        raise click.UsageError("--trust and --unsigned exclude each other")
    if host is None and (ssh_options or remote_edgekit != "edgekit"):
        raise click.UsageError("--ssh-option and --remote-edgekit need --host")
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
    old = _read_profile(against) if against is not None else None
    _require_room(output, html, trace)
    if host is None:
        new = _measure_here(bundle, plan)
    else:
        from edgekit.profiling.remote import Remote, profile_remotely

        console.status(f"measuring on {host}")
        new = profile_remotely(bundle, plan, Remote(host, ssh_options, remote_edgekit))
    _write(new, output, html, trace)
    if not as_json:
        from edgekit.profiling.text import describe

        click.echo(describe(new))
    comparison = _compare(new, old) if old is not None else None
    if as_json:
        said: object = new.to_json()
        if comparison is not None:
            said = {"profile": said, "comparison": comparison.to_json()}
        console.print_json(said)
    elif comparison is not None:
        click.echo(f"\nagainst {against}: {_sentence(comparison)}")


def _given(name: str) -> bool:
    """Whether the user wrote the option out."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not click.core.ParameterSource.DEFAULT


def _measure_here(bundle: str, plan: Plan) -> Profile:
    from pathlib import Path

    from edgekit.backends.banner import without_banner
    from edgekit.profiling.conduct import profile_bundle

    total = len(plan.steps) + (plan.ops is not None)
    with console.progress("measuring", total=total) as step:
        measured = profile_bundle(Path(bundle), plan, step, _quietly=without_banner)
    if plan.unsigned:
        console.status(f"{bundle} ran unsigned: nothing shows who made it")
    return measured


def _read_profile(path: str) -> Profile:
    """An earlier profile, read before anything is measured.

    Raises:
        ProfileError: It cannot be read.
    """
    from pathlib import Path

    from edgekit.errors import ProfileError
    from edgekit.files import read_capped
    from edgekit.profiling.record import MAX_BYTES, Profile

    return Profile.from_bytes(read_capped(Path(path), MAX_BYTES, error=ProfileError), path)


def _compare(new: Profile, old: Profile) -> Comparison:
    from edgekit.profiling.compare import compare

    return compare(new, old)


def _sentence(comparison: Comparison) -> str:
    also = f"\nalso changed: {', '.join(comparison.also_changed)}" if comparison.also_changed else ""
    return console.printable(comparison.explanation) + console_lines(also)
