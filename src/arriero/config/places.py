"""Where things lie on this machine: arriero's home, models given by name, and other programs' folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arriero.config.values import ConfigError
from arriero.protocols.ollama.models import OLLAMA_VERSION
from arriero.store.gguf import MAGIC
from arriero.store.registry.options import RegistryOptions, user_agent

IN_PLACE = ("huggingface", "lmstudio")


def user_home(environ: Mapping[str, str]) -> Path:
    """The user's own folder: HOME, else what the system has; `/` for a user whom it does not know, as in containers."""
    if given := environ.get("HOME"):
        return Path(given)
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def expanded(path: str | Path) -> Path:
    """A path that may begin with `~`; ConfigError where nobody knows whose folder that is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: it is not known where ~ is; set HOME, or write the whole path") from None


def home_folder(environ: Mapping[str, str]) -> Path:
    """ARRIERO_HOME, else arriero's folder among the user's data (XDG); never below ~/.ollama."""
    given = environ.get("ARRIERO_HOME")
    user = user_home(environ)
    base = environ.get("XDG_DATA_HOME") or str(user / ".local" / "share")
    home = expanded(given) if given else Path(base) / "arriero"
    ollama = user / ".ollama"
    if home == ollama or ollama in home.parents:
        raise ConfigError(f"ARRIERO_HOME={home} lies in Ollama's folder; choose another")
    return home


def registry(environ: Mapping[str, str]) -> RegistryOptions:
    """How models are pulled and pushed. Tokens are only read, here and by those who made them (huggingface_hub)."""
    user = user_home(environ)
    cache = Path(environ.get("XDG_CACHE_HOME") or user / ".cache")
    hub = expanded(environ.get("HF_HOME") or cache / "huggingface")
    private = environ.get("ARRIERO_PRIVATE_REGISTRIES", "").split(",")
    return RegistryOptions(
        agent=user_agent(OLLAMA_VERSION),
        private=tuple(one.strip() for one in private if one.strip()),
        hf_token=environ.get("HF_TOKEN", "").strip(),
        hf_token_file=expanded(environ.get("HF_TOKEN_PATH") or hub / "token"),
        key=user / ".ollama" / "id_ed25519",
    )


def named_models(given: Sequence[str], configured: Mapping[str, Any], base: Path) -> dict[str, Path]:
    """Files by model: `configured` ones below `base`, then `given` NAME=PATHs. ConfigError where there is none."""
    models = {}
    for name, path in configured.items():
        if not isinstance(path, str):
            raise ConfigError(f"the path of model {name!r} must be a string")
        models[name] = base / expanded(path)
    for text in given:
        name, separator, path = text.partition("=")
        if not separator:
            name, path = Path(text).stem, text
        models[name] = expanded(path).absolute()
    for name, where in models.items():
        if not where.is_file():
            raise ConfigError(f"model {name!r}: there is no file {where}")
        if not _is_gguf(where):
            raise ConfigError(f"model {name!r}: {where} is no GGUF file; `arriero create` makes one of other files")
    return models


def _is_gguf(path: Path) -> bool:
    """Whether the file begins as a GGUF does; one that cannot be read now is told of when it is asked for."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return True


def other_programs(named: Sequence[Any], path: Path) -> Sequence[Any]:
    """What `in_place` of the config file at `path` names; ConfigError for a program that is not known."""
    for one in named:
        if one not in IN_PLACE:
            raise ConfigError(f"{path}: in_place knows {' and '.join(IN_PLACE)}, not {one!r}")
    return named


def huggingface(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where huggingface_hub keeps what it downloads."""
    cache = Path(environ.get("XDG_CACHE_HOME") or user_home(environ) / ".cache")
    home = environ.get("HF_HOME") or str(cache / "huggingface")
    return (expanded(environ.get("HF_HUB_CACHE") or Path(home) / "hub"),)


def lmstudio(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where LM Studio keeps its models: now, and before it moved."""
    home = user_home(environ)
    return (home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models")
