"""Composes every room's Options from flags, environment and config file, in this order of weight."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from arriero.config.address import Address, parse_address
from arriero.config.places import (
    IN_PLACE,
    expanded,
    home_folder,
    huggingface,
    lmstudio,
    named_models,
    other_programs,
    registry,
    user_home,
)
from arriero.config.values import Asked, ConfigError, choice_or_auto, duration, number, size, switch, truthy
from arriero.config.worker import api_keys, worker_settings
from arriero.observe.logs import LEVELS
from arriero.protocols.unknown import Unknown
from arriero.server.options import ServerOptions
from arriero.service.ollama_variables import unhonoured
from arriero.service.options import PREFIX_BYTES, TOOL_REPAIR, ServiceOptions

FILE_KEYS: Mapping[str, tuple[type, str]] = {
    "models": (dict, "table"),
    "models_dirs": (list, "list of strings"),
    "in_place": (list, "list of strings"),
    "unknown_fields": (str, "string"),
    "disk_cache": (str, "string"),
}


@dataclass(frozen=True, slots=True)
class Config:
    """Everything `arriero serve` needs. `home` holds arriero's own state, mode 0700."""

    home: Path
    server: ServerOptions
    service: ServiceOptions
    models: Mapping[str, Path] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    ollama_models: Path | None = None
    huggingface: tuple[Path, ...] = ()
    lmstudio: tuple[Path, ...] = ()
    log_level: str = "info"
    notes: tuple[str, ...] = ()  # what is set and has no effect


def load_config(
    environ: Mapping[str, str] = os.environ,
    *,
    host: str | None = None,
    port: int | None = None,
    models: Sequence[str] = (),
    folders: Sequence[str] = (),
    no_auth: bool = False,
    config_file: Path | None = None,
) -> Config:
    """Build the configuration; ConfigError says what is wrong and what to do."""
    environ = asked = Asked(environ)
    home = home_folder(environ)
    path = config_file or home / "config.toml"
    content = _file(path, required=config_file is not None)
    address = parse_address(environ.get("OLLAMA_HOST", ""))
    address = Address(host=address.host if host is None else host, port=address.port if port is None else port)
    keys = api_keys(environ)
    if not address.loopback and not keys and not no_auth:
        raise ConfigError(
            f"refusing to listen on {address.host} without a key: anyone who reaches it could use it. Set "
            "ARRIERO_API_KEY (clients send it as a Bearer token or x-api-key), say --no-auth, or use --host 127.0.0.1"
        )
    store = environ.get("OLLAMA_MODELS") or str(user_home(environ) / ".ollama" / "models")
    origins = tuple(one.strip() for one in environ.get("OLLAMA_ORIGINS", "").split(",") if one.strip())
    dirs = tuple(path.parent / expanded(folder) for folder in content.get("models_dirs", ()))
    dirs += tuple(expanded(folder).absolute() for folder in folders)
    absent = (folder for folder in dirs if not folder.is_dir())
    others = other_programs(content.get("in_place", IN_PLACE), path)
    return Config(
        home=home,
        server=ServerOptions(
            host=address.host,
            port=address.port,
            api_keys=() if no_auth else keys,
            origins=origins,
            unknown_fields=_unknown_fields(environ, content.get("unknown_fields", "refuse")),
            strip_client_headers=switch(environ, "ARRIERO_STRIP_CLIENT_HEADERS", True),
        ),
        service=_service_options(environ, home, content),
        models=named_models(models, content.get("models", {}), path.parent),
        folders=dirs,
        ollama_models=expanded(store.strip("\"'")),
        huggingface=huggingface(environ) if "huggingface" in others else (),
        lmstudio=lmstudio(environ) if "lmstudio" in others else (),
        log_level=_log_level(environ),
        notes=(
            *unhonoured(environ),
            *asked.unread(),
            *(f"there is no folder {folder}; its models are served once it is there" for folder in absent),
        ),
    )


def _service_options(environ: Mapping[str, str], home: Path, content: Mapping[str, Any]) -> ServiceOptions:
    timeout = duration(environ, "OLLAMA_LOAD_TIMEOUT", 300.0)
    worker = worker_settings(environ)
    return ServiceOptions(
        keep_alive=duration(environ, "OLLAMA_KEEP_ALIVE", 300.0),
        load_timeout=timeout if timeout > 0 else None,
        max_queue=number(environ, "OLLAMA_MAX_QUEUE", 512, 1),
        max_loaded_models=number(environ, "OLLAMA_MAX_LOADED_MODELS", 0) or 3,
        context_length=number(environ, "OLLAMA_CONTEXT_LENGTH", 0) or None,
        worker=worker,
        spare_worker=switch(environ, "ARRIERO_SPARE_WORKER", True),
        prefixes=home / "cache" / "prefixes",
        prefix_bytes=_disk_cache(environ, content.get("disk_cache", ""), worker),
        go_template=choice_or_auto(environ, "OLLAMA_GO_TEMPLATE"),
        registry=registry(environ),
        tool_repair=_tool_repair(environ),
        tool_dedupe=switch(environ, "ARRIERO_TOOL_DEDUPE", True),
        batches=home / "batches" if switch(environ, "ARRIERO_STORE_BATCHES", True) else None,
        responses=home / "responses.sqlite" if switch(environ, "ARRIERO_STORE_RESPONSES", True) else None,
    )


def _file(path: Path, required: bool) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigError(f"there is no config file {path}") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the config file {path}: {error}") from error
    for key, value in content.items():
        if key not in FILE_KEYS:
            raise ConfigError(f"{path}: unknown key {key!r}; known: {', '.join(FILE_KEYS)}")
        type_, kind = FILE_KEYS[key]
        if not isinstance(value, type_) or (type_ is list and not all(isinstance(one, str) for one in content[key])):
            raise ConfigError(f"{path}: {key!r} must be a {kind}")
    return content


def _unknown_fields(environ: Mapping[str, str], configured: str) -> Unknown:
    for choice in get_args(Unknown):
        if choice == (environ.get("ARRIERO_UNKNOWN_FIELDS", "").strip() or configured):
            known: Unknown = choice
            return known
    raise ConfigError("unknown_fields (ARRIERO_UNKNOWN_FIELDS) must be refuse or warn")


def _disk_cache(environ: Mapping[str, str], configured: str, worker: Mapping[str, Any]) -> int:
    """Bytes for prefixes on the disk; 0 where they, or all kept prefixes, are switched off."""
    text = environ.get("ARRIERO_DISK_CACHE", "").strip()
    name = "ARRIERO_DISK_CACHE" if text else "disk_cache"
    given = size({name: text or configured}, name)
    if not worker.get("prefix_cache", True) or worker.get("parked_bytes") == 0:
        return 0
    return PREFIX_BYTES if given is None else given


def _tool_repair(environ: Mapping[str, str]) -> str:
    mode = environ.get("ARRIERO_TOOL_REPAIR", "").strip().lower() or "warn"
    if mode not in TOOL_REPAIR:
        raise ConfigError(f"ARRIERO_TOOL_REPAIR={mode!r} must be one of {', '.join(TOOL_REPAIR)}")
    return mode


def _log_level(environ: Mapping[str, str]) -> str:
    level = environ.get("ARRIERO_LOG", "").strip().lower() or ("debug" if truthy(environ, "OLLAMA_DEBUG") else "info")
    if level not in LEVELS:
        raise ConfigError(f"ARRIERO_LOG={level!r} must be one of {', '.join(LEVELS)}")
    return level
