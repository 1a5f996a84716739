"""docs/openai-compatibility.md has a row for every field that the `openai` package can send, and each row a test."""

from __future__ import annotations

import re
from typing import Any, get_type_hints

import openai
import pytest
from openai.types import batch_create_params, file_create_params
from openai.types import completion_create_params as completion
from openai.types import embedding_create_params as embedding
from openai.types.chat import completion_create_params as chat
from openai.types.conversations import conversation_create_params, conversation_update_params, item_create_params
from openai.types.responses import input_token_count_params, response_compact_params
from openai.types.responses import response_create_params as response

from arriero.protocols.openai import batches
from arriero.protocols.openai import embed as openai_embed
from arriero.protocols.openai import request as openai_request
from arriero.protocols.openai.fields import HARMLESS, NEUTRAL, OPTION_NAMES
from arriero.protocols.responses import compaction, conversations
from arriero.protocols.responses import request as responses_request
from tests.unit.named_tests import DOCS, runs
from tests.unit.package_routes import absent, said

PAGE = (DOCS / "openai-compatibility.md").read_text(encoding="utf-8")
VERDICTS = ("works", "accepted", "refused", "not yet")


def fields(*kinds: Any) -> set[str]:
    """The fields of the package's parameters."""
    return {name for kind in kinds for name in get_type_hints(kind)}


SENT: dict[str, set[str]] = {
    "`/v1/chat/completions`": fields(chat.CompletionCreateParamsBase, chat.CompletionCreateParamsStreaming),
    "`/v1/completions`": fields(completion.CompletionCreateParamsBase, completion.CompletionCreateParamsStreaming),
    "`/v1/embeddings`": fields(embedding.EmbeddingCreateParams),
    "`/v1/responses`": fields(
        response.ResponseCreateParamsBase,
        response.ResponseCreateParamsStreaming,
        input_token_count_params.InputTokenCountParams,
    ),
    "`/v1/responses/compact`": fields(response_compact_params.ResponseCompactParams),
    "`/v1/files`": fields(file_create_params.FileCreateParams),
    "`/v1/batches`": fields(batch_create_params.BatchCreateParams),
    "`/v1/conversations`": fields(
        conversation_create_params.ConversationCreateParams,
        conversation_update_params.ConversationUpdateParams,
        item_create_params.ItemCreateParams,
    ),
}
DECODED: dict[str, set[str]] = {
    "`/v1/chat/completions`": {*openai_request._Chat.__struct_encode_fields__, *OPTION_NAMES},
    "`/v1/completions`": {*openai_request._Completion.__struct_encode_fields__, *OPTION_NAMES},
    "`/v1/embeddings`": set(openai_embed.FIELDS),
    "`/v1/responses`": set(responses_request.FIELDS),
    "`/v1/responses/compact`": set(compaction.FIELDS) - responses_request.ACCEPTED,
    "`/v1/files`": set(batches.UPLOAD_FIELDS),
    "`/v1/batches`": set(batches.BATCH_FIELDS) - {"output_expires_after"},
    "`/v1/conversations`": {*conversations.CREATE_FIELDS, *conversations.ADD_FIELDS},
}
ACCEPTED = {
    "`/v1/responses`": responses_request.ACCEPTED,
    "`/v1/responses/compact`": responses_request.ACCEPTED,
    "`/v1/conversations`": {"include"},
}
REFUSED: dict[str, Any] = {
    "`/v1/responses`": responses_request.REFUSED,
    "`/v1/files`": ("expires_after",),
    "`/v1/batches`": ("output_expires_after",),
}
CHATS = ("`/v1/chat/completions`", "`/v1/completions`")
OWN = set().union(*(DECODED[route] for route in CHATS)) - set[str]().union(*(SENT[route] for route in CHATS))


def test_every_other_route_of_the_package_is_named() -> None:
    assert sorted(absent(openai, "/v1") ^ said(PAGE)) == []


def rows(section: str) -> dict[str, tuple[str, list[str]]]:
    """Field → how and tests, of one section."""
    text = PAGE.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^\| `(\w+)` \| (.+?) \|(.*)\|$", text, re.MULTILINE)
    assert len({name for name, _, _ in found}) == len(found), "a field twice"
    return {name: (how, re.findall(r"`([^`]+)`", tests)) for name, how, tests in found}


@pytest.mark.parametrize("section", SENT)
def test_every_field_of_the_package_has_a_row(section: str) -> None:
    assert sorted(SENT[section] ^ rows(section).keys()) == []


def test_every_field_of_our_own_has_a_row() -> None:
    assert sorted(OWN ^ rows("arriero's own").keys()) == []
    extra = DECODED["`/v1/responses`"] - SENT["`/v1/responses`"]
    assert sorted(extra - OWN - SENT["`/v1/chat/completions`"]) == []


@pytest.mark.parametrize("section", SENT)
def test_what_a_row_says_is_what_the_decoder_does(section: str) -> None:
    for name, (how, _) in rows(section).items():
        if name in DECODED[section]:
            assert how.startswith(("works", "not yet")), name
        elif name in REFUSED.get(section, NEUTRAL):
            assert how.startswith(("refused", "not yet")), name
        else:
            assert name in ACCEPTED.get(section, HARMLESS), f"{name} is decoded by nobody"
            assert how.startswith("accepted") or section == "`/v1/responses`", name


@pytest.mark.parametrize("section", [*SENT, "arriero's own"])
def test_every_row_names_tests_that_run(section: str) -> None:
    wrong = []
    for name, (how, tests) in rows(section).items():
        assert how.startswith(VERDICTS), name
        if not tests and not how.startswith("not yet"):
            wrong.append(name)
        wrong += [test for test in tests if not runs(test)]
    assert wrong == []
