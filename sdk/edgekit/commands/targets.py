"""``edgekit targets``: the devices that edgekit knows, with sources, rules and install lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from edgekit import console
from edgekit.devices import device_dir_option, device_folders, find_device

if TYPE_CHECKING:
    from pathlib import Path

    from edgekit_targets.install import InstallPlan
    from edgekit_targets.rules import Rule, RuleSet
    from edgekit_targets.target import Fact, Source, Target

SHORT_ALIASES = 2  # as many as the table of all devices shows


@click.command()
@click.argument("name", required=False)
@click.option("--rules", is_flag=True, help="Print the operator rules of that device, and what to change.")
@device_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def targets(name: str | None, rules: bool, device_dirs: tuple[str, ...], as_json: bool) -> None:
    """List the devices, or show one with its sources and install lines.

    With the NAME or an alias of a device: everything that is known of it, where each number comes from, and
    the lines that install a runtime on it. With --rules: what it can run, and what to change where it cannot.
    """
    folders = device_folders(device_dirs)
    if name is None:
        if rules:
            raise click.UsageError("--rules needs the NAME of a device")
        _list(folders, as_json)
        return
    target = find_device(name, folders)
    if rules:
        _show_rules(target, as_json)
    else:
        _show(target, as_json)


def _list(folders: Sequence[Path], as_json: bool) -> None:
    from edgekit_targets.catalog import open_catalog

    found = open_catalog(folders).targets.values()
    if as_json:
        console.print_json({"targets": [target.to_json() for target in found]})
        return
    rows = [
        (t.name, t.title, _chip(t), t.runtimes[0].package, ", ".join(t.aliases[:SHORT_ALIASES]))
        for t in found
    ]
    click.echo(console.table(rows, ("name", "what", "accelerator", "runtime", "aliases")))


def _chip(target: Target) -> str | None:
    return None if target.accelerator is None else target.accelerator.model.value


def _show(target: Target, as_json: bool) -> None:
    from edgekit_targets.install import install_plans

    plans = install_plans(target)
    if as_json:
        console.print_json(target.to_json() | {"install": [plan.to_json() for plan in plans]})
        return
    click.echo("\n\n".join(_sections(target, plans)))


def _sections(target: Target, plans: tuple[InstallPlan, ...]) -> Iterator[str]:
    sources = _Sources()
    yield _summary(target)
    yield console.table(list(_facts(target, sources)), ("fact", "value", "source", "note"))
    runtimes = [
        (
            r.package,
            r.version,
            ", ".join(r.pythons),
            ", ".join(r.systems),
            r.status.value,
            sources.mark(r.source),
            r.note,
        )
        for r in target.runtimes
    ]
    yield console.table(runtimes, ("runtime", "version", "Python", "on", "status", "source", "note"))
    if target.latencies:
        latencies = [(x.model, x.ms, x.threads, sources.mark(x.source), x.note) for x in target.latencies]
        yield console.table(latencies, ("published int8 latency", "ms", "threads", "source", "note"))
    for plan in plans:
        yield _plan(plan)
    yield sources.listing()


def _summary(target: Target) -> str:
    rows = (
        ("name", target.name),
        ("what", target.title),
        ("kind", target.kind.value),
        ("aliases", ", ".join(target.aliases) or "-"),
        ("rules", f"{target.rules.value} (edgekit targets {target.name} --rules)"),
        ("recipe", target.recipe.value),
    )
    return "\n".join(f"{word:<7}  {console.printable(text)}" for word, text in rows)


def _facts(target: Target, sources: _Sources) -> Iterator[tuple[object, ...]]:
    """Yield a row for every fact that is known."""
    from dataclasses import fields

    for group in ("cpu", "accelerator", "memory"):
        part = getattr(target, group)
        for field in fields(part) if part is not None else ():
            fact: Fact[object] | None = getattr(part, field.name)
            if fact is not None:
                yield (
                    f"{group} {_words(field.name)}",
                    _value(fact.value),
                    sources.mark(fact.source),
                    fact.note,
                )


_UNITS = {"mhz": "MHz", "kib": "KiB", "mib": "MiB", "tops": "TOPS"}


def _words(name: str) -> str:
    """Turn a field's name into words with the unit in its usual spelling: "l2, KiB"."""
    words = name.split("_")
    unit = _UNITS.get(words[-1])
    return f"{' '.join(words[:-1])}, {unit}" if unit else " ".join(words)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) if not str(value[0]).startswith("--") else " ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plan(plan: InstallPlan) -> str:
    where = "firmware" if plan.system is None else plan.system.name
    if plan.system is not None and plan.system.python is not None:
        where += f", Python {plan.system.python}"
    lines = [f"install: {console.printable(where)}"]
    for step in plan.steps:
        if step.why:
            lines.append(f"  # {console.printable(step.why)}")
        lines.append(f"  {console.printable(step.line)}")
    return "\n".join([*lines, *(f"  ! {console.printable(caution)}" for caution in plan.cautions)])


class _Sources:
    """Numbers sources in the order in which they are first referred to."""

    def __init__(self) -> None:
        self._numbers: dict[Source, int] = {}

    def mark(self, source: Source) -> str:
        return f"[{self._numbers.setdefault(source, len(self._numbers) + 1)}]"

    def listing(self) -> str:
        lines = ["sources"]
        for source, number in self._numbers.items():
            lines.append(f"  [{number}] {console.printable(source.title)} ({source.date.isoformat()})")
            if source.url:
                lines.append(f"      {console.printable(source.url)}")
        return "\n".join(lines)


def _show_rules(target: Target, as_json: bool) -> None:
    from edgekit_targets.rules import rule_set

    found = rule_set(target.rules)
    if as_json:
        entries = [_entry(rule) for rule in _all_rules(found)]
        record = {"name": found.name, "title": found.title, "accepted": found.accepted, "rules": entries}
        console.print_json({"target": target.name, "rules": record})
        return
    blocks = [f"{target.name}: rules {found.name}, {found.title}"]
    for rule in _all_rules(found):
        lines = [f"{rule.id}: {rule.sentence}", f"  so    {rule.outcome.value}"]
        if rule.fix:
            lines.append(f"  fix   {rule.fix}")
        blocks.append("\n".join(console.printable(line) for line in [*lines, f"  from  {rule.source}"]))
    click.echo("\n\n".join([*blocks, f"otherwise: {console.printable(found.accepted)}"]))


def _all_rules(found: RuleSet) -> tuple[Rule, ...]:
    single = found.one_partition
    return found.rules if single is None or single in found.rules else (*found.rules, single)


def _entry(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "sentence": rule.sentence,
        "outcome": rule.outcome.value,
        "fix": rule.fix,
        "source": rule.source,
    }
