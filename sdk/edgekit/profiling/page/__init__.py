"""The page of a profile: one offline file with plots, tables, conditions and whether it may be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.page import document, own_text
from edgekit.page.markup import join, tag
from edgekit.profiling.page import operators, resources, sections, surroundings
from edgekit.version import __version__

if TYPE_CHECKING:
    from edgekit.profiling.compare import Comparison
    from edgekit.profiling.record import Profile

__all__ = ["render"]


def render(profile: Profile, comparison: Comparison | None = None) -> str:
    """Writes the page.

    Args:
        profile: What was measured.
        comparison: What it says beside an earlier profile, where there is one.

    Returns:
        HTML. The same profile gives the same text.
    """
    main = tag(
        "main",
        sections.verdict(profile),
        sections.summary(profile),
        sections.compared(comparison),
        sections.runs(profile),
        sections.stages(profile),
        resources.memory(profile),
        operators.operators(profile),
        resources.threads(profile),
        resources.batches(profile),
        surroundings.conditions(profile),
        surroundings.host(profile),
    )
    footer = tag("footer", f"Written by edgekit {__version__}. This page is one file and loads nothing.")
    return document(
        title=f"{profile.bundle.name} {profile.bundle.version} on {sections.machine(profile)}",
        body=join(sections.header(profile), main, footer),
        style=own_text(__name__, "style.css"),
    )
