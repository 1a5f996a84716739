"""The special tokens whose text a request's answer must show: a family's markers of calls, a template's of thinking.

A vocabulary gives no bytes for control tokens; without these, the parsers in the server would see no markers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest
from arriero.core.tokenizer import Tokenizer
from arriero.text.answer_tags import answer_tags
from arriero.text.go_template.parser import parse
from arriero.text.template_traits import tool_call_tag
from arriero.text.tool_calls import Family, choose


class SpecialTokens:
    """Of one loaded model; `jinja` is the template in use where it is no Go template."""

    def __init__(self, spec: ModelSpec, jinja: str | None, tokenizer: Tokenizer) -> None:
        self._spec, self._jinja, self._tokenizer = spec, jinja, tokenizer
        self._known: dict[tuple[str, ...], dict[int, bytes]] = {}

    def piece(self, request: GenerateRequest) -> Callable[[int], bytes]:
        """The bytes of a token in the answer to `request`."""
        shown = self._shown(request)
        plain = self._tokenizer.piece
        if not shown:
            return plain
        return lambda token: shown.get(token) or plain(token)

    def _shown(self, request: GenerateRequest) -> dict[int, bytes]:
        if request.raw or request.prompt_tokens is not None:
            return {}
        tags = answer_tags(self._spec, request)
        marks = [*tags]
        if request.tools or self._family.splits_thinking:
            marks += self._family.markers
        if request.tools and self._spec.uses_go_template:
            marks.append(tool_call_tag(parse(self._spec.go_template or "")))
        return self._ids(tuple(dict.fromkeys(mark for mark in marks if mark)))

    def _ids(self, marks: tuple[str, ...]) -> dict[int, bytes]:
        found = self._known.get(marks)
        if found is None:
            found = self._known[marks] = dict(self._specials(marks))
        return found

    def _specials(self, marks: Iterable[str]) -> Iterable[tuple[int, bytes]]:
        """The special token of each mark, alone or with text around it; a mark that is plain text has none."""
        pieces = self._tokenizer.piece
        for mark in marks:
            tokens = self._tokenizer.encode(mark, add_special=False, parse_special=True)
            special = [at for at, token in enumerate(tokens) if not pieces(token)]
            if len(special) != 1 or tokens[special[0]] in self._tokenizer.eog_ids:
                continue
            at, raw = special[0], mark.encode()
            before = b"".join(map(pieces, tokens[:at]))
            after = b"".join(map(pieces, tokens[at + 1 :]))
            if raw.startswith(before) and raw.endswith(after) and len(raw) > len(before) + len(after):
                yield tokens[at], raw[len(before) : len(raw) - len(after)]

    @cached_property
    def _family(self) -> Family:
        return choose(self._spec.go_template or "" if self._spec.uses_go_template else self._jinja or "")
