"""Writes device_targets/RULES.md, the manual of operator rules, from the rules themselves: ``make rules``."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from edgekit.commands.targets import targets

PAGE = Path(__file__).resolve().parents[2] / "device_targets" / "RULES.md"
TARGETS = ("coral-usb-accelerator", "raspberry-pi-4", "ethos-u55-128", "cortex-m4f")
HEAD = """# Operator rules

Made by `make rules` from the rules that `edgekit check` applies; a test holds it current.
`edgekit targets NAME --rules` prints the same.
"""


def page() -> str:
    """One section a set of rules, as the command prints it for a device of that kind."""
    sections = [HEAD]
    for name in TARGETS:
        printed = CliRunner().invoke(targets, [name, "--rules"], catch_exceptions=False).stdout
        title, _, rules = printed.partition("\n")
        sections.append(f"## {title.partition(': rules ')[2]}\n\n```text\n{rules.strip()}\n```\n")
    return "\n".join(sections)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
