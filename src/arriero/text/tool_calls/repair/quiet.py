"""Members of an object that can be read in one way only: what the tolerant reader makes of them, but faster.

Nothing in their texts needs a second look, and another key or a closer stands behind them.
"""

from __future__ import annotations

import re
from typing import Any

KEY = r"""(?:"[^"\\\n]{1,64}"|'[^'\\\n]{1,64}'|“[^”\n]{1,64}”|[A-Za-z_$][\w$\-]{0,63})"""
"""What is a key where one may follow."""

_QUOTED = r'"([^"\\\x00-\x1f]*+)"'
_ODDLY = r"""'([^"'“”‘’\\\x00-\x1f]*+)'|“([^"'“”‘’\\\x00-\x1f]*+)”"""
_SPACE = r"[\s\ufeff]*+"
_MEMBER = re.compile(
    rf"{_SPACE}(?:{_QUOTED}|{_ODDLY}|([A-Za-z_$][\w$\-]*+)){_SPACE}:{_SPACE}"
    rf"(?:{_QUOTED}|{_ODDLY}|(-?(?:0|[1-9]\d{{0,14}}))|(true|false|null)){_SPACE}"
    rf"(?:(,)(?={_SPACE}{KEY}\s*+:)|(?=[}}\]]))"
)
_WORDS = {"true": True, "false": False, "null": None}


def read_quiet(text: str, at: int, found: dict[str, Any], notes: set[str]) -> int:
    """Add the quiet members from `at` on to `found`, as far as they follow one another, and what of them was mended to
    `notes`; return where the last one, and the comma behind it, ends.
    """
    while one := _MEMBER.match(text, at):
        at = one.end()
        key, single_key, smart_key, bare_key, quoted, single, smart, number, word, more = one.groups()
        if key is None:
            if bare_key is not None:
                key = bare_key
                notes.add("unquoted_key")
            else:
                key = smart_key if single_key is None else single_key
                notes.add("smart_quotes" if single_key is None else "single_quotes")
        if quoted is not None:
            found[key] = quoted
        elif number is not None:
            found[key] = int(number)
        elif word is not None:
            found[key] = _WORDS[word]
        else:
            found[key] = smart if single is None else single
            notes.add("smart_quotes" if single is None else "single_quotes")
        if more is None:
            break
    return at
