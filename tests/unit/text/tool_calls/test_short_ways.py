"""What is read or checked the short way comes out as the long way has it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.text.tool_calls.repair import schema, tolerant
from arriero.text.tool_calls.repair.tolerant import TolerantReader, Unreadable
from tests.unit.text.tool_calls.corpus_tools import TOOLS
from tests.unit.text.tool_calls.test_corpus import CORPUS

OBJECTS = [case["text"][case["text"].find("{") :] for case in CORPUS if "{" in case["text"]]


def read(text: str) -> tuple[Any, ...]:
    reader = TolerantReader(text)
    try:
        return reader.read(), reader.end, sorted(reader.repairs)
    except Unreadable as error:
        return (str(error),)


def test_quiet_members_are_what_they_are_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*OBJECTS, *(text.replace('"', "'") for text in OBJECTS), *(text[:-3] for text in OBJECTS)]
    short = [read(text) for text in texts]
    calls: list[int] = []

    def never_quiet(text: str, at: int, found: object, notes: object) -> int:
        calls.append(at)
        return at

    monkeypatch.setattr(tolerant, "read_quiet", never_quiet)
    assert short == [read(text) for text in texts]
    assert len(calls) > len(texts) / 2


NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, 1e300])
VALUES = st.recursive(
    NUMBERS | st.booleans() | st.none() | st.sampled_from(["celsius", "x", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["city", "days", "to"]), inner),
    max_leaves=6,
)
BOUNDS = st.fixed_dictionaries({}, optional={"minimum": NUMBERS, "maximum": NUMBERS, "minItems": NUMBERS})
SCHEMAS = st.recursive(
    st.builds(lambda kind, more: {"type": kind, **more}, st.sampled_from(["x", "string", "integer", "number"]), BOUNDS)
    | st.sampled_from([{"type": "null"}, {"type": "string", "enum": ["x", 1]}, {"anyOf": [{"type": "null"}]}, {}]),
    lambda inner: (
        st.builds(lambda items, more: {"type": "array", "items": items, **more}, inner, BOUNDS)
        | st.builds(
            lambda properties, required: {"type": "object", "properties": properties, "required": required},
            st.dictionaries(st.sampled_from(["city", "days"]), inner),
            st.lists(st.sampled_from(["city", "to"]), max_size=1),
        )
    ),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(VALUES, SCHEMAS)
def test_what_plainly_fits_has_no_problem(value: Any, own: Any) -> None:
    if schema.fits_plainly(value, own):
        assert not list(schema._problems(value, own, schema._Check({}, schema.Budget()), "$", 0))


def test_the_usual_arguments_fit_plainly() -> None:
    tools = {tool.name: tool.parameters for tool in TOOLS}
    for case in CORPUS:
        if case["kind"] == "valid":
            assert all(schema.fits_plainly(call["arguments"], tools[call["name"]]) for call in case["calls"]), case
