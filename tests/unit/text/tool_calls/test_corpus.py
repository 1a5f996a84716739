"""The corpus of broken calls: all that can be mended is mended to the letter, nothing is made up, valid calls stay."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from arriero.text.tool_calls import FAMILIES, Family
from tests.unit.text.tool_calls.corpus_tools import TOOLS
from tests.unit.text.tool_calls.driving import Outcome, parse
from tests.unit.text.tool_calls.make_corpus import FILE, written

CORPUS: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
BY_NAME: dict[str, Family] = {family.name: family for family in FAMILIES}


def outcome(case: dict[str, Any], pieces: list[str]) -> Outcome:
    return parse(BY_NAME[case["family"]], pieces, TOOLS, cut=case.get("cut", False))


def calls(found: Outcome) -> list[dict[str, Any]]:
    return [{"name": call.name, "arguments": call.arguments} for call in found.calls]


def failing(kind: str) -> list[tuple[str, str, str, Any, Any]]:
    wrong = []
    for case in CORPUS:
        found = outcome(case, [case["text"]])
        ordered = case["family"] == "gemma"  # its makers' template writes members in the order of their names
        texts = [json.dumps(one, sort_keys=ordered) for one in (calls(found), case["calls"])]
        if case["kind"] == kind and texts[0] != texts[1]:
            wrong.append((case["family"], case["how"], case["text"], calls(found), found.repairer.failures))
    return wrong


def test_it_is_what_its_generator_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == written()


def test_it_is_large_enough() -> None:
    kinds = Counter(case["kind"] for case in CORPUS)
    assert kinds["repairable"] + kinds["unrepairable"] >= 400
    assert kinds["valid"] >= 300
    assert {case["family"] for case in CORPUS} == set(BY_NAME)


def test_all_that_can_be_mended_is() -> None:
    assert failing("repairable") == []


def test_nothing_of_a_mended_call_is_left_in_the_text() -> None:
    left = [
        case
        for case in CORPUS
        if case["kind"] == "repairable" and set("`{}[]") & set(outcome(case, [case["text"]]).text)
    ]
    assert left == []


def test_nothing_is_made_up() -> None:
    assert failing("unrepairable") == []


def test_no_valid_call_is_changed() -> None:
    assert failing("valid") == []
    for case in CORPUS:
        if case["kind"] == "valid":
            assert not outcome(case, [case["text"]]).repairer.repairs, case


@pytest.mark.parametrize("size", [1, 5])
def test_pieces_do_not_matter(size: int) -> None:
    for case in CORPUS:
        text = case["text"]
        whole, cut = outcome(case, [text]), outcome(case, [text[at : at + size] for at in range(0, len(text), size)])
        assert (calls(whole), whole.text, whole.thinking) == (calls(cut), cut.text, cut.thinking), case


def test_what_is_no_call_is_text() -> None:
    for case in CORPUS:
        if case["kind"] == "unrepairable" and case["family"] != "harmony":
            shown = "".join(outcome(case, [case["text"]]).text.split())
            assert shown == "".join(case["text"].split()), case
