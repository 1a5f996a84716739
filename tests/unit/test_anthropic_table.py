"""docs/anthropic-compatibility.md has a row for all that the `anthropic` package can send, and each row has a test."""

from __future__ import annotations

import re
from typing import Any, get_args, get_type_hints

import anthropic
import pytest
from anthropic.types import message_count_tokens_params as count
from anthropic.types import message_create_params as create
from anthropic.types.beta import message_count_tokens_params as beta_count
from anthropic.types.beta import message_create_params as beta_create
from anthropic.types.content_block_param import ContentBlockParam
from anthropic.types.tool_param import ToolParam

from arriero.protocols.anthropic.fields import HARMLESS, NEUTRAL
from arriero.protocols.anthropic.request import HONOURED
from arriero.protocols.anthropic.tools import FIELDS
from tests.unit.named_tests import DOCS, runs
from tests.unit.package_routes import absent, said

PAGE = (DOCS / "anthropic-compatibility.md").read_text(encoding="utf-8")
VERDICTS = ("works", "accepted", "refused", "not yet")
OWN = "Fields that the package no longer names, and arriero's own"
SECTIONS = ("Fields", OWN, "Content blocks", "Fields of a tool", "Around it")

SENT = {
    name
    for kind in (
        *(create.MessageCreateParamsBase, create.MessageCreateParamsStreaming, count.MessageCountTokensParams),
        *(beta_create.MessageCreateParamsBase, beta_create.MessageCreateParamsStreaming),
        beta_count.MessageCountTokensParams,
    )
    for name in get_type_hints(kind)
}
DECODED = {*HONOURED, *HARMLESS, *NEUTRAL}


def rows(section: str) -> dict[str, tuple[str, list[str]]]:
    """What → how and tests, of one section."""
    text = PAGE.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^\| (?!-|field|block|what)(.+?) \| (.+?) \|(.*)\|$", text, re.MULTILINE)
    assert len({name for name, _, _ in found}) == len(found), "a row twice"
    return {name.strip("`"): (how, re.findall(r"`([^`]+)`", tests)) for name, how, tests in found}


def test_every_field_of_the_package_has_a_row() -> None:
    assert sorted(SENT ^ rows("Fields").keys()) == []


def test_every_other_route_of_the_package_is_named() -> None:
    assert sorted(absent(anthropic, "/v1") ^ said(PAGE)) == []


def test_every_other_field_that_is_decoded_has_a_row() -> None:
    assert sorted((DECODED - SENT) ^ rows(OWN).keys()) == []


def test_every_block_of_the_package_has_a_row() -> None:
    kinds: set[str] = set()
    for block in get_args(ContentBlockParam):
        (kind,) = get_args(get_args(get_type_hints(block, include_extras=True)["type"])[0])
        kinds.add(kind)
    assert sorted(kinds ^ rows("Content blocks").keys()) == []


def test_every_field_of_a_tool_has_a_row() -> None:
    assert sorted(set(get_type_hints(ToolParam)) ^ rows("Fields of a tool").keys()) == []
    assert sorted(set(FIELDS) ^ rows("Fields of a tool").keys()) == []


@pytest.mark.parametrize("section", ["Fields", OWN])
def test_what_a_row_says_is_what_the_decoder_does(section: str) -> None:
    verdicts: list[tuple[Any, str]] = [(HONOURED, "works"), (HARMLESS, "accepted"), (NEUTRAL, "refused")]
    for name, (how, _) in rows(section).items():
        assert [verdict for names, verdict in verdicts if name in names] == [how.split()[0].rstrip(":;,")], name


@pytest.mark.parametrize("section", SECTIONS)
def test_every_row_names_tests_that_run(section: str) -> None:
    found = rows(section)
    assert len(found) > 5
    for name, (how, tests) in found.items():
        assert how.startswith(VERDICTS), name
        assert tests, f"{name} names no test"
        assert [test for test in tests if not runs(test)] == [], name
