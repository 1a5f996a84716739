"""What a compaction asks of the model, and what becomes of the answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arriero.core.errors import InvalidRequest
from arriero.core.events import Accepted, Event, Finished, TextDelta, ThinkingDelta
from arriero.protocols.responses.compaction import CompactionReply, decode_compact
from arriero.protocols.responses.items import read_items
from arriero.protocols.responses.summary import ASK
from tests.unit.protocols.conftest import find
from tests.unit.server.fake import USAGE

ENDED = Finished(reason="stop", usage=USAGE)


def draft(**fields: Any) -> Any:
    return decode_compact(msgspec.json.encode({"model": "demo", "input": "hi", **fields}))


def summed_up(*events: Event) -> Any:
    return msgspec.json.decode(CompactionReply("0" * 8, 1).whole([Accepted(prompt_tokens=1), *events], 0))


def test_what_the_model_is_asked() -> None:
    call = draft(instructions="Be brief.", service_tier="flex").call([], find)
    assert [(one.role, one.content) for one in call.request.messages] == [
        ("system", "Be brief."),
        ("user", "hi"),
        ("user", ASK),
    ]
    assert (call.request.sampling.temperature, call.service_tier, call.stream) == (0, "flex", False)


def test_harmless_fields() -> None:
    plain = draft().call([], find).request
    for name, value in [
        ("image", {"context_compression": "auto"}),
        ("prompt_cache_key", "k"),
        ("prompt_cache_options", {"mode": "implicit"}),
        ("prompt_cache_retention", "24h"),
    ]:
        assert draft(**{name: value}).call([], find).request == plain
    for name in ("stream", "tools", "store"):
        with pytest.raises(InvalidRequest, match=name):
            draft(**{name: True})


def test_a_summary_comes_back_as_turns() -> None:
    reply = summed_up(ThinkingDelta(text="hm"), TextDelta(text=" Ada "), TextDelta(text="said héllo. "), ENDED)
    asked, said = read_items(reply["output"])
    assert (asked.role, asked.content) == ("user", ASK)
    assert (said.role, said.content) == ("assistant", "Ada said héllo.")
    assert reply["usage"]["output_tokens"] == USAGE.completion_tokens


@pytest.mark.parametrize(
    "events", [[TextDelta(text=" "), ENDED], [TextDelta(text="Ad"), Finished(reason="length", usage=USAGE)]]
)
def test_none_is_better_than_half_a_summary(events: list[Event]) -> None:
    with pytest.raises(InvalidRequest, match="summary"):
        summed_up(*events)
