"""Which fields of OpenAI's requests are honoured, which say nothing, and which must be refused, by name.

An unknown field that might change the answer is an error with the nearest name: nothing is ignored in silence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.protocols.nearest import did_you_mean
from arriero.protocols.ollama.options import OPTIONS, RETIRED, Options, check_option, read_options
from arriero.protocols.unknown import Unknown, unknown_fields
from arriero.protocols.whole_number import whole_number

# Top-level names that are Ollama options under OpenAI's or vLLM's name. Later ones win.
OPTION_NAMES = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "seed": "seed",
    "stop": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repetition_penalty": "repeat_penalty",
    "repeat_penalty": "repeat_penalty",
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
}

# They change nothing that a client could see in the answer.
HARMLESS = frozenset(
    [
        *("metadata", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
        *("safety_identifier", "store", "user"),
    ]
)

# Fields that arriero cannot honour, with the values that ask for nothing, and why others are refused.
NEUTRAL: dict[str, tuple[tuple[Any, ...], str]] = {
    "audio": ((), "no model here speaks"),
    "function_call": (("auto", "none"), "it is deprecated: use 'tool_choice'"),
    "functions": (([],), "it is deprecated: use 'tools'"),
    "modalities": ((["text"],), "only text is generated"),
    "moderation": ((), "there is no moderation model"),
    "verbosity": (("medium",), "no model here knows it"),
    "web_search_options": ((), "there is no web search"),
}


def check_fields(fields: Mapping[str, Any], honoured: Iterable[str], unknown: Unknown = "refuse") -> tuple[str, ...]:
    """Return the names of unknown fields where those are only to be warned of.

    UnsupportedFeature for a field that cannot be honoured, InvalidRequest for an unknown one; both name it.
    """
    known = {*honoured, *OPTION_NAMES, *HARMLESS, *NEUTRAL}
    strange = unknown_fields(fields, known, unknown)
    for name, value in fields.items():
        if name in NEUTRAL:
            _check_neutral(name, value)
    return strange


def _check_neutral(name: str, value: Any) -> None:
    neutral, why = NEUTRAL[name]
    if not any(_same(value, one) for one in neutral):
        what = "with this value is" if neutral else "is"
        raise UnsupportedFeature(f"'{name}' {what} not supported: {why}", param=name)


def _same(value: Any, neutral: Any) -> bool:
    """Equal as JSON: True is not 1."""
    return isinstance(value, bool) == isinstance(neutral, bool) and bool(value == neutral)


def read_sampling(
    fields: Mapping[str, Any], defaults: Mapping[str, Any], model_options: Mapping[str, Any], *, least_tokens: int = 1
) -> Options:
    """Return the options of an OpenAI request; `least_tokens` is the least that may be asked for.

    Top-level fields win over `options` (Ollama's names, an extension), those over `defaults` of the route, and those
    over the model's own. Errors carry the field's name as `param`. Retired Ollama options are named in `ignored`.
    """
    extra = fields.get("options", {})
    if not isinstance(extra, dict):
        raise InvalidRequest("'options' must be an object", param="options")
    known = {*OPTIONS, *RETIRED}
    for name in extra:
        if name not in known:
            raise InvalidRequest(f"unknown option '{name}'{did_you_mean(name, known)}", param=f"options.{name}")
    given = dict(extra)
    for name, option in OPTION_NAMES.items():
        if name in fields:
            value = fields[name]
            if OPTIONS[option].kind == "integer" and isinstance(value, float):
                value = whole_number(value)
                if isinstance(value, float):
                    raise InvalidRequest(f"'{name}' must be an integer", param=name)
            given[option] = [value] if name == "stop" and isinstance(value, str) else value
            _check_under_own_name(name, option, given[option])
            if option == "num_predict" and isinstance(value, (int, float)) and value < least_tokens and value != -1:
                raise InvalidRequest(f"'{name}' must be at least {least_tokens}, or -1 for no limit", param=name)
    return read_options(given, {**model_options, **defaults})


def _check_under_own_name(name: str, option: str, value: Any) -> None:
    """Check an option, but let errors speak of the field that the client wrote."""
    try:
        check_option(option, value)
    except InvalidRequest as error:
        raise type(error)(error.message.replace(f'option "{option}"', f"'{name}'"), param=name) from None


_TIERS = {"auto": 0, "default": 0, "scale": 0, "flex": -1, "priority": 1, "fast": 1}


def read_tier(tier: str | None) -> tuple[int, str | None]:
    """Return the priority that `service_tier` asks for, and the tier to name in the reply."""
    if tier is None:
        return 0, None
    if tier not in _TIERS:
        raise InvalidRequest(f"'service_tier' must be one of {', '.join(_TIERS)}", param="service_tier")
    priority = _TIERS[tier]
    return priority, {0: "default", 1: "priority", -1: "flex"}[priority]


def read_bias(wire: Mapping[str, float]) -> tuple[tuple[int, float], ...]:
    """Return `logit_bias` by token id; a bias lies between −100 and 100."""
    found: list[tuple[int, float]] = []
    for name, bias in wire.items():
        if not name.isascii() or not name.isdigit() or len(name) > 9:
            raise InvalidRequest("'logit_bias' maps token ids to numbers", param="logit_bias")
        if not -100 <= bias <= 100:
            raise InvalidRequest("a bias must be between -100 and 100", param=f"logit_bias.{name}")
        found.append((int(name), float(bias)))
    return tuple(sorted(found))


def read_token_ids(wire: Collection[int], name: str) -> tuple[int, ...]:
    """Return a list of token ids."""
    if not all(0 <= token < 2**31 for token in wire):
        raise InvalidRequest(f"'{name}' must be a list of token ids", param=name)
    return tuple(wire)
