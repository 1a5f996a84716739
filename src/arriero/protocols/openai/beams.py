"""Beam search as vLLM's clients ask for it: `use_beam_search`, `n` or `best_of` as the width, `length_penalty`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.core.request import Beams

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "temperature": (0,),
    "top_p": (1,),
    "top_k": (0, -1),
    "min_p": (0,),
    "typical_p": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repeat_penalty": (1,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "stop": ([], ""),
    "min_tokens": (0,),
    "response_format": ({"type": "text"},),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
    "structured_outputs": (),
    "tools": ([],),
    "echo": (False,),
    "stream": (False,),
}
"""What a search leaves nothing to do: it draws nothing, and what it tells comes at its end."""


def read_beams(fields: Mapping[str, Any], *, asked: bool, width: int, length_penalty: float) -> Beams | None:
    """Return the search that is asked for, None if none is. UnsupportedFeature for what cannot go with one."""
    if not asked:
        if "length_penalty" in fields and length_penalty != 1.0:
            raise InvalidRequest("'length_penalty' needs 'use_beam_search': true", param="length_penalty")
        return None
    if not -10.0 <= length_penalty <= 10.0:
        raise InvalidRequest("'length_penalty' must be between -10 and 10", param="length_penalty")
    options = fields.get("options")
    given = {**(options if isinstance(options, Mapping) else {}), **fields}
    for name, neutral in NEUTRAL.items():
        if name in given and given[name] not in neutral:
            what = f"only {neutral[0]!r} goes" if neutral else "it does not go"
            raise UnsupportedFeature(f"'{name}': {what} with 'use_beam_search', which draws nothing", param=name)
    return Beams(width=width, length_penalty=length_penalty)
