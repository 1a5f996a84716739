"""Ed25519 against RFC 8032's vectors; OpenSSH keys, good and bad."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import pytest

from arriero.store.registry.signing import parse_key, public_key, read_key, sign

# RFC 8032, section 7.1: secret key, public key, message, signature
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), VECTORS)
def test_vectors(seed: str, public: str, message: str, signature: str) -> None:
    assert public_key(bytes.fromhex(seed)).hex() == public
    assert sign(bytes.fromhex(seed), bytes.fromhex(message)).hex() == signature


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def openssh(seed: bytes, *, cipher: bytes = b"none", kind: bytes = b"ssh-ed25519", again: int = 7) -> str:
    """A private key file as ssh-keygen writes it."""
    public = public_key(seed)
    private = struct.pack(">II", 7, again) + _string(kind) + _string(public) + _string(seed + public) + _string(b"me")
    private += bytes(range(1, 1 + -len(private) % 8))
    raw = b"openssh-key-v1\x00" + _string(cipher) + _string(b"none") + _string(b"") + struct.pack(">I", 1)
    raw += _string(_string(kind) + _string(public)) + _string(private)
    text = base64.encodebytes(raw).decode()
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{text}-----END OPENSSH PRIVATE KEY-----\n"


def test_a_key_file_signs(tmp_path: Path) -> None:
    seed = bytes.fromhex(VECTORS[0][0])
    path = tmp_path / "id_ed25519"
    path.write_text(openssh(seed))
    key = read_key(path)
    assert key is not None
    public, _, signature = key.authorization("GET", "https://r/token?x=1").partition(":")
    assert base64.b64decode(public) == _string(b"ssh-ed25519") + _string(bytes.fromhex(VECTORS[0][1]))
    # echo -n "" | sha256sum, then base64 of the digits: what Ollama signs for an empty body
    body = "ZTNiMGM0NDI5OGZjMWMxNDlhZmJmNGM4OTk2ZmI5MjQyN2FlNDFlNDY0OWI5MzRjYTQ5NTk5MWI3ODUyYjg1NQ=="
    assert base64.b64decode(signature) == sign(seed, f"GET,https://r/token?x=1,{body}".encode())
    assert "9d61b1" not in repr(key)


def test_keys_that_cannot_be_used(tmp_path: Path) -> None:
    seed = bytes(32)
    good = openssh(seed)
    for text in (
        "",
        "sentinel\n",
        good.replace("\n", "", 3)[:200],
        openssh(seed, cipher=b"aes256-ctr"),
        openssh(seed, kind=b"ssh-ed448"),
        openssh(seed, again=8),
    ):
        with pytest.raises((ValueError, struct.error)):
            parse_key(text)
        path = tmp_path / "key"
        path.write_text(text)
        assert read_key(path) is None
    assert read_key(tmp_path / "absent") is None
    assert read_key(None) is None
