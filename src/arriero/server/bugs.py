"""A bug met while answering: logged whole and counted; the client is told the id under which the log has it."""

from __future__ import annotations

import logging

from starlette.types import Scope

from arriero.core.errors import ErrorInfo
from arriero.server.contract import HttpMetrics
from arriero.server.errors import REQUEST_ID_KEY

log = logging.getLogger(__name__)


def record_bug(scope: Scope, metrics: HttpMetrics | None, *, begun: bool = False) -> ErrorInfo:
    """Log and count the exception that is being handled; return what to tell. `begun`: some of the answer is sent."""
    request_id = scope.get(REQUEST_ID_KEY, "")
    log.exception("request %s failed%s", request_id, " in the middle of its answer" if begun else "")
    if metrics is not None:
        metrics.internal_error()
    return ErrorInfo("internal", f"internal error, request id {request_id}")
