"""
Where a webhook may go: what its URL may say, and which address may be connected to.

A URL is judged before each try. Its address is judged when the socket for it is made: after name resolution, and on the very address that is
then connected, so that a name which answers differently a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from headrace.core.errors import InvalidError

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]

_WEB_PORTS = frozenset({80, 443})
_FIRST_FREE_PORT = 1024
_NAT64 = IPv6Network("64:ff9b::/96")
_SITE_LOCAL = IPv6Network("fec0::/10")
_OPENED_BY_SETTING = frozenset({"a loopback address", "a private address"})
_PRIVATE = tuple(
    ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "::1/128", "fc00::/7")
)
# WHATWG calls a host whose last label is a number an IPv4 address; we take such a host only in the usual four decimal parts.
_ENDS_IN_NUMBER = re.compile(r"(?:^|\.)(?:\d+|0x[0-9a-f]*)\.?$", re.IGNORECASE)


class AddressRefusedError(OSError):
    """The name led to an address that webhooks may not go to. An `OSError`, because it is raised inside of connecting."""

    def __init__(self, kind: str) -> None:
        super().__init__(errno.EACCES, refusal("The webhook's host", kind))


def refusal(what: str, kind: str) -> str:
    """
    Say that *what* leads to a kind of address, as `why_refused` names it, and which setting opens it, if one does.
    """
    remedy = " unless the setting webhook_private_networks opens them" if kind in _OPENED_BY_SETTING else ""
    return f"{what} leads to {kind}, and such ones are closed to deliveries{remedy}."


def checked_url(text: str, *, what: str = "The webhook's URL") -> URL:
    """
    Give a URL if it may be asked at all; *what* it is begins the sentence that says why not.

    Raises:
        InvalidError: it is no http or https URL, holds a user or password, writes an address in an unusual form, or names a port of
            another service (below 1024, other than 80 and 443).
    """

    def refused(fault: str, instruction: str = "Correct the URL in headrace.yml.") -> InvalidError:
        return InvalidError(f"{what} {fault}.", instruction)

    try:
        url = URL(text)
        host, port = url.raw_host, url.port
    except ValueError:
        raise refused("cannot be read") from None
    if url.scheme not in ("http", "https"):
        raise refused("is neither http nor https")
    if not host:
        raise refused("has no host")
    if url.raw_user is not None or url.raw_password is not None:
        raise refused("holds a user or password", "Use a signing secret to prove who sends.")
    if _ENDS_IN_NUMBER.search(host) and not _is_plain_ipv4(host):
        raise refused("writes an address in an unusual form", "Write the address as four decimal parts.")
    if port is None or (port < _FIRST_FREE_PORT and port not in _WEB_PORTS):
        raise refused("names a port of another service", "Use 80, 443 or a port from 1024.")
    return url


def _is_plain_ipv4(host: str) -> bool:
    try:
        return str(IPv4Address(host)) == host
    except ValueError:
        return False


def why_refused(address: str, *, private_networks: bool) -> str:
    """
    Name the kind of *address* if webhooks may not go there, such as `a loopback address`; empty when they may.

    With *private_networks* loopback, private, shared (100.64.0.0/10) and unique local addresses are open. Link-local ones, where
    clouds hand out credentials, never are, nor is what is no single host's address.
    """
    ip = _innermost(ip_address(address.partition("%")[0]))
    kind = _kind(ip)
    if kind and private_networks and any(ip in network for network in _PRIVATE if network.version == ip.version):
        return ""
    return kind


def _innermost(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Unwrap an IPv4 address that an IPv6 one stands for, as the operating system or a gateway would."""
    if isinstance(ip, IPv6Address):
        if ip in _NAT64:
            return IPv4Address(int(ip) & 0xFFFFFFFF)
        return ip.ipv4_mapped or ip.sixtofour or ip
    return ip


def _kind(ip: IPv4Address | IPv6Address) -> str:
    if ip.is_unspecified:
        return "an unspecified address"
    if ip.is_loopback:
        return "a loopback address"
    if ip.is_link_local:
        return "a link-local address"
    if ip.is_multicast:
        return "a multicast address"
    if ip.is_private:
        return "a private address"
    if not ip.is_global or ip.is_reserved or (isinstance(ip, IPv6Address) and ip in _SITE_LOCAL):
        return "an address that is not public"
    return ""


def checking_sockets(*, private_networks: bool) -> Callable[[AddressInfo], socket.socket]:
    """
    Make the socket factory of a connector that connects only where webhooks may go.

    The factory raises `AddressRefusedError` before there is a socket. Addresses written into the URL pass through it as well.
    """

    def open_socket(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        if refusal := why_refused(str(address[0]), private_networks=private_networks):
            raise AddressRefusedError(refusal)
        return socket.socket(family, kind, protocol)

    return open_socket


@dataclass(frozen=True, slots=True)
class _Found:
    family: int
    protocol: int
    address: str
    port: int


class OwnThreadsResolver(AbstractResolver):
    """
    Resolve names in threads that serve nothing else.

    The loop's own threads are few and shared with the whole server; names of one broken zone would hold them all for seconds.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="webhook-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host, port, family)
        return [
            ResolveResult(
                hostname=host,
                host=one.address,
                port=one.port,
                family=one.family,
                proto=one.protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for one in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: int) -> list[_Found]:
    infos = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [_Found(info[0], info[2], str(info[4][0]), int(info[4][1])) for info in infos]
