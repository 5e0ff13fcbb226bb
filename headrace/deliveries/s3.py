"""
One try of one object: write a payload to a bucket that speaks S3.

The client is obstore's, one per bucket and keys, and makes no tries of its own: the dispatcher's table does.
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.store import S3Store

from headrace.deliveries.addresses import refusal, why_refused
from headrace.deliveries.webhook import Answer

if TYPE_CHECKING:
    from obstore.store import S3Config  # stands in the stubs alone

_REMEMBERED_STORES = 64
_REFUSALS = (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """
    A bucket and the keys to it.

    Attributes:
        endpoint: address of a server other than Amazon's; empty for that.
        path_style: whether the bucket's name stands in the path instead of the host.
    """

    name: str
    region: str
    access_key_id: str
    secret_access_key: str
    endpoint: str = ""
    path_style: bool | None = None


class S3Sender:
    """
    Args:
        private_networks: whether endpoints may be at loopback and private addresses.
        timeout_seconds: for the whole try.
        look_up: gives the addresses of a host and port; blocks.
    """

    def __init__(
        self,
        *,
        private_networks: bool,
        timeout_seconds: float,
        look_up: Callable[[str, int], list[str]] | None = None,
    ) -> None:
        self._private_networks = private_networks
        self._timeout_seconds = timeout_seconds
        self._look_up = look_up or _addresses
        self._stores: OrderedDict[Bucket, S3Store] = OrderedDict()

    async def put(self, bucket: Bucket, key: str, body: bytes) -> Answer:
        """
        Write one object whole, in the place of an older one of the same key.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if kind := await self._refused(bucket.endpoint):
                    return Answer(error=refusal("The bucket's endpoint", kind))
                await obstore.put_async(self._store(bucket), key, body, attributes={"Content-Type": "application/json"})
        except TimeoutError:
            return Answer(error=f"The bucket did not take the object within {self._timeout_seconds:g} s.")
        except _REFUSALS as error:
            return Answer(error=_sentence(error), keys_refused=True)
        except (OSError, ValueError, obstore.exceptions.BaseError) as error:
            return Answer(error=_sentence(error))
        return Answer(status=200)

    async def _refused(self, endpoint: str) -> str:
        # The client resolves the name again, so that an address which changes in between is not caught: endpoints are set by those who may
        # define jobs, and what is written there is their own data.
        if not endpoint:
            return ""
        parts = urlsplit(endpoint)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = await asyncio.to_thread(self._look_up, parts.hostname or "", port)
        return next(
            (kind for each in found if (kind := why_refused(each, private_networks=self._private_networks))), ""
        )

    def _store(self, bucket: Bucket) -> S3Store:
        if bucket in self._stores:
            self._stores.move_to_end(bucket)
            return self._stores[bucket]
        config: S3Config = {
            "region": bucket.region,
            "access_key_id": bucket.access_key_id,
            "secret_access_key": bucket.secret_access_key,
            "virtual_hosted_style_request": bucket.path_style is False
            or (bucket.path_style is None and not bucket.endpoint),
        }
        if bucket.endpoint:
            config["endpoint"] = bucket.endpoint
        store = S3Store(
            bucket.name,
            config=config,
            client_options={"allow_http": True, "timeout": timedelta(seconds=self._timeout_seconds)},
            retry_config={"max_retries": 0},
        )
        self._stores[bucket] = store
        if len(self._stores) > _REMEMBERED_STORES:
            self._stores.popitem(last=False)
        return store


def _addresses(host: str, port: int) -> list[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _sentence(error: Exception) -> str:
    """
    Say what went wrong without what the server said: that could hold anything.
    """
    match error:
        case _ if isinstance(error, _REFUSALS):
            return "The bucket refused the keys. Correct them in the job, then send the delivery again."
        case FileNotFoundError() | obstore.exceptions.NotFoundError():
            return "There is no such bucket."
        case socket.gaierror():
            return "The name of the bucket's endpoint cannot be resolved."
    return "The bucket could not be written to."
