"""Labels given as text become class indices."""

from __future__ import annotations

from collections.abc import Iterable


def encode_labels(words: Iterable[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The class index of each word, and the class names, sorted, that the indices point into."""
    words = list(words)
    names = tuple(sorted(set(words)))
    index = {name: number for number, name in enumerate(names)}
    return tuple(index[word] for word in words), names
