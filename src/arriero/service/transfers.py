"""Pull and push as one object, made on first use: only from here on the HTTP client is imported."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from arriero.core.library import Progress
from arriero.service.library import Library
from arriero.service.pull import Puller
from arriero.service.push import Pusher
from arriero.store.places import Stores
from arriero.store.registry.options import RegistryOptions


class Transfers:
    """Moves models between `stores` and registries. `library` makes a model of a file that came alone."""

    def __init__(self, stores: Stores, options: RegistryOptions, library: Library) -> None:
        self._puller = Puller(stores, options, library.create, library.check_free)
        self._pusher = Pusher(stores, options)

    def pull(self, model: str, insecure: bool) -> AsyncGenerator[Progress, None]:
        """See Puller."""
        return self._puller.pull(model, insecure)

    def push(self, model: str, insecure: bool) -> AsyncGenerator[Progress, None]:
        """See Pusher."""
        return self._pusher.push(model, insecure)

    async def close(self) -> None:
        """Stop what is under way; what has come stays for the next time."""
        await self._puller.close()
