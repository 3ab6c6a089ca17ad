"""`edgekit check --html`: one offline page with the verdict, the graph and a table of all operators.

The page loads nothing: style and script stand in it, and its content security policy allows these two texts, by
their hashes, and nothing else. All that comes from a model goes through `markup.text`.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from edgekit.version import __version__
from edgekit_converters.page.drawing import width_of
from edgekit_converters.page.layout import lay_out
from edgekit_converters.page.markup import Html, text
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
    style = f"{_own('style.css')}\n:root{{--lanes:{width_of(layout)}px}}\n"
    script = _own("script.js")
    return Template(_own("template.html")).substitute(
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'",
        title=text(f"{found.model} on {found.target.title}"),
        style=style,
        script=script,
        header=header(found),
        notes=notes(found),
        summary=summary(found),
        changes=changes(found),
        legend=legend(found),
        graph=graph(found, layout),
        table=table(found),
        version=text(__version__),
    )


def _own(name: str) -> Html:
    return Html((files(__name__) / name).read_text("utf-8"))


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
