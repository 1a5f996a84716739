"""Which fields of OpenAI's requests are honoured, which say nothing, and which must be refused, by name.

An unknown field that might change the answer is an error with the nearest name: nothing is ignored in silence.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.protocols.ollama_options import OPTIONS, RETIRED, Options, check_option, read_options

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
_HARMLESS = frozenset(
    [
        *("metadata", "prediction", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"),
        *("store", "user"),
    ]
)

# Fields that arriero cannot honour, with the values that ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "echo": (False,),
    "function_call": ("auto", "none"),
    "functions": ([],),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "n": (1,),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "suffix": ("",),
    "verbosity": ("medium",),
    "web_search_options": (),
}


def check_fields(fields: Mapping[str, Any], honoured: Iterable[str]) -> None:
    """Raise for a field that cannot be honoured (UnsupportedFeature) or is unknown (InvalidRequest); both name it."""
    known = {*honoured, *OPTION_NAMES, *_HARMLESS, *_NEUTRAL}
    for name, value in fields.items():
        if name not in known:
            raise InvalidRequest(f"unknown field '{name}'{_nearest(name, known)}", param=name)
        if name in _NEUTRAL and not any(_same(value, neutral) for neutral in _NEUTRAL[name]):
            raise UnsupportedFeature(f"'{name}' with this value is not supported by this version", param=name)


def _same(value: Any, neutral: Any) -> bool:
    """Equal as JSON: True is not 1."""
    return isinstance(value, bool) == isinstance(neutral, bool) and bool(value == neutral)


def read_sampling(fields: Mapping[str, Any], defaults: Mapping[str, Any], model_options: Mapping[str, Any]) -> Options:
    """Return the options of an OpenAI request.

    Top-level fields win over `options` (Ollama's names, an extension), those over `defaults` of the route, and those
    over the model's own. Errors carry the field's name as `param`. Retired Ollama options are named in `ignored`.
    """
    extra = fields.get("options", {})
    if not isinstance(extra, dict):
        raise InvalidRequest("'options' must be an object", param="options")
    known = {*OPTIONS, *RETIRED}
    for name in extra:
        if name not in known:
            raise InvalidRequest(f"unknown option '{name}'{_nearest(name, known)}", param=f"options.{name}")
    given = dict(extra)
    for name, option in OPTION_NAMES.items():
        if name in fields:
            value = fields[name]
            given[option] = [value] if name == "stop" and isinstance(value, str) else value
            _check_under_own_name(name, option, given[option])
            if option == "num_predict" and isinstance(value, (int, float)) and value < 1 and value != -1:
                raise InvalidRequest(f"'{name}' must be at least 1, or -1 for no limit", param=name)
    return read_options(given, {**model_options, **defaults})


def _check_under_own_name(name: str, option: str, value: Any) -> None:
    """Check an option, but let errors speak of the field that the client wrote."""
    try:
        check_option(option, value)
    except InvalidRequest as error:
        raise type(error)(error.message.replace(f'option "{option}"', f"'{name}'"), param=name) from None


def _nearest(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name[:64], sorted(known), 1)
    return f": did you mean '{found[0]}'?" if found else ""
