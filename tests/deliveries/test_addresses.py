"""
Where a webhook may go.
"""

from __future__ import annotations

import socket

import pytest

from headrace.core.errors import InvalidError
from headrace.deliveries.addresses import (
    AddressRefusedError,
    OwnThreadsResolver,
    checked_url,
    checking_sockets,
    why_refused,
)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "::1",
        "0.0.0.0",  # noqa: S104 - an address to refuse, not to bind
        "::",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "2002:7f00:1::",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "2001:db8::1",
        "2001::1",
        "192.0.2.1",
        "198.18.0.1",
        "203.0.113.1",
        "224.0.0.1",
        "ff02::1",
        "240.0.0.1",
        "255.255.255.255",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    """
    Nothing of this machine, its network or its cloud can be reached by a webhook.
    """
    assert why_refused(address, private_networks=False)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]
)
def test_public_addresses_are_open(address: str) -> None:
    """
    The world at large can be told.
    """
    assert why_refused(address, private_networks=False) == ""


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.9", "100.64.0.1", "fd12::1", "1.1.1.1"])
def test_private_networks_can_be_opened(address: str) -> None:
    """
    Who runs receivers beside the server opens loopback and private addresses.
    """
    assert why_refused(address, private_networks=True) == ""


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "::ffff:a9fe:a9fe", "fe80::1", "0.0.0.1", "::", "224.0.0.1", "255.255.255.255"]
)
def test_link_local_stays_closed_even_then(address: str) -> None:
    """
    Clouds hand out credentials on link-local addresses; no setting opens them.
    """
    assert why_refused(address, private_networks=True)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "unix:///run/docker.sock",
        "//example.com/",
        "example.com",
        "",
        "http://",
        "http:///path",
        "http://evil@127.0.0.1/",
        "http://user:password@example.com/",
        "http://example.com:22/",
        "http://example.com:25/",
        "https://example.com:0/",
        "http://example.com:99999/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://[::1/",
    ],
)
def test_odd_urls_are_refused(url: str) -> None:
    """
    A URL that hides where it goes, or asks another service, is refused before any look-up.
    """
    with pytest.raises(InvalidError):
        checked_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "https://example.com",
        "https://example.com:8443/a?b=c",
        "http://127.0.0.1:9000/",
        "http://[::1]:9000/",
        "https://hooks.example4.com/1",
        "https://bücher.example/",
    ],
)
def test_usual_urls_are_taken(url: str) -> None:
    """
    The URL's form alone says nothing against these; their address is judged later.
    """
    assert checked_url(url).host


def test_the_check_is_made_on_the_address_that_is_connected() -> None:
    """
    There is no socket for a refused address, whatever name led to it.
    """
    open_socket = checking_sockets(private_networks=False)

    with pytest.raises(AddressRefusedError, match="a loopback address"):
        open_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)))
    with open_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("1.1.1.1", 80))) as allowed:
        assert allowed.type == socket.SOCK_STREAM


async def test_names_resolve_in_threads_of_their_own() -> None:
    """
    The resolver gives numeric addresses with their family.
    """
    resolver = OwnThreadsResolver(1)
    found = await resolver.resolve("localhost", 80)
    await resolver.close()

    assert {(one["host"], one["port"], one["family"]) for one in found} == {("127.0.0.1", 80, socket.AF_INET)}
