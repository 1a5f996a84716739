"""Model names as Ollama parses them: [host/][namespace/]model[:tag]. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from arriero.core.errors import InvalidRequest

DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG = "registry.ollama.ai", "library", "latest"

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}\Z")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}\Z")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\Z")


@dataclass(frozen=True, slots=True)
class ModelName:
    """A fully qualified name. `str()` is what users see: defaults dropped, the tag kept."""

    host: str
    namespace: str
    model: str
    tag: str

    def __str__(self) -> str:
        text = f"{self.model}:{self.tag}"
        if self.host != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{text}"
        return text if self.namespace == DEFAULT_NAMESPACE else f"{self.namespace}/{text}"

    @property
    def key(self) -> str:
        """What two names must share to be the same model; lookup ignores case."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}".lower()


def parse_name(text: str) -> ModelName:
    """Parse `text`; InvalidRequest ("invalid model name") when it is not a name."""
    rest = text.split("://", 1)[1] if "://" in text else text
    head, _, last = rest.rpartition("/")
    model, _, tag = last.partition(":")
    host, namespace = DEFAULT_HOST, DEFAULT_NAMESPACE
    if head:
        before, slash, namespace = head.rpartition("/")
        host = before if slash else DEFAULT_HOST
    name = ModelName(host, namespace, model, tag or DEFAULT_TAG)
    valid = _HOST.match(name.host) and _NAMESPACE.match(name.namespace) and _PART.match(model) and _PART.match(name.tag)
    if not valid or last.endswith(":"):
        raise InvalidRequest("invalid model name", param="model")
    return name


def name_from_file(stem: str) -> str:
    """Turn a file's name without its ending into a model name; what names cannot hold becomes '-'.

    The number of a first part ("-00001-of-00003") is left out.
    """
    text = re.sub(r"[^A-Za-z0-9_.-]", "-", re.sub(r"-00001-of-\d{5}\Z", "", stem))[:80]
    return text if re.match(r"[A-Za-z0-9_]", text) else f"m{text}"[:80]
