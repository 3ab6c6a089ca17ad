"""``edgekit doctor``: what this machine has to run bundles with, and how to mend what is missing."""

from __future__ import annotations

import click

from edgekit import console


@click.command()
@click.option(
    "--probe",
    is_flag=True,
    help="Also open each Edge TPU, in a child process: it takes seconds, and nothing else may be using it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(probe: bool, as_json: bool) -> None:
    """Tell what this machine has to run bundles with, and how to mend what is missing.

    It looks at the system, Python, the processor, TFLite runtimes and Coral Edge TPUs with what they need, and
    runs a tiny model in a child process. Then come the findings, worst first, each with its fix. Nothing is
    changed, and nothing is fetched from a network.

    \b
    Exit codes:
      0  a model can be run here, and nothing is a fault
      1  there is a fault

    With --json the object is {"facts": ..., "findings": [...], "can_run": true or false}, for either exit code.
    """  # noqa: D301 (click's mark, the character itself)
    from edgekit.doctor.facts import gather
    from edgekit.doctor.findings import diagnose, has_fault
    from edgekit_targets.catalog import open_catalog

    with console.progress("trying a tiny model"):
        facts = gather(probe=probe)
    findings = diagnose(facts, open_catalog().targets)
    if as_json:
        said = [finding.to_json() for finding in findings]
        console.print_json({"facts": facts.to_json(), "findings": said, "can_run": facts.smoke.passed})
    else:
        from edgekit.doctor.text import describe

        click.echo(describe(facts, findings))
    if has_fault(findings):
        click.get_current_context().exit(1)
