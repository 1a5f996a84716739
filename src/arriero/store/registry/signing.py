"""Ollama's signed token challenge: the user's ed25519 key, read and never written, signs the URL it asks.

Sources: RFC 8032 (Ed25519, section 5.1) and OpenSSH's PROTOCOL.key. One signature per token, so plain Python does.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import struct
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)
_MAGIC = b"openssh-key-v1\x00"
_BEGIN, _END = "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"
_KIND = b"ssh-ed25519"
MAX_KEY_FILE = 64 * 1024

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]  # extended homogeneous coordinates (X, Y, Z, T)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An ed25519 key pair: `seed` is the secret of 32 bytes, `public` its public key of 32."""

    seed: bytes = field(repr=False)
    public: bytes

    def sign(self, message: bytes) -> bytes:
        """Return the signature of 64 bytes."""
        return sign(self.seed, message)

    def authorization(self, method: str, url: str) -> str:
        """Return what Ollama's token server wants in Authorization: `pubkey:sig`, both in base64.

        Signed is `METHOD,URL,` and the base64 of the hexadecimal SHA-256 of the (empty) body.
        """
        body = base64.b64encode(hashlib.sha256(b"").hexdigest().encode())
        signature = self.sign(f"{method},{url},".encode() + body)
        blob = _string(_KIND) + _string(self.public)
        return f"{base64.b64encode(blob).decode()}:{base64.b64encode(signature).decode()}"


def read_key(path: Path | None) -> SigningKey | None:
    """Read an OpenSSH private key without a passphrase; None if there is none or it is of another kind."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return parse_key(file.read(MAX_KEY_FILE).decode("ascii"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, struct.error) as error:
        log.warning("the key %s cannot be used: %s", path, error)
        return None


def parse_key(text: str) -> SigningKey:
    """Parse an OpenSSH private key; ValueError for one with a passphrase, of another kind, or broken."""
    body = text.partition(_BEGIN)[2].partition(_END)[0]
    raw = base64.b64decode("".join(body.split()), validate=True)
    if not raw.startswith(_MAGIC):
        raise ValueError("not an OpenSSH private key")
    cipher, rest = _take(raw[len(_MAGIC) :])
    _, rest = _take(rest)
    _, rest = _take(rest)
    if cipher != b"none":
        raise ValueError("it has a passphrase")
    (count,) = struct.unpack(">I", rest[:4])
    _, rest = _take(rest[4:])
    private, _ = _take(rest)
    check, again = struct.unpack(">II", private[:8])
    kind, rest = _take(private[8:])
    public, rest = _take(rest)
    secret, _ = _take(rest)
    if count != 1 or check != again or kind != _KIND or len(public) != 32 or len(secret) != 64:
        raise ValueError("not one ed25519 key")
    return SigningKey(secret[:32], public)


def _take(data: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack(">I", data[:4])
    if length > len(data) - 4:
        raise ValueError("it is cut off")
    return data[4 : 4 + length], data[4 + length :]


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def sign(seed: bytes, message: bytes) -> bytes:
    """Ed25519 (RFC 8032, 5.1.6)."""
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    public = public_key(seed)
    nonce = _number(digest[32:] + message) % _ORDER
    commitment = _encode(_multiply(nonce, _BASE))
    answer = (nonce + _number(commitment + public + message) * scalar) % _ORDER
    return commitment + answer.to_bytes(32, "little")


def public_key(seed: bytes) -> bytes:
    """The public key of a secret (RFC 8032, 5.1.5)."""
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    return _encode(_multiply(scalar, _BASE))


def _number(data: bytes) -> int:
    return int.from_bytes(hashlib.sha512(data).digest(), "little")


def _add(one: _Point, two: _Point) -> _Point:
    """Complete addition on the twisted Edwards curve (RFC 8032, 5.1.4)."""
    a = (one[1] - one[0]) * (two[1] - two[0]) % _P
    b = (one[1] + one[0]) * (two[1] + two[0]) % _P
    c = 2 * one[3] * two[3] * _D % _P
    d = 2 * one[2] * two[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int, point: _Point) -> _Point:
    result: _Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _encode(point: _Point) -> bytes:
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | ((x & 1) << 255)).to_bytes(32, "little")


def _base() -> _Point:
    """The base point: y = 4/5, x even."""
    y = 4 * pow(5, _P - 2, _P) % _P
    squared = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(squared, (_P + 3) // 8, _P)
    if (x * x - squared) % _P:
        x = x * _ROOT % _P
    if x & 1:
        x = _P - x
    return x, y, 1, x * y % _P


_BASE = _base()
