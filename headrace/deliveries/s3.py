"""
One try of one object: write a payload to a bucket that speaks S3.

How tries end; the dispatcher's table says when there is another one:

| what happened | `status` | mended by |
|---|---|---|
| no connection, or it broke off, or nothing came in time | None | waiting |
| 429, any 5xx | as answered | waiting |
| 401, 403: the keys | as answered | whoever defines the job: what the sink says by then is used |
| 404: the bucket; any 3xx: its region or endpoint; any other 4xx | as answered, None for a 3xx to nowhere | the same |

The client is obstore's, one per bucket and keys, and makes no tries of its own. It tells what the server answered in the text of its errors
alone.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.store import S3Store

from headrace.deliveries.addresses import refusal, why_refused
from headrace.deliveries.webhook import Answer

if TYPE_CHECKING:
    from obstore.store import S3Config  # stands in the stubs alone

_REMEMBERED_STORES = 64
_STATUS = re.compile(r" - Server returned non-2xx status code: (\d{3}) ")
_NOT_REACHED = re.compile(r"HttpError \{\s+kind: (\w+)")
_TOO_MANY = HTTPStatus.TOO_MANY_REQUESTS
_BARE_REDIRECT = " - Received redirect without LOCATION"  # what Amazon answers for a bucket of another region; the status is not told
_CORRECT = "in the job, then send the delivery again."
_ELSEWHERE = f"Correct its region or endpoint {_CORRECT}"


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
            return self._late()
        except (OSError, ValueError, obstore.exceptions.BaseError) as error:
            return self._failed(error)
        return Answer(status=200)

    def _late(self) -> Answer:
        return Answer(error=f"The bucket's server did not take the object within {self._timeout_seconds:g} s.")

    def _failed(self, error: Exception) -> Answer:
        """
        Say what went wrong without what the server said: that could hold anything.
        """
        if isinstance(error, socket.gaierror):
            return Answer(error="The name of the bucket's endpoint cannot be resolved.")
        if answered := _STATUS.search(str(error)):
            return _refused(int(answered[1]))
        if _BARE_REDIRECT in str(error):
            return Answer(error=f"The bucket is elsewhere. {_ELSEWHERE}", sink_refused=True)
        match (_NOT_REACHED.search(str(error)) or ("", ""))[1]:
            case "Timeout":
                return self._late()
            case "Connect":
                return Answer(error="The bucket's server cannot be reached: no connection could be made.")
            case "":
                return Answer(error="The bucket could not be written to.")
        return Answer(error="The bucket's server broke off without an answer.")

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


def _refused(status: int) -> Answer:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == _TOO_MANY:
        return Answer(status, f"The bucket's server could not take the object now (status {status}).")
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            said = f"The bucket refused the keys (status {status}). Correct them {_CORRECT}"
        case HTTPStatus.NOT_FOUND:
            said = f"There is no such bucket (status 404). Make it, or name another {_CORRECT}"
        case _ if status < HTTPStatus.BAD_REQUEST:
            said = f"The bucket is elsewhere (status {status}). {_ELSEWHERE}"
        case _:
            said = f"The bucket refused the object (status {status}). Correct its region and name {_CORRECT}"
    return Answer(status, said, sink_refused=True)
