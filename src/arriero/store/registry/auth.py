"""Tokens of the distribution protocol: a 401's challenge, the request for a token, and which host may see it.

Source: distribution's "Token Authentication Specification"; Ollama's own challenge is signed (see signing.py).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping

import msgspec
from yarl import URL

from arriero.store.registry.errors import AccessDenied, Broken, NotAllowed
from arriero.store.registry.http import Http, read_body, refused
from arriero.store.registry.options import RegistryOptions
from arriero.store.registry.reference import HUGGING_FACE
from arriero.store.registry.signing import SigningKey, read_key

MAX_ANSWER = 1024 * 1024
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


class _Answer(msgspec.Struct):
    token: str = ""
    access_token: str = ""


def parse_challenge(header: str) -> dict[str, str]:
    """Return realm, service and scope of a `WWW-Authenticate: Bearer …`; empty if it is none."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        return {}
    return {key.lower(): quoted or bare for key, quoted, bare in _PARAMETER.findall(rest)}


class Tokens:
    """Credentials for one registry (`origin`), got when it asks for them."""

    def __init__(self, http: Http, options: RegistryOptions, origin: URL) -> None:
        self._http, self._options, self._origin = http, options, origin.origin()
        self._token = ""

    def headers(self, url: URL) -> Mapping[str, str]:
        """The Authorization for one hop: the registry's token for the registry, Hugging Face's for Hugging Face."""
        if self._token and url.origin() == self._origin:
            return {"Authorization": f"Bearer {self._token}"}
        if url.scheme == "https" and url.host in HUGGING_FACE and (token := self._options.token_for_hf()):
            return {"Authorization": f"Bearer {token}"}
        return {}

    async def answer(self, challenge: str) -> None:
        """Get a token as the challenge says: without a name first, then signed. AccessDenied if there is none."""
        fields = parse_challenge(challenge)
        if not fields.get("realm"):
            raise AccessDenied(self.hint())
        try:
            realm = URL(fields["realm"])
            realm.origin()
        except ValueError:
            raise AccessDenied(self.hint() or "the realm of the registry is no URL") from None
        if realm.host != self._origin.host or realm.scheme not in ("http", "https"):
            # As Ollama: whoever answers for the registry must be the registry.
            raise AccessDenied(self.hint() or f"the realm {realm.host} is not the registry {self._origin.host}")
        if self._origin.scheme == "https" and realm.scheme != "https":
            raise NotAllowed(f"the realm of {realm.host} is without encryption")
        query = [("service", fields.get("service", ""))]
        query += [("scope", scope) for scope in fields.get("scope", "").split()]
        url = realm.update_query(query)
        token, status = await self._ask(url, None)
        if not token:
            key = read_key(self._options.key)
            if key is None:
                raise AccessDenied(f"{self._origin.host} wants a key, and there is none to sign with")
            stamp = [("ts", str(int(time.time()))), ("nonce", secrets.token_urlsafe(16))]
            token, status = await self._ask(realm.update_query([*query, *stamp]), key)
        if not token:
            raise AccessDenied(f"{self._origin.host} gave no token ({status})")
        self._token = token

    async def _ask(self, url: URL, key: SigningKey | None) -> tuple[str, int]:
        headers = {} if key is None else {"Authorization": key.authorization("GET", str(url))}
        async with self._http.send("GET", url, headers=headers, follow=False) as response:
            if response.status in (401, 403):
                return "", response.status
            if response.status != 200:
                raise await refused(response)
            try:
                answer = msgspec.json.decode(await read_body(response, MAX_ANSWER), type=_Answer)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise Broken(f"{url.host} sent a token that cannot be read") from None
        token = answer.token or answer.access_token
        if not (token.isascii() and token.isprintable()):
            raise Broken(f"{url.host} sent a token that cannot be sent in a header")
        return token, response.status

    def hint(self) -> str:
        """What could be done about a refusal, where something is known."""
        if self._origin.host in HUGGING_FACE:
            return "a private or gated model needs a token in HF_TOKEN, and one that does not exist looks the same"
        return ""
