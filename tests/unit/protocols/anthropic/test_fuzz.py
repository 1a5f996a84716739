"""Whatever bytes come in, Anthropic's decoders return what a worker can be sent, or raise one of our errors."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings

from arriero.core.errors import ArrieroError
from arriero.core.messages import Generate, Prompt, decode_commands, encode_frame
from arriero.protocols.anthropic.request import decode_count, decode_messages
from tests.unit.protocols.anthropic.bodies import BODIES, SOUND
from tests.unit.protocols.conftest import find


@settings(max_examples=150, deadline=None)
@given(body=BODIES)
def test_any_message(body: bytes) -> None:
    try:
        call = decode_messages(body, find)
    except ArrieroError as error:
        msgspec.json.encode(error.info())
        return
    assert decode_commands(encode_frame([Generate(id=1, request=call.request)])[4:]) == [
        Generate(id=1, request=call.request)
    ]


@settings(max_examples=150, deadline=None)
@given(body=BODIES)
def test_any_count(body: bytes) -> None:
    try:
        request, _ = decode_count(body, find)
    except ArrieroError as error:
        msgspec.json.encode(error.info())
        return
    assert decode_commands(encode_frame([Prompt(id=1, request=request)])[4:]) == [Prompt(id=1, request=request)]


@settings(max_examples=50, deadline=None)
@given(body=SOUND.map(msgspec.json.encode))
def test_what_is_sound_is_decoded(body: bytes) -> None:
    assert decode_messages(body, find).request.messages
