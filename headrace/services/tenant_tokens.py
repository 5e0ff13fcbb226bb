"""
Tenant tokens: JSON Web Tokens by which a workspace's own server vouches for a tenant in a browser.

Only RS256 (RFC 7518, 3.3) is taken, whatever a token's header asks for: one algorithm, one kind of key, nothing to confuse.
Claims are `sub` (the tenant's id), `exp`, and optionally `iat` and `nbf`, in seconds since 1970.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeGuard
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from headrace.core.errors import ForbiddenError
from headrace.store.token_signing import TokenSigning

_LONGEST = 8192
_KEY_BITS = 2048
_LEEWAY_SECONDS = 60
_REMEMBERED_SECONDS = 5.0


class TenantTokens:
    """
    Args:
        now: the current time, aware UTC.
        monotonic: seconds that only rise.
    """

    def __init__(self, signing: TokenSigning, *, now: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._signing = signing
        self._now = now
        self._monotonic = monotonic
        self._public_keys: dict[UUID, tuple[float, str | None]] = {}

    async def check(self, workspace_id: UUID, tenant: str, token: str) -> None:
        """
        Make sure that *token* vouches for *tenant* now.

        Raises:
            ForbiddenError: it does not; the reason says why.
        """
        public_key = await self._public_key(workspace_id)
        if public_key is None:
            raise ForbiddenError(
                "The environment has no key pair for tenant tokens.", "Make one with GET /{env_id}/signingKey."
            )
        claims = _claims(token, public_key)
        subject, expires_at = claims.get("sub"), claims.get("exp")
        now = self._now().timestamp()
        if (str(subject) if type(subject) is int else subject) != tenant:
            raise ForbiddenError("The token is another tenant's.", "Sign one whose `sub` is this tenant's id.")
        if not _is_number(expires_at) or now >= expires_at:
            raise ForbiddenError("The token has expired, or says not when it will.", "Sign a new one with `exp`.")
        if any(_is_number(claims.get(name)) and claims[name] > now + _LEEWAY_SECONDS for name in ("iat", "nbf")):
            raise ForbiddenError("The token is of the future.", "Check the clock of the server that signs.")

    async def signing_key(self, workspace_id: UUID) -> tuple[str, str]:
        """
        Give a workspace's private and public key as PEM; made when there are none.
        """
        pair = await self._signing.pair(workspace_id)
        if pair is None:
            await self._signing.save(workspace_id, *await asyncio.to_thread(_new_pair), replace=False)
            self._public_keys.pop(workspace_id, None)
            pair = await self._signing.pair(workspace_id)
        assert pair is not None  # noqa: S101 - just saved, and never deleted
        return pair

    async def replace_key(self, workspace_id: UUID) -> tuple[str, str]:
        """
        Make a new pair; tokens of the old one are refused everywhere within seconds.
        """
        await self._signing.save(workspace_id, *await asyncio.to_thread(_new_pair), replace=True)
        self._public_keys.pop(workspace_id, None)
        return await self.signing_key(workspace_id)

    async def _public_key(self, workspace_id: UUID) -> str | None:
        known = self._public_keys.get(workspace_id)
        if known is None or known[0] <= self._monotonic():
            known = (self._monotonic() + _REMEMBERED_SECONDS, await self._signing.public_key(workspace_id))
            self._public_keys[workspace_id] = known
        return known[1]


def _claims(token: str, public_key: str) -> dict[str, Any]:
    """
    Read the claims of a token whose signature is right.
    """
    parts = token.split(".") if len(token) <= _LONGEST and token.isascii() else []
    try:
        header, payload, signature = (_unpadded(part) for part in parts)
        if _object(header).get("alg") != "RS256" or "crit" in _object(header):
            raise ValueError("algorithm")
        key = serialization.load_pem_public_key(public_key.encode())
        assert isinstance(key, rsa.RSAPublicKey)  # noqa: S101 - we made it
        key.verify(signature, f"{parts[0]}.{parts[1]}".encode(), padding.PKCS1v15(), hashes.SHA256())
        return _object(payload)
    except (ValueError, InvalidSignature):
        raise ForbiddenError(
            "The token was not signed with the environment's key.", "Sign it by RS256 with the current private key."
        ) from None


def _unpadded(part: str) -> bytes:
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except Base64Error as error:
        raise ValueError("base64") from error


def _object(text: bytes) -> dict[str, Any]:
    found = msgspec.json.decode(text)
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _new_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()
