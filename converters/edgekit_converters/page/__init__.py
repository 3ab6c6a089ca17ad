"""`edgekit check --html`: one offline page with the verdict, the graph and a table of all operators."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

from edgekit.page import document, own_text
from edgekit.page.markup import Html, text
from edgekit.version import __version__
from edgekit_converters.page.drawing import width_of
from edgekit_converters.page.layout import lay_out
from edgekit_converters.page.sections import changes, graph, header, legend, notes, summary, table

if TYPE_CHECKING:
    from edgekit_converters.check import Check

__all__ = ["render"]


def render(found: Check) -> str:
    """Writes the page.

    Args:
        found: What `check` found.

    Returns:
        HTML. The same check gives the same text.
    """
    layout = lay_out([op.reads for op in found.ops])
    body = Template(own_text(__name__, "template.html")).substitute(
        header=header(found),
        notes=notes(found),
        summary=summary(found),
        changes=changes(found),
        legend=legend(found),
        graph=graph(found, layout),
        table=table(found),
        version=text(__version__),
    )
    return document(
        title=f"{found.model} on {found.target.title}",
        body=Html(body),
        style=f"{own_text(__name__, 'style.css')}\n:root{{--lanes:{width_of(layout)}px}}\n",
        script=own_text(__name__, "script.js"),
    )
