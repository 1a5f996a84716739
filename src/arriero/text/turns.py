"""A conversation as a template can take it: turns joined, moved and paired, none dropped. It knows no template."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import msgspec

from arriero.core.request import Message, ToolCall

_SHORT = 9  # letters and digits that Mistral's templates want of a call's id


def leading(messages: Sequence[Message]) -> bool:
    """Whether system turns stand at the beginning alone."""
    roles = [turn.role for turn in messages]
    return "system" not in roles[next((at for at, role in enumerate(roles) if role != "system"), len(roles)) :]


def one_system(messages: Sequence[Message]) -> Sequence[Message]:
    """Return the messages with the system turns at their beginning as one."""
    others = next((at for at, turn in enumerate(messages) if turn.role != "system"), len(messages))
    if others < 2:
        return messages
    return [Message(role="system", content=_texts(messages[:others])), *messages[others:]]


def said_by_user(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with later system turns as the user's, one turn with the user's own beside them."""
    groups: list[list[Message]] = []
    begun = made = False  # the leading turns are over; the last turn is the user's by us
    for turn in messages:
        begun = begun or turn.role != "system"
        moved = begun and turn.role == "system"
        now = Message(role="user", content=turn.content) if moved else turn
        if groups and now.role == groups[-1][0].role == "user" and (moved or made):
            groups[-1].append(now)
        else:
            groups.append([now])
        made = moved
    return [turns[0] if len(turns) == 1 else Message(role="user", content=_texts(turns)) for turns in groups]


def without_system(messages: Sequence[Message]) -> list[Message] | None:
    """Return the messages with the system texts put before the first user turn; None if there is nothing to move."""
    system = [turn for turn in messages if turn.role == "system" and turn.content]
    others = [turn for turn in messages if turn.role != "system"]
    first = next((index for index, turn in enumerate(others) if turn.role == "user"), None)
    if not system or first is None:
        return None
    said = [others[first]] if others[first].content else []
    others[first] = Message(role="user", content=_texts([*system, *said]))
    return others


def merged(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with neighbours of one role as one turn, as Ollama has them; tools' results stay apart."""
    turns: list[Message] = []
    for role, same in groupby(messages, key=lambda turn: turn.role):
        group = list(same)
        turns += group if role == "tool" or len(group) == 1 else [_together(group)]
    return turns


def thought_before_calls(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with what was said before calls as the end of the thinking before them."""
    return [
        msgspec.structs.replace(turn, content="", thinking=f"{turn.thinking}\n\n{turn.content}")
        if turn.tool_calls and turn.thinking and turn.content
        else turn
        for turn in messages
    ]


def beside_results(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with what a user says right behind a tool's result as the end of that result."""
    turns: list[Message] = []
    for turn in messages:
        if turn.role == "user" and turns and turns[-1].role == "tool":
            turns[-1] = msgspec.structs.replace(turns[-1], content=_texts([turns[-1], turn]))
        else:
            turns.append(turn)
    return turns


def paired(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with what a client left out of calls and results: ids, and the names of results' tools.

    A result without an id answers the first call that waits for one, of its tool where it names one.
    """
    turns: list[Message] = []
    waiting: dict[str, str] = {}  # ids of calls without a result, and their tools
    count = 0
    for turn in messages:
        if turn.tool_calls:
            calls = []
            for call in turn.tool_calls:
                calls.append(call if call.id else msgspec.structs.replace(call, id=_id(count)))
                count += 1
            waiting.update((call.id, call.name) for call in calls)
            turns.append(msgspec.structs.replace(turn, tool_calls=tuple(calls)))
        elif turn.role == "tool":
            named = turn.tool_name
            answers = turn.tool_call_id or next(
                (id_ for id_, name in waiting.items() if named is None or name == named), None
            )
            name = waiting.pop(answers or "", None)
            turns.append(msgspec.structs.replace(turn, tool_call_id=answers, tool_name=named or name))
        else:
            turns.append(turn)
    return turns


def one_call_a_turn(messages: Sequence[Message]) -> list[Message]:
    """Return the messages, paired before, with each call of a turn in a turn of its own, its results behind it."""
    turns: list[Message] = []
    results: dict[str | None, list[Message]] = {}  # of the calls that are being set apart
    calls: list[Message] = []

    def write() -> None:
        for turn in calls:
            turns.append(turn)
            turns.extend(results.pop(turn.tool_calls[0].id, ()))
        turns.extend(result for left in results.values() for result in left)
        calls.clear()
        results.clear()

    for turn in messages:
        if turn.role == "tool" and calls:
            results.setdefault(turn.tool_call_id, []).append(turn)
            continue
        write()
        if len(turn.tool_calls) < 2:
            turns.append(turn)
            continue
        first, *others = turn.tool_calls
        calls += [msgspec.structs.replace(turn, tool_calls=(first,))]
        calls += [Message(role=turn.role, tool_calls=(call,)) for call in others]
    write()
    return turns


def results_in_words(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with calls as what the assistant said, and their results as what the user did."""
    turns: list[Message] = []
    for turn in messages:
        if turn.tool_calls:
            calls = [{"name": call.name, "arguments": call.unread or call.arguments} for call in turn.tool_calls]
            said = [turn.content, *(json.dumps(call, ensure_ascii=False) for call in calls)]
            turns.append(msgspec.structs.replace(turn, tool_calls=(), content="\n".join(filter(None, said))))
        elif turn.role == "tool":
            turns.append(Message(role="user", content=turn.content))
        else:
            turns.append(turn)
    return merged(turns)


def calls_in_text(messages: Sequence[Message], write: Callable[[Sequence[ToolCall]], str]) -> list[Message]:
    """Return the messages with each turn's calls as the end of its text, as `write` has them."""

    def said(turn: Message) -> Message:
        calls = [
            msgspec.structs.replace(call, arguments={"arguments": call.unread}) if call.unread else call
            for call in turn.tool_calls
        ]
        text = "\n".join(filter(None, [turn.content, write(calls)]))
        return msgspec.structs.replace(turn, tool_calls=(), content=text)

    return [said(turn) if turn.tool_calls else turn for turn in messages]


def with_short_ids(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with ids of nine letters and digits; clients', and ours, are longer."""
    given = [id_ for turn in messages for id_ in (*(call.id for call in turn.tool_calls), turn.tool_call_id) if id_]
    if all(len(id_) == _SHORT and id_.isascii() and id_.isalnum() for id_ in given):
        return list(messages)
    short = {id_: _id(number) for number, id_ in enumerate(dict.fromkeys(given))}

    def renamed(turn: Message) -> Message:
        calls = tuple(msgspec.structs.replace(call, id=short.get(call.id, "")) for call in turn.tool_calls)
        return msgspec.structs.replace(turn, tool_calls=calls, tool_call_id=short.get(turn.tool_call_id or ""))

    return [renamed(turn) if turn.tool_calls or turn.tool_call_id else turn for turn in messages]


def _id(number: int) -> str:
    return f"call{number:05d}"


def _texts(turns: Iterable[Message]) -> str:
    return "\n\n".join(turn.content for turn in turns)


def _together(group: Sequence[Message]) -> Message:
    thoughts = [turn.thinking for turn in group if turn.thinking]
    return msgspec.structs.replace(
        group[0],
        content=_texts(group),
        thinking="\n\n".join(thoughts) if thoughts else group[0].thinking,
        tool_calls=tuple(call for turn in group for call in turn.tool_calls),
    )
