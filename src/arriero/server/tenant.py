"""Who asks, as a hash: tokens are shared out by it. Keys and names of users never leave this file in clear."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from arriero.protocols.call import Call, with_fields
from arriero.protocols.end_user import end_user

if TYPE_CHECKING:  # the configuration needs this file, and every command the configuration: it stays quick to load
    from starlette.types import Scope

SCOPE_KEY = "arriero.tenant"
"""Where the scope of a request that came with a valid API key has that key's tenant."""


BACKGROUND_KEY = "arriero.background"
"""Is in the scope of requests that nobody waits for: they go behind all others."""


def key_tenant(key: str) -> str:
    """The tenant of an API key; the same in every process."""
    return _hash("key", key)


def tenant_of(scope: Scope, body: bytes) -> str:
    """The tenant of a request: by its API key; where none is asked for, by client address and the user it names."""
    by_key = scope.get(SCOPE_KEY)
    if by_key:
        return str(by_key)
    client = scope.get("client")
    return _hash("client", client[0] if client else "", end_user(body))


def with_tenant(call: Call, scope: Scope, body: bytes) -> Call:
    """Return the call with its tenant in all that it asks for, and behind all others if nobody waits for it."""
    tenant = tenant_of(scope, body)
    last = {"priority": min(-1, call.request.priority)} if scope.get(BACKGROUND_KEY) else {}
    return with_fields(call, tenant=tenant, **last)


def _hash(*parts: str) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=12).hexdigest()
