"""Strict JSON of others: exactly these keys, of exactly these types, each refusal in the caller's own error.

What edgekit writes itself is canonical and read by `edgekit.record`; a signature may come from another signer, whose
spelling nobody controls, so only its meaning is held to the rules here.
"""

from __future__ import annotations

from edgekit import strictjson
from edgekit.errors import MalformedBundleError, TrustError
from edgekit.strictjson import shown


def parse(data: bytes, document: str, error: type[TrustError], hint: str) -> object:
    """Parses JSON strictly: UTF-8, no duplicate keys, no NaN, bounded depth.

    Args:
        data: The text; the caller has capped its size.
        document: What the messages call it.
        error: The class to raise.
        hint: What the user can do.

    Raises:
        TrustError: Of the class `error`.
    """
    try:
        return strictjson.parse(data, document)
    except MalformedBundleError as problem:
        raise error(str(problem), hint=hint) from None


class Reader:
    """Takes JSON values apart, and knows which error a wrong one is.

    Attributes:
        document: What the messages call the document.
        error: The class to raise.
        hint: What the user can do.
    """

    def __init__(self, document: str, error: type[TrustError], hint: str) -> None:
        self.document = document
        self.error = error
        self.hint = hint

    def refuse(self, message: str) -> TrustError:
        """The error that says `message` of this document; the caller raises it."""
        return self.error(f"{self.document}: {message}", hint=self.hint)

    def mapping(
        self, value: object, where: str, required: tuple[str, ...], optional: tuple[str, ...] | None = ()
    ) -> dict[str, object]:
        """An object that has the required keys, and of others only the optional ones; any where `optional` is None.

        Raises:
            TrustError: It has not, or is no object.
        """
        if not isinstance(value, dict):
            raise self.refuse(f"{where} must be an object, and is {shown(value)}")
        for key in required:
            if key not in value:
                raise self.refuse(f"{where} lacks {key!r}")
        if optional is not None:
            for key in value:
                if key not in required and key not in optional:
                    raise self.refuse(f"{where} has {shown(key)}, which is not expected there")
        return value

    def sequence(self, value: object, where: str) -> list[object]:
        """A list.

        Raises:
            TrustError: It is none.
        """
        if not isinstance(value, list):
            raise self.refuse(f"{where} must be a list, and is {shown(value)}")
        return value

    def only(self, value: object, where: str) -> object:
        """The one entry of a list.

        Raises:
            TrustError: It has none, or several.
        """
        entries = self.sequence(value, where)
        if len(entries) != 1:
            raise self.refuse(f"{where} must have exactly one entry, and has {len(entries)}")
        return entries[0]

    def text(self, value: object, where: str) -> str:
        """A string.

        Raises:
            TrustError: It is none.
        """
        if not isinstance(value, str):
            raise self.refuse(f"{where} must be a string, and is {shown(value)}")
        return value

    def exactly(self, value: object, where: str, wanted: str) -> None:
        """Refuses everything but one string.

        Raises:
            TrustError: It is another value.
        """
        if value != wanted:
            raise self.refuse(f"{where} must be {wanted!r}, and is {shown(value)}")

    def sha256(self, value: object, where: str) -> str:
        """A SHA-256 in lowercase hexadecimal.

        Raises:
            TrustError: It is anything else.
        """
        text = self.text(value, where)
        if not is_sha256(text):
            raise self.refuse(f"{where} must be 64 digits of lowercase hexadecimal, and is {shown(text)}")
        return text


def is_sha256(text: str) -> bool:
    """Whether a text is a SHA-256 in lowercase hexadecimal, its one spelling here."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
