"""Which fields of /v1/messages are honoured, which say nothing, and which must be refused, by name.

An unknown field that might change the answer is an error with the nearest name: nothing is ignored in silence.
Errors read `path: text`, as Anthropic's do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.core.model import ModelSpec
from arriero.protocols.nearest import did_you_mean
from arriero.protocols.ollama.options import OPTIONS, RETIRED, Options, check_option, read_options
from arriero.protocols.unknown import Unknown
from arriero.protocols.whole_number import whole_number

DEFAULTS: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0}

# They change nothing that a client could see in the answer.
HARMLESS = frozenset(
    [
        *("metadata", "cache_control", "diagnostics", "inference_geo", "user_profile_id", "workspace_id"),
        *("anthropic_version", "anthropic_beta", "betas", "billing_policy", "fallback_credit_token"),
    ]
)

# Fields that arriero cannot honour, with the values that ask for nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "compaction": (),
    "container": (),
    "fallbacks": ([],),
    "mcp_servers": ([],),
    "service_tier": ("auto", "standard_only"),
    "speed": ("standard",),
    "thread": (),
}
_REASONS = {
    "compaction": "conversations are not summarized here",
    "container": "there is no code execution",
    "fallbacks": "only the model that was named answers",
    "mcp_servers": "this server calls no other: let the client do it",
    "service_tier": "must be auto or standard_only",
    "speed": "must be standard",
    "thread": "no conversation is kept here: send all of it",
}
# What the official SDKs look for to go on without the field.
_CODES = {"thread": {"error_code": "thread_unsupported_request"}}


def bad(at: str, text: str) -> InvalidRequest:
    """The error for the field at the path `at`."""
    return InvalidRequest(f"{at}: {text}", param=at)


def unsupported(at: str, text: str) -> UnsupportedFeature:
    """The error for what is understood at the path `at`, but cannot be done."""
    return UnsupportedFeature(f"{at}: {text}", param=at)


def check_fields(fields: Mapping[str, Any], honoured: Iterable[str], unknown: Unknown) -> tuple[str, ...]:
    """Return the names of unknown fields where those are only to be warned of.

    UnsupportedFeature for a field that cannot be honoured, InvalidRequest for an unknown one; both name it.
    """
    known = {*honoured, *HARMLESS, *NEUTRAL}
    strange: list[str] = []
    for name, value in fields.items():
        if name not in known:
            if unknown == "refuse":
                raise bad(name[:64], f"unknown field{did_you_mean(name, known)}")
            strange.append(name)
        elif name in NEUTRAL and value not in NEUTRAL[name]:
            raise UnsupportedFeature(f"{name}: {_REASONS[name]}", param=name, **_CODES.get(name, {}))
    metadata = fields.get("metadata", {})
    if not isinstance(metadata, dict) or not isinstance(metadata.get("user_id", ""), str | None):
        raise bad("metadata", "must be an object whose user_id is a string")
    _check_context_management(fields.get("context_management"))
    return tuple(strange)


def _check_context_management(given: Any) -> None:
    """Only edits that leave everything in place can be honoured: all thinking kept is one of them."""
    if given is None:
        return
    edits = given.get("edits") or [] if isinstance(given, dict) else None
    if not isinstance(edits, list) or not all(isinstance(edit, dict) for edit in edits):
        raise bad("context_management", "must be an object with a list of edits")
    for index, edit in enumerate(edits):
        keeps = str(edit.get("type", "")).startswith("clear_thinking") and edit.get("keep") in ("all", {"type": "all"})
        if not keeps:
            raise unsupported(f"context_management.edits.{index}", "edits of the context are not supported")


def text_field(fields: Mapping[str, Any], name: str, at: str) -> str:
    """Return the string that `fields` must have under `name`."""
    value = fields.get(name)
    if value is None:
        raise bad(f"{at}.{name}", "field required")
    if not isinstance(value, str):
        raise bad(f"{at}.{name}", "must be a string")
    return value


def read_max_tokens(fields: Mapping[str, Any]) -> int:
    """Return the number of tokens that may be generated at most; Anthropic wants it named."""
    value = whole_number(fields.get("max_tokens"))
    if value is None:
        raise bad("max_tokens", "field required")
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad("max_tokens", "must be an integer")
    if value == 0:
        raise unsupported("max_tokens", "0, to fill the prompt cache alone, is not supported; ask for 1")
    if not 1 <= value < 2**31:
        raise bad("max_tokens", "must be at least 1")
    return value


def read_sampling(fields: Mapping[str, Any], spec: ModelSpec) -> tuple[Options, tuple[str, ...]]:
    """Return the options of a request, and the stop sequences that the client named.

    Top-level fields win over `options` (Ollama's names, an extension), those over the route's defaults and the model's
    own. The model's stop strings stay: they end its turns.
    """
    extra = fields.get("options", {})
    if not isinstance(extra, dict):
        raise bad("options", "must be an object")
    known = {*OPTIONS, *RETIRED}
    for name in extra:
        if name not in known:
            raise bad(f"options.{name[:64]}", f"unknown option{did_you_mean(name, known)}")
    given = dict(extra)
    for name in ("temperature", "top_p", "top_k"):
        if name in fields:
            given[name] = _checked(name, name, fields[name])
    if isinstance(whole_number(fields.get("top_k")), float):
        raise bad("top_k", "must be an integer")
    given["num_predict"] = read_max_tokens(fields)
    stops = _checked("stop_sequences", "stop", fields.get("stop_sequences", []))
    more = given.get("stop") or spec.options.get("stop") or ()
    given["stop"] = list(dict.fromkeys([*stops, *_checked("options.stop", "stop", more)]))
    return read_options(given, {**spec.options, **DEFAULTS}), stops


def _checked(at: str, option: str, value: Any) -> Any:
    """Check an option, but let errors speak of the field that the client wrote."""
    try:
        return check_option(option, value)
    except InvalidRequest as error:
        raise bad(at, "must be " + error.message.partition(" must be ")[2]) from None
