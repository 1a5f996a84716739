"""What variables say to a worker's engine and runner. Only what is set is passed on; the rest is theirs to choose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from arriero.config.values import ConfigError, choice_or_auto, duration, number, size, switch
from arriero.runners.llama_cpp.options import check_kv_type
from arriero.server.tenant import key_tenant

SWITCHES = {
    "hold_calls": "ARRIERO_HOLD_CALLS",
    "prefix_cache": "ARRIERO_PREFIX_CACHE",
    "speculation": "ARRIERO_SPECULATION",
}


def worker_settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """Settings of engine and runner; only those that are set."""
    options: dict[str, Any] = {}
    if switch(environ, "ARRIERO_DETERMINISTIC"):
        options["deterministic"] = True
    for option, name in SWITCHES.items():
        if environ.get(name):
            options[option] = switch(environ, name, True)
    for option, name in (("memory_bytes", "ARRIERO_MEMORY"), ("parked_bytes", "ARRIERO_PREFIX_CACHE_SIZE")):
        given = size(environ, name)
        if given is not None:
            options[option] = given
    flash = choice_or_auto(environ, "ARRIERO_FLASH_ATTENTION")
    if not environ.get("ARRIERO_FLASH_ATTENTION"):
        flash = choice_or_auto(environ, "OLLAMA_FLASH_ATTENTION")
    if flash is not None:
        options["flash_attn"] = "on" if flash else "off"
    for name in ("ARRIERO_KV_CACHE_TYPE", "OLLAMA_KV_CACHE_TYPE"):
        if environ.get(name):
            options["kv_cache_type"] = _kv_cache_type(environ[name], name, options)
            break
    layout = environ.get("ARRIERO_KV_LAYOUT")
    if layout:
        if layout not in ("auto", "unified", "streams"):
            raise ConfigError(f"ARRIERO_KV_LAYOUT={layout!r} must be auto, unified or streams")
        options["layout"] = layout
    for name in ("ARRIERO_MAX_RUNNING", "OLLAMA_NUM_PARALLEL"):  # Ollama's slots are only a cap here
        if environ.get(name):
            options["max_sequences"] = number(environ, name, 1, 1)
            break
    if environ.get("ARRIERO_AGEING"):
        options["ageing"] = duration(environ, "ARRIERO_AGEING", 0.0)
        if options["ageing"] <= 0:
            raise ConfigError(f"ARRIERO_AGEING={environ['ARRIERO_AGEING']!r} must be more than 0 seconds")
    preemption = environ.get("ARRIERO_PREEMPTION")
    if preemption:
        if preemption not in ("auto", "swap", "recompute"):
            raise ConfigError(f"ARRIERO_PREEMPTION={preemption!r} must be auto, swap or recompute")
        options["preemption"] = preemption
    if environ.get("ARRIERO_INTER_TOKEN_TARGET"):
        options["inter_token_target"] = duration(environ, "ARRIERO_INTER_TOKEN_TARGET", 0.0)
        if options["inter_token_target"] < 0:
            raise ConfigError("ARRIERO_INTER_TOKEN_TARGET must be 0 or more seconds")
    weights = _key_weights(environ)
    if weights:
        options["tenant_weights"] = weights
    return options


def _kv_cache_type(text: str, name: str, options: Mapping[str, Any]) -> str:
    kind = text.strip().strip("\"'").lower()
    try:
        check_kv_type(kind, options.get("flash_attn", "auto"), options.get("deterministic", False))
    except ValueError as error:
        raise ConfigError(f"{name}={text!r}: {error}") from error
    return kind


def api_keys(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of ARRIERO_API_KEY, without the blanks around them: a header could not bring those."""
    return tuple(key.strip() for key in environ.get("ARRIERO_API_KEY", "").split(",") if key.strip())


def _key_weights(environ: Mapping[str, str]) -> dict[str, float]:
    """The weight of each API key's tenant: one number a key, in the keys' order."""
    text, keys = environ.get("ARRIERO_KEY_WEIGHTS", ""), api_keys(environ)
    if not text.strip():
        return {}
    try:
        weights = [float(one) for one in text.split(",")]
    except ValueError:
        weights = []
    if not weights or len(weights) != len(keys) or not all(0 < weight < math.inf for weight in weights):
        raise ConfigError(
            f"ARRIERO_KEY_WEIGHTS={text!r} must be a number above 0 for each of the {len(keys)} keys in "
            "ARRIERO_API_KEY, in their order, separated by commas"
        )
    return {key_tenant(key): weight for key, weight in zip(keys, weights, strict=True)}
