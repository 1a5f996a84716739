"""Models of Hugging Face that its registry has no manifest for, as their GGUF is split: their files' URLs.

Sources: Hub API, "GET /api/models/{repo_id}/tree/{revision}"; the registry's refusal names "sharded GGUF".
"""

from __future__ import annotations

import re

import msgspec
from yarl import URL

from arriero.core.errors import RegistryError
from arriero.store.registry.client import Registry, check
from arriero.store.registry.errors import Broken, Refused
from arriero.store.registry.http import read_body
from arriero.store.registry.reference import files_of

DEFAULT_QUANT = "Q4_K_M"
"""What the registry chooses for `latest` where it is there."""
MAX_LISTING = 16 * 1024 * 1024
MAX_PAGES = 50


class _File(msgspec.Struct):
    path: str = ""
    type: str = ""


def says_sharded(refusal: Refused) -> bool:
    """Whether the registry refuses a manifest as the GGUF is split."""
    return refusal.status == 400 and "sharded GGUF" in refusal.message


async def split_files(registry: Registry) -> tuple[str, ...]:
    """The URLs of all parts of the repository's split GGUF that its tag means, first to last.

    RegistryError if there is none, or if more than one could be meant.
    """
    repository = registry.repository
    base = URL(f"{repository.scheme}://{repository.host}")
    listed = await _listing(
        registry, base / "api" / "models" / repository.path / "tree" / "main" % {"recursive": "true"}
    )
    models = _whole(listed)
    tag = repository.tag
    found = [name for name in models if _means(name, DEFAULT_QUANT if tag == "latest" else tag)]
    if tag == "latest" and not found:
        found = sorted(models)[:1] if len(models) == 1 else []
    if len(found) != 1:
        known = ", ".join(sorted(found or models)) or "none"
        raise RegistryError(f"no one split GGUF of {repository.path} is {tag}; there are: {known}")
    return tuple(str(base / repository.path / "resolve" / "main" / path) for path in models[found[0]])


def _whole(paths: set[str]) -> dict[str, list[str]]:
    """Split GGUFs of which all parts are there, by the path of the first one."""
    models: dict[str, list[str]] = {}
    for path in paths:
        folder, slash, file = path.rpartition("/")
        parts = [f"{folder}{slash}{part}" for part in files_of(file)] if file.lower().endswith(".gguf") else []
        if len(parts) > 1 and parts[0] == path and paths.issuperset(parts):
            models[path] = parts
    return models


def _means(path: str, tag: str) -> bool:
    """Whether a file's name, or its folder's, has the tag as a word: Q4_K_M is none of UD-Q4_K_M's neighbours."""
    return re.search(rf"(?<![A-Za-z0-9_]){re.escape(tag)}(?![A-Za-z0-9_])", path, re.IGNORECASE) is not None


async def _listing(registry: Registry, url: URL) -> set[str]:
    """The paths of the repository's files; a listing of many comes in pages that link to the next."""
    found: set[str] = set()
    for _ in range(MAX_PAGES):

        async def once(asked: URL = url) -> tuple[bytes, URL | None]:
            async with registry.request("GET", asked) as response:
                await check(response)
                raw = await read_body(response, MAX_LISTING)
                links = response.links.get("next")
                return raw, _next(links.get("url") if links else None, asked)

        raw, following = await registry.again(once)
        try:
            files = msgspec.json.decode(raw, type=list[_File])
        except msgspec.DecodeError as error:
            raise Broken(f"{url.host} sent a list of files that cannot be read: {error}") from None
        found |= {one.path for one in files if one.type == "file" and not _leads_away(one.path)}
        if following is None:
            return found
        url = following
    raise RegistryError(f"the repository has more than {MAX_PAGES} pages of files")


def _next(link: object, asked: URL) -> URL | None:
    if not isinstance(link, (str, URL)):
        return None
    following = asked.join(URL(link))
    if following.origin() != asked.origin():
        raise Broken(f"{asked.host} sent a link to {following.host} for its own list")
    return following


def _leads_away(path: str) -> bool:
    return any(part in ("", ".", "..") for part in path.split("/"))
