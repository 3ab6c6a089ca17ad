"""What a browser finds in a page, and what no page may hold."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "$title ${version} &amp;",
    "</style></script><!--",
    "javascript:alert(1)//\u202e\x00",
)


class Seen(HTMLParser):
    """What a browser finds: elements with their attributes, text, and what stands in script and style."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, str] = {}
        self.said: list[str] = []
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open in ("script", "style"):
            self.raw[self._open] = self.raw.get(self._open, "") + data
        else:
            self.said.append(data)

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for element, attributes in self.elements if element == name]


def seen_in(page: str) -> Seen:
    seen = Seen()
    seen.feed(page)
    seen.close()
    return seen


def allowed_by_policy(seen: Seen) -> None:
    """The page loads nothing, and its content security policy allows its own script and style and nothing else."""
    assert not any(
        a in attributes for _, attributes in seen.elements for a in ("src", "href", "style", "action")
    )
    assert not re.search(r"@import|url\(|https?:|fetch\(|XMLHttp", "".join(seen.raw.values()))
    assert len(seen.named("script")) == len(seen.named("style")) == 1
    (policy,) = [a["content"] for a in seen.named("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(seen.raw[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in (policy or "")
    assert (policy or "").startswith("default-src 'none'")
