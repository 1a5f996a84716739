"""Names on the network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from arriero.core.errors import InvalidRequest
from arriero.store.registry.reference import RemoteFile, Repository, parse_remote


@pytest.mark.parametrize(
    ("text", "base", "tag", "name"),
    [
        ("qwen3", "https://registry.ollama.ai/v2/library/qwen3", "latest", "qwen3:latest"),
        ("me/qwen3:8b", "https://registry.ollama.ai/v2/me/qwen3", "8b", "me/qwen3:8b"),
        ("hf.co/U/Repo-GGUF:Q4_0", "https://hf.co/v2/U/Repo-GGUF", "Q4_0", "hf.co/U/Repo-GGUF:Q4_0"),
        ("https://hf.co/U/Repo", "https://hf.co/v2/U/Repo", "latest", "hf.co/U/Repo:latest"),
        ("http://box:5000/n/m", "http://box:5000/v2/n/m", "latest", "box:5000/n/m:latest"),
        ("oci://ghcr.io/a/b/c/m:v1", "https://ghcr.io/v2/a/b/c/m", "v1", "ghcr.io/a-b-c/m:v1"),
        ("oci://ghcr.io/m", "https://ghcr.io/v2/m", "latest", "ghcr.io/library/m:latest"),
        ("oci://box:5000/a.b/m", "https://box:5000/v2/a.b/m", "latest", "box:5000/a_b/m:latest"),
    ],
)
def test_repositories(text: str, base: str, tag: str, name: str) -> None:
    found = parse_remote(text)
    assert isinstance(found, Repository)
    assert (found.base, found.tag, str(found.name)) == (base, tag, name)
    assert found.ollama is not text.startswith("oci")


def test_insecure_is_plain_http_for_registries_only() -> None:
    found = parse_remote("https://box/n/m", insecure=True)
    assert isinstance(found, Repository)
    assert found.base == "http://box/v2/n/m"
    file = parse_remote("https://box/m.gguf", insecure=True)
    assert isinstance(file, RemoteFile)
    assert file.urls == ("https://box/m.gguf",)


def test_files() -> None:
    found = parse_remote("https://huggingface.co/U/R/resolve/main/My%20Model.Q4_K_M.gguf?download=true#x")
    assert found == RemoteFile(
        found.name, ("https://huggingface.co/U/R/resolve/main/My%20Model.Q4_K_M.gguf?download=true",)
    )
    assert str(found.name) == "My-Model.Q4_K_M:latest"


@pytest.mark.parametrize("part", ["00001", "00003"])
def test_any_part_of_a_split_file_means_all_of_them(part: str) -> None:
    found = parse_remote(f"https://box/a%20b/M-Q4-{part}-of-00003.GGUF?x=1")
    assert isinstance(found, RemoteFile)
    assert found.urls == tuple(f"https://box/a%20b/M-Q4-0000{at}-of-00003.GGUF?x=1" for at in (1, 2, 3))
    assert str(found.name) == "M-Q4:latest"
    for alone in ("https://box/m-00001-of-00001.gguf", "https://box/m-00001-of-99999.gguf"):
        found = parse_remote(alone)
        assert isinstance(found, RemoteFile)
        assert found.urls == (alone,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":x",
        "a b",
        "../x",
        "ftp://box/m.gguf",
        "file:///etc/passwd.gguf",
        "https:///m.gguf",
        "https://user:pw@box/m.gguf",
        "https://box:x/m.gguf",
        "box:notaport/n/m",
        "a:b:c/n/m",
        "oci://box",
        "oci://box/",
        "oci://box/../m",
        "oci://box/a//m",
        "oci://box/Upper",
        "oci://box/m@sha256:00",
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_remote(text)


@given(st.text(alphabet="aZ0._-:/@%?#[]\\ \x00é", max_size=40), st.sampled_from(["", "oci://", "http://", "https://"]))
def test_any_text_is_a_name_or_refused(text: str, scheme: str) -> None:
    """Whatever is accepted makes a URL whose host and path are those of the name, and a path inside the store."""
    for ending in ("", ".gguf"):
        try:
            found = parse_remote(scheme + text + ending)
        except InvalidRequest:
            continue
        parts = (found.name.host, found.name.namespace, found.name.model, found.name.tag)
        assert all(part and "/" not in part and part not in (".", "..") for part in parts)
        if isinstance(found, Repository):
            url = URL(found.base)
            assert url.authority == found.host.lower() or url.host == found.host.lower().partition(":")[0]
            assert url.path == f"/v2/{found.path}"
            assert (url.query_string, url.fragment, url.user) == ("", "", None)
        else:
            assert all(URL(url).host for url in found.urls)
