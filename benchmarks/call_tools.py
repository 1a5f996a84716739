"""25 tools, what to ask so that a model calls each, and the arguments that were asked for."""

from __future__ import annotations

from typing import Any, NamedTuple


class Case(NamedTuple):
    """A tool, the user's message, and the call that answers it."""

    name: str
    parameters: dict[str, Any]
    ask: str
    arguments: dict[str, Any]


def _fields(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split()}


def _text(most: int = 40) -> dict[str, Any]:
    return {"type": "string", "maxLength": most}


def _whole(low: int, high: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


def _one_of(words: str) -> dict[str, Any]:
    return {"type": "string", "enum": words.split()}


def _list(items: dict[str, Any], most: int = 3) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


_POINT = _fields("x y", x=_whole(-100, 100), y=_whole(-100, 100))
_PERSON = _fields("name age", name=_text(20), age=_whole(0, 150))

CASES = (
    Case("get_weather", _fields("city", city=_text()), "Use get_weather with city Rome.", {"city": "Rome"}),
    Case("set_timer", _fields("minutes", minutes=_whole(1, 120)), "Use set_timer with minutes 5.", {"minutes": 5}),
    Case(
        "set_lamp",
        _fields("state", state=_one_of("on off"), level=_whole(0, 100)),
        "Use set_lamp with state on and level 70.",
        {"state": "on", "level": 70},
    ),
    Case("add", _fields("a b", a=_whole(0, 999), b=_whole(0, 999)), "Use add with a 3 and b 9.", {"a": 3, "b": 9}),
    Case(
        "book_table",
        _fields("name people", name=_text(20), people=_whole(1, 20), smoking={"type": "boolean"}),
        "Use book_table with name Ana, people 4 and smoking false.",
        {"name": "Ana", "people": 4, "smoking": False},
    ),
    Case(
        "send_mail",
        _fields("to subject", to={"type": "string", "format": "email"}, subject=_text(30)),
        "Use send_mail with to ana@example.com and subject hello.",
        {"to": "ana@example.com", "subject": "hello"},
    ),
    Case(
        "find_file",
        _fields("name", name=_text(), depth=_whole(0, 9)),
        "Use find_file with name notes.",
        {"name": "notes"},
    ),
    Case(
        "draw_line",
        _fields("start end", start=_POINT, end=_POINT),
        "Use draw_line with start x 0 y 0 and end x 9 y 5.",
        {"start": {"x": 0, "y": 0}, "end": {"x": 9, "y": 5}},
    ),
    Case(
        "draw_shape",
        _fields("points", points=_list(_POINT, 4)),
        "Use draw_shape with points x 1 y 2.",
        {"points": [{"x": 1, "y": 2}]},
    ),
    Case(
        "add_tags",
        _fields("tags", tags=_list(_one_of("red green blue"))),
        "Use add_tags with tags red.",
        {"tags": ["red"]},
    ),
    Case(
        "sum_list",
        _fields("values", values=_list(_whole(0, 99), 5)),
        "Use sum_list with values 3 and 4.",
        {"values": [3, 4]},
    ),
    Case(
        "add_person",
        _fields("person", person=_PERSON),
        "Use add_person with name Tom and age 30.",
        {"person": {"name": "Tom", "age": 30}},
    ),
    Case(
        "add_team",
        _fields("title members", title=_text(20), members=_list(_PERSON, 2)),
        "Use add_team with title Reds and member Tom of age 30.",
        {"title": "Reds", "members": [{"name": "Tom", "age": 30}]},
    ),
    Case(
        "set_price",
        _fields("price", price={"type": "number", "minimum": 0, "maximum": 1000, "multipleOf": 0.25}),
        "Use set_price with price 12.",
        {"price": 12},
    ),
    Case(
        "set_date",
        _fields("date", date={"type": "string", "format": "date"}),
        "Use set_date with date 2024-05-06.",
        {"date": "2024-05-06"},
    ),
    Case(
        "set_time",
        _fields("time", time={"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}),
        "Use set_time with time 12:30.",
        {"time": "12:30"},
    ),
    Case(
        "set_color",
        _fields("color", color={"type": "string", "pattern": "^#[0-9a-f]{6}$"}),
        "Use set_color with color #00ff00.",
        {"color": "#00ff00"},
    ),
    Case(
        "pick_size",
        _fields("size", size=_one_of("small medium large")),
        "Use pick_size with size large.",
        {"size": "large"},
    ),
    Case("mute", _fields("", seconds=_whole(0, 600)), "Use mute.", {}),
    Case(
        "get_user",
        _fields("id", id={"type": ["integer", "null"], "minimum": 0, "maximum": 9999}),
        "Use get_user with id 7.",
        {"id": 7},
    ),
    Case(
        "move",
        _fields("direction steps", direction=_one_of("north south east west"), steps=_whole(1, 9)),
        "Use move with direction north and steps 2.",
        {"direction": "north", "steps": 2},
    ),
    Case(
        "play",
        _fields("song", song=_text(), options=_fields("", volume=_whole(0, 10), loop={"type": "boolean"})),
        "Use play with song Yesterday.",
        {"song": "Yesterday"},
    ),
    Case(
        "search",
        _fields(
            "query", query=_text(), filters=_list(_fields("key value", key=_one_of("year genre"), value=_text(10)))
        ),
        "Use search with query jazz.",
        {"query": "jazz"},
    ),
    Case(
        "convert",
        _fields("amount unit", amount=_whole(0, 9999), unit=_one_of("km mi m")),
        "Use convert with amount 10 and unit km.",
        {"amount": 10, "unit": "km"},
    ),
    Case("remember", _fields("fact", fact=_text(60)), "Use remember with fact sugar.", {"fact": "sugar"}),
)
