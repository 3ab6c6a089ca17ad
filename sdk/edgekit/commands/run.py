"""``edgekit run``: a bundle on files, and its answers as a table or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from edgekit import console
from edgekit.arguments import MOST_THREADS
from edgekit.commands.opening import (
    device_options,
    open_bundle,
    self_test_option,
    state_option,
    trust_options,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit.result import Result
    from edgekit.session import Session

FEW_VALUES = 8  # as many as fit beside a file name on one line


@click.command()
@click.argument("bundle")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@trust_options
@state_option
@self_test_option
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="How many labels to show.")
@click.option("--threads", type=click.IntRange(1, MOST_THREADS), help="Threads for one inference.")
@device_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run(
    bundle: str,
    inputs: tuple[str, ...],
    trust: str | None,
    unsigned: bool,
    state: str | None,
    self_test: str,
    top: int,
    threads: int | None,
    device: str,
    fallback: bool,
    as_json: bool,
) -> None:
    """Run a bundle on images, sounds or arrays.

    Each INPUT is an image, a .wav file, or an .npy array that holds one sample or, along its first axis, a
    batch of them. For a model with several inputs write NAME=FILE for each of them.
    """
    told = {"state": state, "self_test": self_test, "device": device, "fallback": fallback}
    session = open_bundle(bundle, trust, unsigned=unsigned, threads=threads, **told)
    with session:
        answers = _answers(session, inputs, top)
        if as_json:
            ran_on = {"device": session.device, "runtime": session.runtime, "fallback": session.fallback}
            results = [_entry(*answer) for answer in answers]
            console.print_json({"bundle": bundle, **ran_on, "results": results})
        else:
            rows = [_row(*answer, top) for answer in answers]
            click.echo(console.table(rows, ("input", "int8 answer", "ms")))


def _answers(session: Session, words: Sequence[str], top: int) -> Iterator[tuple[str, Result]]:
    """Run every sample in turn; the first bad one ends it, named in the error."""
    from edgekit.errors import InputError
    from edgekit.inputs import plan_feeds, read_feed

    specs = session.manifest.inputs
    feeds = plan_feeds(words, specs)
    with console.progress("running", total=len(feeds)) as step:
        for feed in feeds:
            for origin, sample in read_feed(feed, specs):
                try:
                    yield origin, session.run(sample, top=top)
                except InputError as error:
                    raise InputError(f"{origin}: {error}", hint=error.hint) from error
            step()


def _entry(origin: str, result: Result) -> dict[str, object]:
    return {
        "input": origin,
        "outputs": dict(result.outputs),
        "labels": [{"label": label, "score": score} for label, score in result.labels],
        "invoke_ms": result.timing.invoke_ns / 1e6,
    }


def _row(origin: str, result: Result, top: int) -> tuple[str, str, str]:
    return origin, _answer(result, top), f"{result.timing.invoke_ns / 1e6:.3f}"


def _answer(result: Result, top: int) -> str:
    if result.labels:
        return ", ".join(f"{label} {score:.3g}" for label, score in result.labels)
    return "; ".join(
        f"{name} {values.shape}{_values(values, top)}" for name, values in result.outputs.items()
    )


def _values(values: NDArray[Any], top: int) -> str:
    """All of a few values; of a longer vector the greatest, each with its place; nothing of a map or a mask."""
    if values.size <= FEW_VALUES:
        return ": " + " ".join(f"{value:.4g}" for value in values.flat)
    if values.size > values.shape[-1]:
        return ""
    flat = values.reshape(-1)
    return ": " + ", ".join(f"[{place}] {flat[place]:.4g}" for place in (-flat).argsort(kind="stable")[:top])
