"""Offline pages of HTML: what all pages of edgekit share.

A page is one file and loads nothing: style and script stand in it, and its content security policy allows these
two texts, by their hashes, and nothing else. All that does not come from edgekit's own code goes through
`markup.text`.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from string import Template

from edgekit.page.markup import Html, tag, text

__all__ = ["document", "own_text", "theme_button"]


def document(*, title: str, body: Html, style: str = "", script: str = "") -> str:
    """Writes a page.

    Args:
        title: Of the window.
        body: What stands in the body: a header with the `theme_button`, a main part, and a footer.
        style: CSS behind that of every page.
        script: JavaScript behind that of every page. Both are edgekit's own, never made out of data.
    """
    style = own_text(__name__, "base.css") + style
    script = own_text(__name__, "base.js") + script
    return Template(own_text(__name__, "document.html")).substitute(
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'",
        title=text(title),
        style=style,
        body=body,
        script=script,
    )


def theme_button() -> Html:
    """The switch between light and dark, shown where scripts run."""
    return tag("button", "Dark / light", id="theme", type="button", hidden=True)


def own_text(package: str, name: str) -> Html:
    """Reads a file that a package brings along."""
    return Html((files(package) / name).read_text("utf-8"))


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
