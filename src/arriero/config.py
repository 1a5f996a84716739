"""Composes every room's Options from flags, environment and config file, in this order of weight.

The only reader of the environment. "Auto" values are resolved here or by their room into new objects.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from arriero.core.errors import InvalidRequest
from arriero.protocols.go_duration import LONGEST, parse_duration
from arriero.protocols.ollama.models import OLLAMA_VERSION
from arriero.protocols.unknown import Unknown
from arriero.runners.llama_cpp.options import check_kv_type
from arriero.server.options import ServerOptions
from arriero.server.tenant import key_tenant
from arriero.service.ollama_variables import unhonoured
from arriero.service.options import PREFIX_BYTES, TOOL_REPAIR, ServiceOptions
from arriero.store.registry.options import RegistryOptions, user_agent

DEFAULT_PORT = 11434
FILE_KEYS = {"models": dict, "models_dirs": list, "in_place": list, "unknown_fields": str, "disk_cache": str}
IN_PLACE = ("huggingface", "lmstudio")


class ConfigError(Exception):
    """The configuration cannot be used; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is or shall be."""

    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    path: str = ""

    @property
    def url(self) -> str:
        """For clients: an address that means every interface becomes loopback."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)
        shown = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{shown}:{self.port}{self.path}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


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


def parse_address(text: str) -> Address:
    """Parse OLLAMA_HOST as Ollama does: [scheme://]host[:port][/path]; http means port 80, https 443, else 11434."""
    text = text.strip().strip("\"'")
    if not text:
        return Address()
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
        default = DEFAULT_PORT
    else:
        default = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT)
    if rest.count(":") > 1 and not rest.startswith("["):
        rest = f"[{rest}]"  # a bare IPv6 address
    parts = urlsplit(f"//{rest}")
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"OLLAMA_HOST={text!r} names no valid port (0 to 65535)") from error
    return Address(scheme, parts.hostname or "127.0.0.1", default if port is None else port, parts.path.rstrip("/"))


def home_folder(environ: Mapping[str, str]) -> Path:
    """ARRIERO_HOME, else arriero's folder among the user's data (XDG); never below ~/.ollama."""
    given = environ.get("ARRIERO_HOME")
    base = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".local" / "share")
    home = Path(given).expanduser() if given else Path(base) / "arriero"
    ollama = Path(environ.get("HOME") or Path.home()) / ".ollama"
    if home == ollama or ollama in home.parents:
        raise ConfigError(f"ARRIERO_HOME={home} lies in Ollama's folder; choose another")
    return home


def truthy(environ: Mapping[str, str], name: str, default: bool = False) -> bool:
    """A switch as Ollama reads it: what cannot be parsed counts as on."""
    text = environ.get(name, "").strip().strip("\"'").lower()
    if not text:
        return default
    return text not in ("0", "f", "false", "no", "off")


def _number(environ: Mapping[str, str], name: str, default: int, least: int = 0) -> int:
    text = environ.get(name, "").strip().strip("\"'")
    if not text:
        return default
    if not text.lstrip("-").isdigit() or int(text) < least:
        raise ConfigError(f"{name}={text!r} must be an integer of at least {least}")
    return int(text)


def _size(environ: Mapping[str, str], name: str) -> int | None:
    """Bytes: an integer, or one with K, M, G or T, each 1024 of the one before; None where nothing is set."""
    text = environ.get(name, "").strip().strip("\"'")
    if not text:
        return None
    found = re.fullmatch(r"(\d+)\s*([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    if found is None:
        raise ConfigError(f'{name}={text!r} must be a number of bytes such as "512M" or "2GiB"')
    return int(found[1]) << 10 * " KMGT".index(found[2].upper() or " ")


def _duration(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "").strip().strip("\"'")
    if not text:
        return default
    if text.lstrip("-").isdigit():
        return min(float(text), LONGEST)
    try:
        return parse_duration(text)
    except (ValueError, InvalidRequest) as error:
        raise ConfigError(f'{name}={text!r} must be a duration such as "5m" or a number of seconds') from error


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
        if not isinstance(value, FILE_KEYS[key]):
            kind = {dict: "table", list: "list", str: "string"}[FILE_KEYS[key]]
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
    name = "ARRIERO_DISK_CACHE"
    size = _size({name: environ.get(name, "").strip() or configured}, name)
    if not worker.get("prefix_cache", True) or worker.get("parked_bytes") == 0:
        return 0
    return PREFIX_BYTES if size is None else size


def _worker(environ: Mapping[str, str]) -> dict[str, Any]:
    """Settings of engine and runner; only those that are set."""
    options: dict[str, Any] = {}
    if truthy(environ, "ARRIERO_DETERMINISTIC"):
        options["deterministic"] = True
    if environ.get("ARRIERO_HOLD_CALLS"):
        options["hold_calls"] = truthy(environ, "ARRIERO_HOLD_CALLS", True)
    if environ.get("ARRIERO_PREFIX_CACHE"):
        options["prefix_cache"] = truthy(environ, "ARRIERO_PREFIX_CACHE", True)
    if environ.get("ARRIERO_SPECULATION"):
        options["speculation"] = truthy(environ, "ARRIERO_SPECULATION", True)
    for option, name in (("memory_bytes", "ARRIERO_MEMORY"), ("parked_bytes", "ARRIERO_PREFIX_CACHE_SIZE")):
        size = _size(environ, name)
        if size is not None:
            options[option] = size
    flash = environ.get("ARRIERO_FLASH_ATTENTION") or environ.get("OLLAMA_FLASH_ATTENTION")
    if flash:
        options["flash_attn"] = "on" if truthy({"x": flash}, "x") else "off"
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
            options["max_sequences"] = _number(environ, name, 1, 1)
            break
    if environ.get("ARRIERO_AGEING"):
        options["ageing"] = _duration(environ, "ARRIERO_AGEING", 0.0)
        if options["ageing"] <= 0:
            raise ConfigError(f"ARRIERO_AGEING={environ['ARRIERO_AGEING']!r} must be more than 0 seconds")
    preemption = environ.get("ARRIERO_PREEMPTION")
    if preemption:
        if preemption not in ("auto", "swap", "recompute"):
            raise ConfigError(f"ARRIERO_PREEMPTION={preemption!r} must be auto, swap or recompute")
        options["preemption"] = preemption
    if environ.get("ARRIERO_INTER_TOKEN_TARGET"):
        options["inter_token_target"] = _duration(environ, "ARRIERO_INTER_TOKEN_TARGET", 0.0)
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


def _keys(environ: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(key for key in environ.get("ARRIERO_API_KEY", "").split(",") if key)


def _key_weights(environ: Mapping[str, str]) -> dict[str, float]:
    """The weight of each API key's tenant: one number a key, in the keys' order."""
    text, keys = environ.get("ARRIERO_KEY_WEIGHTS", ""), _keys(environ)
    if not text:
        return {}
    try:
        weights = [float(one) for one in text.split(",")]
    except ValueError:
        weights = []
    if len(weights) != len(keys) or not all(0 < weight < math.inf for weight in weights):
        raise ConfigError(
            f"ARRIERO_KEY_WEIGHTS={text!r} must be a number above 0 for each of the {len(keys)} keys in "
            "ARRIERO_API_KEY, in their order, separated by commas"
        )
    return {key_tenant(key): weight for key, weight in zip(keys, weights, strict=True)}


def _tool_repair(environ: Mapping[str, str]) -> str:
    mode = environ.get("ARRIERO_TOOL_REPAIR", "").strip().lower() or "warn"
    if mode not in TOOL_REPAIR:
        raise ConfigError(f"ARRIERO_TOOL_REPAIR={mode!r} must be one of {', '.join(TOOL_REPAIR)}")
    return mode


def _registry(environ: Mapping[str, str]) -> RegistryOptions:
    """How models are pulled and pushed. Tokens are only read, here and by those who made them (huggingface_hub)."""
    user = Path(environ.get("HOME") or Path.home())
    cache = Path(environ.get("XDG_CACHE_HOME") or user / ".cache")
    hub = Path(environ.get("HF_HOME") or cache / "huggingface").expanduser()
    private = environ.get("ARRIERO_PRIVATE_REGISTRIES", "").split(",")
    return RegistryOptions(
        agent=user_agent(OLLAMA_VERSION),
        private=tuple(one.strip() for one in private if one.strip()),
        hf_token=environ.get("HF_TOKEN", "").strip(),
        hf_token_file=Path(environ.get("HF_TOKEN_PATH") or hub / "token").expanduser(),
        key=user / ".ollama" / "id_ed25519",
    )


def _models(given: Sequence[str], configured: Mapping[str, Any], base: Path) -> dict[str, Path]:
    models = {}
    for name, path in configured.items():
        if not isinstance(path, str):
            raise ConfigError(f"the path of model {name!r} must be a string")
        models[name] = base / Path(path).expanduser()
    for text in given:
        name, separator, path = text.partition("=")
        if not separator:
            name, path = Path(text).stem, text
        models[name] = Path(path).expanduser().absolute()
    for name, where in models.items():
        if not where.is_file():
            raise ConfigError(f"model {name!r}: there is no file {where}")
    return models


def _in_place(named: Sequence[Any], path: Path) -> Sequence[Any]:
    for one in named:
        if one not in IN_PLACE:
            raise ConfigError(f"{path}: in_place knows {' and '.join(IN_PLACE)}, not {one!r}")
    return named


def _huggingface(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where huggingface_hub keeps what it downloads."""
    cache = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache")
    home = environ.get("HF_HOME") or str(cache / "huggingface")
    return (Path(environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser(),)


def _lmstudio(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where LM Studio keeps its models: now, and before it moved."""
    home = Path(environ.get("HOME") or Path.home())
    return (home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models")


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
    home = home_folder(environ)
    path = config_file or home / "config.toml"
    content = _file(path, required=config_file is not None)
    address = parse_address(environ.get("OLLAMA_HOST", ""))
    address = Address(host=address.host if host is None else host, port=address.port if port is None else port)
    keys = _keys(environ)
    if not address.loopback and not keys and not no_auth:
        raise ConfigError(
            f"refusing to listen on {address.host} without a key: anyone who reaches it could use it. Set "
            "ARRIERO_API_KEY (clients send it as a Bearer token or x-api-key), say --no-auth, or use --host 127.0.0.1"
        )
    store = environ.get("OLLAMA_MODELS") or str(Path(environ.get("HOME") or Path.home()) / ".ollama" / "models")
    origins = tuple(one.strip() for one in environ.get("OLLAMA_ORIGINS", "").split(",") if one.strip())
    context = _number(environ, "OLLAMA_CONTEXT_LENGTH", 0)
    timeout = _duration(environ, "OLLAMA_LOAD_TIMEOUT", 300.0)
    folder_list = [*content.get("models_dirs", ()), *folders]
    debug = environ.get("OLLAMA_DEBUG", "")
    others = _in_place(content.get("in_place", IN_PLACE), path)
    worker = _worker(environ)
    return Config(
        home=home,
        server=ServerOptions(
            host=address.host,
            port=address.port,
            api_keys=() if no_auth else keys,
            origins=origins,
            unknown_fields=_unknown_fields(environ, content.get("unknown_fields", "refuse")),
            strip_client_headers=truthy(environ, "ARRIERO_STRIP_CLIENT_HEADERS", True),
        ),
        service=ServiceOptions(
            keep_alive=_duration(environ, "OLLAMA_KEEP_ALIVE", 300.0),
            load_timeout=timeout if timeout > 0 else None,
            max_queue=_number(environ, "OLLAMA_MAX_QUEUE", 512, 1),
            max_loaded_models=_number(environ, "OLLAMA_MAX_LOADED_MODELS", 0) or 3,
            context_length=context or None,
            worker=worker,
            prefixes=home / "cache" / "prefixes",
            prefix_bytes=_disk_cache(environ, content.get("disk_cache", ""), worker),
            go_template=truthy(environ, "OLLAMA_GO_TEMPLATE") if environ.get("OLLAMA_GO_TEMPLATE") else None,
            registry=_registry(environ),
            tool_repair=_tool_repair(environ),
            tool_dedupe=truthy(environ, "ARRIERO_TOOL_DEDUPE", True),
            batches=home / "batches" if truthy(environ, "ARRIERO_STORE_BATCHES", True) else None,
            responses=home / "responses.sqlite" if truthy(environ, "ARRIERO_STORE_RESPONSES", True) else None,
        ),
        models=_models(models, content.get("models", {}), path.parent),
        folders=tuple(path.parent / Path(str(folder)).expanduser() for folder in folder_list),
        ollama_models=Path(store.strip("\"'")).expanduser(),
        huggingface=_huggingface(environ) if "huggingface" in others else (),
        lmstudio=_lmstudio(environ) if "lmstudio" in others else (),
        log_level=environ.get("ARRIERO_LOG") or ("debug" if debug and truthy(environ, "OLLAMA_DEBUG") else "info"),
        notes=unhonoured(environ),
    )
