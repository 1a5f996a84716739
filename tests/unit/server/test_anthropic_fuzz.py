"""No body on Anthropic's routes makes the server answer for a bug of its own; a third of them reach the model.

`ARRIERO_FUZZ_EXAMPLES` says how many are tried.
"""

from __future__ import annotations

import asyncio
import os

from hypothesis import HealthCheck, given, settings

from arriero.core.events import Accepted, Finished, TextDelta, ThinkingDelta, ToolCallDelta
from arriero.core.request import ToolCall
from arriero.server.errors import STATUS
from tests.unit.protocols.anthropic.bodies import BODIES
from tests.unit.server.conftest import in_process
from tests.unit.server.fake import USAGE
from tests.unit.server.test_fuzz import bugs

EXAMPLES = int(os.environ.get("ARRIERO_FUZZ_EXAMPLES", "150"))
SCRIPT = (
    Accepted(prompt_tokens=12),
    ThinkingDelta(text="hm"),
    TextDelta(text=" Let me see."),
    ToolCallDelta(index=0, call=ToolCall(name="add", arguments={"a": 1})),
    Finished(reason="stop", usage=USAGE),
)


def test_any_body() -> None:
    asked = 0
    with asyncio.Runner() as runner:
        app = in_process()
        running, http = runner.run(app.__aenter__())
        running.service.script = SCRIPT

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(body=BODIES)
        def exchange(body: bytes) -> None:
            nonlocal asked
            asked += 1
            counted = runner.run(http.post("/v1/messages/count_tokens", content=body))
            assert counted.status_code in (200, STATUS["invalid_request"], STATUS["model_not_found"])
            reached = len(running.service.requests)
            response = runner.run(http.post("/v1/messages", content=body))
            assert not bugs(running.metrics)
            assert (response.status_code == 200) == (len(running.service.requests) > reached)
            if response.status_code == 200:
                assert '"type":"message"' in response.text
                return
            assert response.status_code in (STATUS["invalid_request"], STATUS["model_not_found"])
            error = response.json()
            assert error["type"] == "error"
            assert error["error"]["type"] in ("invalid_request_error", "not_found_error")
            assert error["error"]["message"]
            running.service.requests.clear()

        exchange()
        reached = running.service.endings.count("exhausted")
        runner.run(app.__aexit__(None, None, None))
    assert reached >= asked / 3
