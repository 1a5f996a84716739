"""Route: Starlette's, with our answer to a wrong verb."""

from __future__ import annotations

from starlette.routing import Route as StarletteRoute
from starlette.types import Receive, Scope, Send

from arriero.server.errors import not_allowed


class Route(StarletteRoute):
    """One path and its verbs."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; 405 for another verb."""
        if self.methods and scope["method"] not in self.methods:
            await not_allowed(scope, self.methods)(scope, receive, send)
        else:
            await super().handle(scope, receive, send)
