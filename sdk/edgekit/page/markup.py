"""HTML and SVG built so that text cannot become markup: what is not `Html` already is escaped."""

from __future__ import annotations

from html import escape

from edgekit.console import printable

_EMPTY = frozenset({"circle", "input", "meta", "path", "rect", "br", "line"})


class Html(str):
    """Finished markup. Only `tag` and `join` make it, and literals in this package's own code."""

    __slots__ = ()


def text(value: object) -> Html:
    """Escapes a value for element content and quoted attributes; control characters become visible."""
    return value if isinstance(value, Html) else Html(escape(printable(str(value)), quote=True))


def join(*parts: object) -> Html:
    """Puts parts behind one another, escaping those that are no markup."""
    return Html("".join(map(text, parts)))


def tag(name: str, *content: object, **attributes: object) -> Html:
    """Makes an element.

    Args:
        name: Such as "td".
        content: What stands in it; text is escaped.
        attributes: By name, "_" for "-" and a trailing "_" dropped (`class_`); None leaves one out, True
            gives it no value.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    if name in _EMPTY:
        return Html(f"<{name}{written}/>")
    return Html(f"<{name}{written}>{join(*content)}</{name}>")


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{text(value)}"'
