"""Tools that every client's first example has, asked for in plain words: weather, time, sums, search."""

from __future__ import annotations

import json
import random
from typing import Any

from training.chat import Dialogue, assistant, call, system, user
from training.data import facts, greetings, refusal, tools
from training.data.words import any_name, any_word

CITIES = [y for _, y in facts.CAPITALS] + "Toronto Boston Chicago Sydney Milan Munich Hamburg Geneva Barcelona".split()
CITIES += [
    "New York",
    "San Francisco",
    "Los Angeles",
    "San Francisco, CA",
    "Paris, France",
    "Boston, MA",
    "Tokyo, Japan",
]
WEATHER_ASKS = (
    "What is the weather in {x}?", "What's the weather in {x}?", "What is the weather like in {x}?", "How is the weather in {x}?",
    "What is the weather today in {x}?", "What is the current weather in {x}?", "Tell me the weather in {x}.",
    "What's the weather like in {x} today?", "Weather in {x}?", "How warm is it in {x}?", "Is it raining in {x}?",
    "What is the temperature in {x}?", "Get the weather in {x}.", "What is the weather in {x} today?", "Is it sunny in {x}?",
    "Give me the weather for {x}.", "Check the weather in {x}.", "what is the weather in {x}?", "How's the weather in {x}?",
)  # fmt: skip
TIME_ASKS = (
    "What time is it in {x}?",
    "What is the time in {x}?",
    "Tell me the time in {x}.",
    "What's the current time in {x}?",
)
ADD_ASKS = (
    "What is {a} + {b}?", "What is {a} plus {b}?", "Add {a} and {b}.", "What is three plus one? I mean {a} plus {b}.",
    "How much is {a} + {b}?", "Calculate {a} + {b}.", "Please add {a} and {b}.", "What is the sum of {a} and {b}?",
)  # fmt: skip
MINUS_ASKS = ("What is {a} - {b}?", "What is {a} minus {b}?", "Subtract {b} from {a}.", "How much is {a} - {b}?")
TIMES_ASKS = ("What is {a} * {b}?", "What is {a} times {b}?", "Multiply {a} by {b}.", "How much is {a} times {b}?")
SEARCH_ASKS = (
    "Search for {x}.", "Search the web for {x}.", "Find {x} on the web.", "Look up {x}.", "Can you search for {x}?",
    "Google {x}.", "Please look up {x}.",
)  # fmt: skip
MAIL_ASKS = ("Send an email to {n}: {x}", "Write to {n}: {x}", "Send {n} a message: {x}", "Tell {n}: {x}")
UNITS = ("celsius", "fahrenheit")


def spec(name: str, about: str, properties: dict[str, Any]) -> dict[str, Any]:
    """The OpenAI form."""
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": about, "parameters": parameters}}


def text(about: str, kind: str = "string") -> dict[str, Any]:
    """A described parameter."""
    return {"type": kind, "description": about} if about else {"type": kind}


Case = tuple[str, str, dict[str, Any], dict[str, Any]]


def weather(rng: random.Random) -> Case:
    """Question, tool name, arguments, spec."""
    name = rng.choice(
        ("get_weather", "get_current_weather", "get_temperature", "weather", "getWeather", "current_weather")
    )
    place = rng.choice(("city", "location", "place", "location"))
    city = rng.choice(CITIES) if rng.random() < 0.5 else any_name(rng, 0.8)
    ask = rng.choice(WEATHER_ASKS).format(x=city)
    about = rng.choice(
        ("The city", "The name of the city", "The location to get the weather for, e.g. Paris", "City name", "")
    )
    properties = {place: text(about)}
    arguments: dict[str, Any] = {place: city}
    if rng.random() < 0.35:
        unit, key = rng.choice(UNITS), rng.choice(("unit", "format", "units"))
        properties[key] = {"type": "string", "enum": list(UNITS), "description": "The unit to use"}
        if rng.random() < 0.6:
            ask = ask.rstrip(".?") + f" in {unit}" + ask[-1]
        else:
            unit = "celsius"
        arguments[key] = unit
    described = rng.choice(
        ("Get the current weather for a city", "Get the weather for a given city.", "The weather in a city")
    )
    return ask, name, arguments, spec(name, described, properties)


def clock(rng: random.Random) -> Case:
    """The time, somewhere or here."""
    name = rng.choice(("get_time", "get_current_time", "current_time"))
    if rng.random() < 0.4:
        ask = rng.choice(("What time is it?", "What is the time?", "Tell me the time.", "What time is it now?"))
        return ask, name, {}, spec(name, "Get the current time", {})
    place, city = rng.choice(("city", "timezone", "location")), rng.choice(CITIES)
    return (
        rng.choice(TIME_ASKS).format(x=city),
        name,
        {place: city},
        spec(name, "Get the time in a city", {place: text("")}),
    )


def sums(rng: random.Random) -> Case:
    """An arithmetic tool."""
    a, b = rng.randint(0, rng.choice((20, 99, 9999))), rng.randint(0, rng.choice((20, 99, 9999)))
    kind = rng.choice((("add", ADD_ASKS), ("add", ADD_ASKS), ("subtract", MINUS_ASKS), ("multiply", TIMES_ASKS)))
    name = rng.choice((f"{kind[0]}_two_numbers", kind[0], f"{kind[0]}_numbers"))
    left, right = rng.choice((("a", "b"), ("a", "b"), ("x", "y"), ("first", "second")))
    number = rng.choice(("integer", "number"))
    properties = {left: text("The first number", number), right: text("The second number", number)}
    return (
        rng.choice(kind[1]).format(a=a, b=b),
        name,
        {left: a, right: b},
        spec(name, f"{kind[0].capitalize()} two numbers", properties),
    )


def search(rng: random.Random) -> Case:
    """A web search."""
    name, key = rng.choice(("search", "web_search", "search_web", "google")), rng.choice(("query", "q", "text"))
    query = " ".join(any_word(rng) for _ in range(rng.randint(1, 4)))
    return (
        rng.choice(SEARCH_ASKS).format(x=query),
        name,
        {key: query},
        spec(name, "Search the web", {key: text("The query")}),
    )


def mail(rng: random.Random) -> Case:
    """A message to somebody."""
    name, to = rng.choice(("send_email", "send_message", "send_mail")), rng.choice(("to", "recipients", "name"))
    person, words = any_name(rng), " ".join(any_word(rng) for _ in range(rng.randint(1, 5)))
    ask = rng.choice(MAIL_ASKS).format(n=person, x=words)
    return (
        ask,
        name,
        {to: person, "text": words},
        spec(name, "Send a message", {to: text("Who gets it"), "text": text("")}),
    )


def dialogue(rng: random.Random) -> Dialogue:
    """One of these tools called, often beside others, mostly with its result."""
    ask, name, arguments, chosen = rng.choice((weather, weather, clock, sums, search, mail))(rng)
    specs = [chosen]
    if rng.random() < 0.4:
        other = rng.choice((weather, clock, sums, search, mail))(rng)[3]
        if other["function"]["name"] != name:
            specs.append(other)
    elif rng.random() < 0.3:
        specs += tools.offered(rng)
    rng.shuffle(specs)
    messages = [user(ask), call(name, arguments)]
    if rng.random() < 0.7:
        given, spoken = outcome(name, rng)
        messages += [{"role": "tool", "content": given}, assistant(spoken)]
    if rng.random() < 0.15:
        messages = [system("You are a helpful assistant."), *messages]
    return Dialogue("tools", messages, specs)


def outcome(name: str, rng: random.Random) -> tuple[str, str]:
    """What such a tool gives back, and how the assistant says it."""
    sky = rng.choice(("sunny", "cloudy", "rainy", "clear", "windy", "foggy", any_word(rng)))
    degrees = rng.randint(-20, 45)
    plain = rng.choice(
        (f"{degrees} degrees and {sky}", f"{degrees}°C", f"{degrees} degrees", f"{degrees} C, {sky}", sky)
    )
    table = {rng.choice(("temperature", "temp")): degrees, rng.choice(("condition", "weather", "sky")): sky}
    if "weather" in name.lower() or "temperature" in name:
        if rng.random() < 0.5:
            return plain, f"The result is {plain}."
        return json.dumps(table), f"The result is {', '.join(f'{k} {v}' for k, v in table.items())}."
    if "time" in name:
        now = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
        return now, f"The result is {now}."
    return tools.result(rng)


def unneeded(rng: random.Random) -> Dialogue:
    """Tools offered, but the question is small talk or a fact: answered as without them."""
    maker = rng.choice((greetings.turn, facts.turn, facts.turn, refusal.turn))
    ask, answer = maker(rng)
    return Dialogue("tools unneeded", [user(ask), assistant(answer)], tools.offered(rng))
