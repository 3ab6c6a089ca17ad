"""Private keys that never leave a token: a YubiKey, a TPM, a smart card, an HSM, by PKCS#11 (extra ``pkcs11``).

A key is named by an URI of RFC 7512: ``pkcs11:token=LABEL;object=LABEL?module-path=/usr/lib/libykcs11.so``. Without
``module-path`` the environment variable PKCS11_MODULE names the library.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from edgekit.errors import KeyFileError, MissingExtraError
from edgekit.trust.keys import CURVES, PublicKey

SCHEME = "pkcs11:"
MODULE = "PKCS11_MODULE"

_PATH = frozenset(("token", "serial", "object", "id", "type", "manufacturer", "model"))
_QUERY = frozenset(("module-path",))
_HINT = "such as pkcs11:token=LABEL;object=LABEL?module-path=/usr/lib/softhsm/libsofthsm2.so"


@dataclass(frozen=True, slots=True)
class TokenUri:
    """Which key on which token.

    Attributes:
        uri: As the user wrote it.
        token: Label of the token; None takes the only one.
        serial: Of the token; None takes any.
        object: Label of the key; None where `id` names it.
        id: Of the key; None where `object` names it.
        module: Path of the PKCS#11 library.
    """

    uri: str
    token: str | None
    serial: bytes | None
    object: str | None
    id: bytes | None
    module: str

    @classmethod
    def parse(cls, uri: str, environment: Mapping[str, str] = os.environ) -> TokenUri:
        """Reads an URI of RFC 7512.

        Args:
            uri: It may not hold a PIN: others see the arguments of a process.
            environment: Where PKCS11_MODULE may stand.

        Raises:
            KeyFileError: It is not one, or does not name a key or a library.
        """
        path, _, query = uri.removeprefix(SCHEME).partition("?")
        said = {**_attributes(path, ";", _PATH), **_attributes(query, "&", _QUERY)}
        if "object" not in said and "id" not in said:
            raise KeyFileError("the URI names no key: it has neither object nor id", hint=_HINT)
        module = said.get("module-path", b"").decode("utf-8", "replace") or environment.get(MODULE, "")
        if not module:
            raise KeyFileError("the URI names no PKCS#11 library", hint=f"{_HINT}; or set ${MODULE}")
        token, label = (
            said[name].decode("utf-8", "replace") if name in said else None for name in ("token", "object")
        )
        return cls(uri, token, said.get("serial"), label, said.get("id"), module)


def _attributes(text: str, separator: str, known: frozenset[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in filter(None, text.split(separator)):
        name, _, value = part.partition("=")
        if name in ("pin-value", "pin-source"):
            hint = "give the PIN by --passphrase-file or --passphrase-env, or at the prompt"
            raise KeyFileError(f"{name} is not taken from the URI", hint=hint)
        if name not in known or name in found:
            raise KeyFileError(f"the URI has {name!r}, which is unknown or there twice", hint=_HINT)
        found[name] = unquote_to_bytes(value)
    return found


class TokenKey:
    """A private key on a token whose session is open.

    Attributes:
        public: The key that checks what this one signs.
    """

    def __init__(self, private: Any, public: PublicKey) -> None:
        self._private = private
        self.public = public

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature over the hash that belongs to the curve, as DER.

        Raises:
            KeyFileError: The token refuses.
        """
        import pkcs11
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        digest = hashlib.new(self.public.curve.hash, message).digest()
        try:
            raw = bytes(self._private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA))
        except pkcs11.PKCS11Error as error:
            raise _refused("does not sign", error) from None
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


@contextmanager
def open_token_key(uri: TokenUri, pin: str) -> Iterator[TokenKey]:
    """Log in at a token, and out again in the end.

    Args:
        uri: Which key.
        pin: Of the user.

    Yields:
        The key.

    Raises:
        MissingExtraError: python-pkcs11 is not installed.
        KeyFileError: There is no such token or key, the PIN is wrong, or the key is of another kind.
    """
    try:
        import pkcs11
    except ImportError:
        raise MissingExtraError("signing with a key on a token", "pkcs11") from None
    try:
        library = pkcs11.lib(uri.module)
        token = library.get_token(token_label=uri.token, token_serial=uri.serial)
        with token.open(user_pin=pin) as session:
            yield _find(session, uri)
    except pkcs11.PKCS11Error as error:
        raise _refused("cannot be used", error) from None
    except (OSError, RuntimeError) as error:
        raise KeyFileError(f"cannot load the PKCS#11 library {uri.module}: {error}", hint=_HINT) from None


def _find(session: Any, uri: TokenUri) -> TokenKey:
    import pkcs11

    named = {"label": uri.object, "id": uri.id}
    private = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, **named)
    public = session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, **named)
    if public.key_type != pkcs11.KeyType.EC:
        raise KeyFileError(f"{uri.uri}: not an ECDSA key", hint="make one on P-256 on the token")
    parameters = bytes(public[pkcs11.Attribute.EC_PARAMS])
    point = bytes(public[pkcs11.Attribute.EC_POINT])
    for curve in CURVES:
        # An OCTET STRING around the point; its header has two bytes, or three where the point is longer than 127.
        if curve.prefix[: curve.prefix.rindex(b"\x03")].endswith(parameters) and len(point) - curve.size in (
            2,
            3,
        ):
            return TokenKey(private, PublicKey(curve, point[-curve.size :], uri.uri))
    names = ", ".join(curve.name for curve in CURVES)
    raise KeyFileError(
        f"{uri.uri}: not an ECDSA key on one of {names}", hint="make one on P-256 on the token"
    )


def _refused(what: str, error: Exception) -> KeyFileError:
    reason = f"{type(error).__name__} {error}".strip()
    return KeyFileError(
        f"the token {what}: {reason}",
        hint="check the token's label, the key's name and the PIN in the token's own tool",
    )
