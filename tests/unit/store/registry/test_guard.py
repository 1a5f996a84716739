"""Addresses that are spoken to and those that are not."""

from __future__ import annotations

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from arriero.store.registry.errors import NotAllowed
from arriero.store.registry.guard import Guard, GuardedResolver, PrivateAddress, is_public


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("127.8.9.1", False),
        ("10.0.0.1", False),
        ("172.16.5.5", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "LOCALHOST", "a.localhost", "10.1.2.3:5000"])
def test_hosts_that_are_refused_unresolved(host: str) -> None:
    with pytest.raises(NotAllowed, match="not a public address"):
        Guard().check(URL(f"http://{host}/v2/"))
    Guard(everything=True).check(URL(f"http://{host}/v2/"))
    Guard(["*"]).check(URL(f"http://{host}/v2/"))


def test_what_the_configuration_allows() -> None:
    guard = Guard(["registry.lan", "localhost:5000", "10.0.0.0/8", "fd00::/8", "192.168.1.7"])
    for url in ("http://localhost:5000/", "http://10.9.8.7/", "http://[fd00::5]/", "http://192.168.1.7:80/"):
        guard.check(URL(url))
    for url in ("http://localhost:5001/", "http://11.0.0.1.localhost/", "http://192.168.1.8/", "http://127.0.0.1/"):
        with pytest.raises(NotAllowed):
            guard.check(URL(url))


class _Names(AbstractResolver):
    def __init__(self, **names: list[str]) -> None:
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=0)
            for one in self._names[host]
        ]

    async def close(self) -> None:
        pass


async def test_names_are_checked_as_they_are_resolved() -> None:
    names = _Names(good=["8.8.8.8"], bad=["10.0.0.1", "::1"], mixed=["127.0.0.1", "8.8.8.8"])
    resolver = GuardedResolver(Guard(), names)
    assert [one["host"] for one in await resolver.resolve("good")] == ["8.8.8.8"]
    assert [one["host"] for one in await resolver.resolve("mixed")] == ["8.8.8.8"]
    with pytest.raises(PrivateAddress, match="ARRIERO_PRIVATE_REGISTRIES"):
        await resolver.resolve("bad", 443)
    allowed = GuardedResolver(Guard(["bad:443"]), names)
    assert len(await allowed.resolve("bad", 443)) == 2
    with pytest.raises(PrivateAddress):
        await allowed.resolve("bad", 80)
