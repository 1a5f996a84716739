"""The ASGI application: all routes and the order of the middleware, one list each."""

from __future__ import annotations

from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from arriero.core.version import __version__
from arriero.server.contract import HttpMetrics, Service
from arriero.server.errors import not_found
from arriero.server.middleware.access_log import AccessLog
from arriero.server.middleware.auth import Auth
from arriero.server.middleware.body_limit import BodyLimit
from arriero.server.middleware.catch_all import CatchAll
from arriero.server.middleware.cors import Cors
from arriero.server.middleware.host_check import HostCheck
from arriero.server.middleware.query_names import QueryNames
from arriero.server.middleware.request_id import RequestId
from arriero.server.options import ServerOptions
from arriero.server.route import Route
from arriero.server.routes.anthropic import AnthropicRoutes, by_header
from arriero.server.routes.batches import BatchRoutes
from arriero.server.routes.context import Context
from arriero.server.routes.conversations import ConversationRoutes
from arriero.server.routes.embed import EmbedRoutes
from arriero.server.routes.health import HealthRoutes
from arriero.server.routes.library import LibraryRoutes
from arriero.server.routes.message_batches import MessageBatchRoutes
from arriero.server.routes.missing import MISSING, missing
from arriero.server.routes.ollama import OllamaRoutes
from arriero.server.routes.openai import OpenAIRoutes
from arriero.server.routes.rank import RankRoutes
from arriero.server.routes.responses import ResponsesRoutes
from arriero.server.routes.tokens import TokenRoutes
from arriero.server.routes.transfer import TransferRoutes


def routes(context: Context) -> list[Route]:
    """Every route there is. A GET route answers HEAD too."""
    ollama, openai, health = OllamaRoutes(context), OpenAIRoutes(context), HealthRoutes(context)
    library, transfer = LibraryRoutes(context), TransferRoutes(context)
    embed, rank = EmbedRoutes(context), RankRoutes(context)
    responses, batches = ResponsesRoutes(context), BatchRoutes(context)
    anthropic, tokens = AnthropicRoutes(context), TokenRoutes(context)
    conversations = ConversationRoutes(context)
    message_batches = MessageBatchRoutes(context)
    return [
        Route("/", ollama.root, methods=["GET"]),
        Route("/api/version", ollama.version, methods=["GET"]),
        Route("/api/tags", ollama.tags, methods=["GET"]),
        Route("/api/ps", ollama.ps, methods=["GET"]),
        Route("/api/show", ollama.show, methods=["POST"]),
        Route("/api/generate", ollama.generate, methods=["POST"]),
        Route("/api/chat", ollama.chat, methods=["POST"]),
        Route("/api/embed", embed.embed, methods=["POST"]),
        Route("/api/embeddings", embed.embeddings, methods=["POST"]),
        Route("/api/create", library.create, methods=["POST"]),
        Route("/api/pull", transfer.pull, methods=["POST"]),
        Route("/api/push", transfer.push, methods=["POST"]),
        Route("/api/copy", library.copy, methods=["POST"]),
        Route("/api/delete", library.delete, methods=["DELETE"]),
        Route("/api/blobs/{digest}", library.head_blob, methods=["HEAD"]),
        Route("/api/blobs/{digest}", library.put_blob, methods=["POST"]),
        Route("/api/status", library.status, methods=["GET"]),
        Route("/v1/models", by_header(anthropic.models, openai.models), methods=["GET"]),
        Route("/v1/models/{id:path}", by_header(anthropic.model, openai.model), methods=["GET"]),
        Route("/v1/chat/completions", openai.chat, methods=["POST"]),
        Route("/v1/completions", openai.completions, methods=["POST"]),
        Route("/v1/responses", responses.create, methods=["POST"]),
        Route("/v1/responses/input_tokens", responses.input_tokens, methods=["POST"]),
        Route("/v1/responses/compact", responses.compact, methods=["POST"]),
        Route("/v1/responses/{id}", responses.get, methods=["GET"]),
        Route("/v1/responses/{id}", responses.delete, methods=["DELETE"]),
        Route("/v1/responses/{id}/cancel", responses.cancel, methods=["POST"]),
        Route("/v1/responses/{id}/input_items", responses.input_items, methods=["GET"]),
        Route("/v1/conversations", conversations.create, methods=["POST"]),
        Route("/v1/conversations/{id}", conversations.get, methods=["GET"]),
        Route("/v1/conversations/{id}", conversations.update, methods=["POST"]),
        Route("/v1/conversations/{id}", conversations.delete, methods=["DELETE"]),
        Route("/v1/conversations/{id}/items", conversations.add, methods=["POST"]),
        Route("/v1/conversations/{id}/items", conversations.items, methods=["GET"]),
        Route("/v1/conversations/{id}/items/{item}", conversations.item, methods=["GET"]),
        Route("/v1/conversations/{id}/items/{item}", conversations.delete_item, methods=["DELETE"]),
        Route("/v1/files", batches.upload, methods=["POST"]),
        Route("/v1/files", batches.files, methods=["GET"]),
        Route("/v1/files/{id}", batches.file, methods=["GET"]),
        Route("/v1/files/{id}", batches.delete, methods=["DELETE"]),
        Route("/v1/files/{id}/content", batches.content, methods=["GET"]),
        Route("/v1/batches", batches.create, methods=["POST"]),
        Route("/v1/batches", batches.batches, methods=["GET"]),
        Route("/v1/batches/{id}", batches.batch, methods=["GET"]),
        Route("/v1/batches/{id}/cancel", batches.cancel, methods=["POST"]),
        Route("/v1/messages", anthropic.messages, methods=["POST"]),
        Route("/v1/messages/count_tokens", anthropic.count_tokens, methods=["POST"]),
        Route("/v1/messages/batches", message_batches.create, methods=["POST"]),
        Route("/v1/messages/batches", message_batches.batches, methods=["GET"]),
        Route("/v1/messages/batches/{id}", message_batches.batch, methods=["GET"]),
        Route("/v1/messages/batches/{id}", message_batches.delete, methods=["DELETE"]),
        Route("/v1/messages/batches/{id}/results", message_batches.results, methods=["GET"]),
        Route("/v1/messages/batches/{id}/cancel", message_batches.cancel, methods=["POST"]),
        Route("/v1/embeddings", embed.openai, methods=["POST"]),
        *(Route(path, rank.rerank, methods=["POST"]) for path in ("/v1/rerank", "/v2/rerank", "/rerank")),
        *(Route(path, rank.score, methods=["POST"]) for path in ("/v1/score", "/score")),
        Route("/tokenize", tokens.tokenize, methods=["POST"]),
        Route("/detokenize", tokens.detokenize, methods=["POST"]),
        Route("/live", health.live, methods=["GET"]),
        Route("/ready", health.ready, methods=["GET"]),
        Route("/health", health.ready, methods=["GET"]),
        Route("/metrics", health.metrics, methods=["GET"]),
        *(Route(path, missing, methods=list(methods)) for path, methods in MISSING),
    ]


def _router(service: Service, options: ServerOptions, metrics: HttpMetrics | None) -> ASGIApp:
    context = Context(service, __version__, metrics, options.unknown_fields, options.strip_client_headers)
    return QueryNames(Router(routes(context), redirect_slashes=False, default=_not_found), context.ignored)


def inner_app(service: Service, options: ServerOptions, metrics: HttpMetrics | None = None) -> ASGIApp:
    """Return the application for requests of the server's own: no key, no origin, no log of theirs."""
    return CatchAll(_router(service, options, metrics), metrics)


def create_app(service: Service, options: ServerOptions, metrics: HttpMetrics | None = None) -> ASGIApp:
    """Return the application. `metrics` counts HTTP requests; the service renders what it counted."""
    app = _router(service, options, metrics)
    # From the inside out: what comes later sees a request earlier.
    app = BodyLimit(app, options.max_body)
    app = Auth(app, options.api_keys)
    app = CatchAll(app, metrics)  # within Cors: pages may read errors, too
    app = Cors(app, options.origins)
    app = HostCheck(app, options.host)
    app = AccessLog(app, metrics)
    return RequestId(app)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})
        return
    await not_found(scope)(scope, receive, send)
