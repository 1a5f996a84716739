"""Which addresses may be spoken to: public ones, and what the configuration or the request allows.

A name is checked when it is resolved for the connection itself, so a second answer of the DNS changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from socket import AddressFamily

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from arriero.store.registry.errors import NotAllowed

_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))  # NAT64: an IPv4 address is inside


class PrivateAddress(OSError):
    """A name leads to an address that is not public."""


def is_public(address: str) -> bool:
    """Whether an IP address (a zone is ignored) is one of the public internet."""
    parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if inner is None and any(parsed in network for network in _TRANSLATED):
            inner = IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return parsed.is_global and not parsed.is_multicast


class Guard:
    """Decides. `allowed` are hosts as RegistryOptions.private has them; `everything` allows all."""

    def __init__(self, allowed: Sequence[str] = (), *, everything: bool = False) -> None:
        self._all = everything or "*" in allowed
        self._hosts = frozenset(one.lower() for one in allowed)
        self._networks = []
        for one in allowed:
            try:
                self._networks.append(ip_network(one, strict=False))
            except ValueError:
                continue

    def names(self, host: str, port: int | None) -> bool:
        """Whether the configuration names this host."""
        return self._all or host.lower() in self._hosts or f"{host.lower()}:{port}" in self._hosts

    def allows(self, address: str) -> bool:
        """Whether an IP address may be connected to."""
        if self._all or is_public(address):
            return True
        parsed = ip_address(address.partition("%")[0])
        return any(parsed.version == network.version and parsed in network for network in self._networks)

    def check(self, url: URL) -> None:
        """Raise NotAllowed for a URL whose host is an address (or says localhost) that may not be spoken to."""
        host = url.host or ""
        if self.names(host, url.port):
            return
        try:
            good = self.allows(host)
        except ValueError:  # a name: checked when it is resolved
            good = not (host.lower() == "localhost" or host.lower().endswith(".localhost"))
        if not good:
            raise NotAllowed(refusal(host))


def refusal(host: str) -> str:
    """Say why a host is not spoken to, and what would change that."""
    return (
        f"{host} is not a public address. Allow it with insecure (--insecure), or name it in ARRIERO_PRIVATE_REGISTRIES"
    )


class GuardedResolver(AbstractResolver):
    """Resolves names as the system does, and gives only addresses that the guard allows."""

    def __init__(self, guard: Guard, inner: AbstractResolver | None = None) -> None:
        self._guard = guard
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses; PrivateAddress if none of them may be spoken to."""
        found = await self._inner.resolve(host, port, family)
        if self._guard.names(host, port):
            return found
        good = [one for one in found if self._guard.allows(one["host"])]
        if found and not good:
            raise PrivateAddress(refusal(host))
        return good

    async def close(self) -> None:
        """Let go of the resolver."""
        await self._inner.close()
