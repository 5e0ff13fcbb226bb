"""
Secrets at rest: AES-256-GCM under keys that can be rotated.

A sealed value is `version (1) | key id (4) | nonce (12) | ciphertext and tag`. The place where a value belongs (its table and
row) is authenticated with it, so that a ciphertext cannot be moved to another tenant's row. New values are sealed with the
first key; the others still open old ones.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from headrace.core.errors import SecretError

_VERSION = b"\x01"
_NONCE_BYTES = 12


class Sealer:
    """
    Seals and opens JSON values.

    Args:
        keys: 32-byte keys, the one in use first.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != 32 for key in keys):
            raise SecretError(
                "A secret key must be 32 bytes, base64-encoded.",
                "Make one with `headrace keys new-secret` or remove the setting to let the server make its own.",
            )
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self._current = _key_id(keys[0])

    def seal(self, value: Any, place: str) -> bytes:
        """
        Seal *value* for *place*, such as `connection:<id>`.
        """
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = self._keys[self._current].encrypt(nonce, msgspec.json.encode(value), place.encode())
        return _VERSION + self._current + nonce + ciphertext

    def open(self, sealed: bytes, place: str) -> Any:
        """
        Open what was sealed for *place*.

        Raises:
            SecretError: none of the keys fits, or the value belongs elsewhere.
        """
        key_id, nonce, ciphertext = sealed[1:5], sealed[5 : 5 + _NONCE_BYTES], sealed[5 + _NONCE_BYTES :]
        key = self._keys.get(key_id)
        try:
            if sealed[:1] != _VERSION or key is None:
                raise InvalidTag
            return msgspec.json.decode(key.decrypt(nonce, ciphertext, place.encode()))
        except InvalidTag:
            raise SecretError(
                f"A stored secret ({place}) cannot be opened with the keys of this server.",
                "Start with the key it was sealed with: HEADRACE_SECRET_KEYS, or the file secret.keys of the data folder.",
            ) from None


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"headrace-key-id" + key).digest()[:4]


def parse_keys(text: str) -> list[bytes]:
    """
    Read keys as people write them: base64, separated by commas or white space.

    Raises:
        SecretError: one is not base64.
    """
    try:
        return [urlsafe_b64decode(word.replace("+", "-").replace("/", "_")) for word in text.replace(",", " ").split()]
    except ValueError:
        raise SecretError("A secret key is not base64.", "Make one with `headrace keys new-secret`.") from None


def new_key() -> str:
    """
    Make a key, as people write it.
    """
    return urlsafe_b64encode(secrets.token_bytes(32)).decode()


def load_or_make_keys(path: Path) -> list[bytes]:
    """
    Read the keys of *path*, a file only its owner may read; made on the first start.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(new_key() + "\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    return parse_keys(path.read_text("ascii"))
