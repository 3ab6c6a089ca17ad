"""`edgekit diagnose --html`: one offline page with the findings, the error along the network and the ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.page import document, own_text
from edgekit.page.markup import join, tag
from edgekit.version import __version__
from edgekit_converters.diagnosis.page import sections

if TYPE_CHECKING:
    from edgekit_converters.diagnosis.record import Diagnosis

__all__ = ["render"]


def render(found: Diagnosis) -> str:
    """Writes the page.

    Args:
        found: What `diagnose` found.

    Returns:
        HTML. The same diagnosis gives the same text.
    """
    main = tag(
        "main",
        sections.notes(found),
        sections.summary(found),
        sections.findings(found),
        sections.along(found),
        sections.ranges(found),
        sections.table(found),
    )
    footer = tag("footer", f"Written by edgekit {__version__}. This page is one file and loads nothing.")
    return document(
        title=f"{found.model}: what int8 loses where",
        body=join(sections.header(found), main, footer),
        style=own_text(__name__, "style.css"),
    )
