"""What a name means on the network: registry, repository, tag; or the URL of one GGUF file. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from yarl import URL

from arriero.core.errors import InvalidRequest
from arriero.store.names import DEFAULT_NAMESPACE, DEFAULT_TAG, ModelName, name_from_file, parse_name

HUGGING_FACE = frozenset({"hf.co", "huggingface.co"})
_PATH_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*\Z")  # distribution spec, "Pulling manifests"
_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})$")
MAX_PARTS = 1_000
"""Of how many files a GGUF may consist."""


@dataclass(frozen=True, slots=True)
class Repository:
    """Where a model lies in a registry. `name` is its name here; `host` may have a port; `scheme` https or http.

    `ollama` says that the name is one of Ollama's; an oci:// name may lead to what Ollama does not know.
    """

    name: ModelName
    scheme: str
    host: str
    path: str
    tag: str
    ollama: bool = True

    @property
    def base(self) -> str:
        """The URL of the repository; manifests and blobs are below."""
        return f"{self.scheme}://{self.host}/v2/{self.path}"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One GGUF at a URL, in several files where it is split; and the name that it gets here."""

    name: ModelName
    urls: tuple[str, ...]


def parse_remote(text: str, *, insecure: bool = False) -> Repository | RemoteFile:
    """Say where `text` is: `[scheme://][host/][namespace/]model[:tag]`, `oci://host/path:tag`, or `https://….gguf`.

    `insecure` speaks plain HTTP with registries, as Ollama does. InvalidRequest ("invalid model name") for anything
    else; RegistryError is the caller's for what `insecure` would have allowed.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "https", text
    scheme = scheme.lower()
    if scheme == "oci":
        return _oci(rest, insecure)
    if separator and scheme in ("http", "https") and _looks_like_a_file(text):
        return _file(text)
    if scheme not in ("http", "https"):
        raise InvalidRequest("invalid model name", param="model")
    name = parse_name(rest)
    scheme = "http" if insecure else scheme
    _check_port(name.host)
    return Repository(name, scheme, name.host, f"{name.namespace}/{name.model}", name.tag)


def _check_port(host: str) -> None:
    """InvalidRequest for a host that is one to Ollama's grammar, but of which no URL can be made."""
    try:
        good = bool(URL(f"https://{host}").host) and urlsplit(f"//{host}").port != 0
    except ValueError:
        good = False
    if not good:
        raise InvalidRequest("invalid model name", param="model")


def _looks_like_a_file(text: str) -> bool:
    try:
        return urlsplit(text).path.lower().endswith(".gguf")
    except ValueError:
        return False


def _file(url: str) -> RemoteFile:
    parts = urlsplit(url)
    try:
        known = URL(url).host and parts.hostname and (parts.port or True)
    except ValueError:
        known = False
    if not known or parts.username or parts.password:
        raise InvalidRequest("invalid model name: not a URL that can be fetched", param="model")
    stem = unquote(parts.path.rsplit("/", 1)[-1])[: -len(".gguf")]
    folder = parts.path[: parts.path.rindex("/") + 1]
    files = [folder + file for file in files_of(parts.path.rsplit("/", 1)[-1])]
    urls = tuple(parts._replace(path=path, fragment="").geturl() for path in files)
    return RemoteFile(parse_name(name_from_file(_SPLIT.sub("", stem))), urls)


def files_of(file: str) -> list[str]:
    """All files of the GGUF of which `file`, whichever part it is, is named as one; the file alone if it is not."""
    match = _SPLIT.search(file.removesuffix(file[-len(".gguf") :]))
    count = int(match[2]) if match else 1
    if match is None or not 1 < count <= MAX_PARTS:
        return [file]
    stem, ending = file[: match.start()], file[-len(".gguf") :]
    return [f"{stem}-{at:05d}-of-{count:05d}{ending}" for at in range(1, count + 1)]


def _oci(rest: str, insecure: bool) -> Repository:
    """`host/path:tag`; a path of several parts is one namespace here: team/llm/qwen becomes team-llm/qwen."""
    host, _, path = rest.partition("/")
    path, _, tag = path.partition(":")
    if not path or "@" in rest or not all(_PATH_PART.match(part) for part in path.split("/")):
        raise InvalidRequest("invalid model name: oci:// needs HOST/PATH[:TAG], in lower case", param="model")
    *before, model = path.split("/")
    namespace = "-".join(before).replace(".", "_") or DEFAULT_NAMESPACE
    name = parse_name(f"{host}/{namespace}/{model}:{tag or DEFAULT_TAG}")
    _check_port(host)
    return Repository(name, "http" if insecure else "https", host, path, name.tag, ollama=False)
