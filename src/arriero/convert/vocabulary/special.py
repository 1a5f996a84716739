"""Tokens with a part to play: which begins and ends a text, what is added by itself, and the chat template."""

from __future__ import annotations

from typing import Any

from arriero.convert.output import Output
from arriero.convert.source import Source
from arriero.convert.vocabulary.tokens import Tokens, chat_template, token_text
from arriero.core.errors import InvalidRequest

ROLES = ("bos", "eos", "unk", "sep", "pad", "mask")


def added_tokens(source: Source) -> dict[int, tuple[str, bool]]:
    """Tokens beside the vocabulary's own: text and whether it is for control, by id, from every file that has them."""
    found: dict[int, tuple[str, bool]] = {}
    for text, at in source.optional("added_tokens.json").items():
        if not isinstance(at, int):
            raise InvalidRequest(f"added_tokens.json: the id of {text!r} is no number")
        found[at] = (text, looks_special(text))
    listed = source.optional("tokenizer_config.json").get("added_tokens_decoder") or {}
    entries = [(key, entry) for key, entry in listed.items()] if isinstance(listed, dict) else []
    of_json = source.optional("tokenizer.json").get("added_tokens") or []
    entries += [(entry.get("id"), entry) for entry in of_json if isinstance(entry, dict)]
    for at, entry in entries:
        content = token_text(entry)
        if content is None or not str(at).isdecimal():
            raise InvalidRequest("an added token of the tokenizer has no id or content")
        found[int(at)] = (content, bool(entry.get("special")) or looks_special(content))
    return found


def looks_special(text: str) -> bool:
    """Whether a token is one of control, whatever its file says: several makers forgot to mark theirs."""
    return (
        text in ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
        or (text.startswith("<|") and text.endswith("|>"))
        or (text.startswith("<｜") and text.endswith("｜>"))
        or (text.startswith("<unused") and text.endswith(">"))
    )


def write(source: Source, out: Output, config: dict[str, Any], tokens: Tokens) -> None:
    """Write the ids, what is added to a text, and the chat template."""
    stated = source.optional("tokenizer_config.json")
    texts = source.optional("special_tokens_map.json") | {k: v for k, v in stated.items() if v is not None}
    ids = tokens.ids()
    roles: dict[str, int] = {}
    for role in ROLES:
        text = token_text(texts.get(f"{role}_token"))
        at = ids.get(text) if text is not None else None
        if at is None:
            at = _first(config.get(f"{role}_token_id"))
        if at is not None and 0 <= at < len(tokens.texts):
            roles[role] = at
            getattr(out.keys, f"add_{role}_token_id")(at)
    ends = source.optional("generation_config.json").get("eos_token_id")
    for at in ends if isinstance(ends, list) else [ends]:
        if isinstance(at, int) and 0 <= at < len(tokens.texts) and at != roles.get("eos"):
            out.keys.add_eot_token_id(at)  # llama.cpp finds further ones by their texts
            break
    template = source.optional("tokenizer.json").get("post_processor")
    for role, adds in _added(template, roles, ids).items():
        value = stated.get(f"add_{role}_token")
        adds = value if isinstance(value, bool) else adds
        if adds is not None:
            getattr(out.keys, f"add_add_{role}_token")(adds)
    chat = chat_template(source)
    if chat is not None:
        out.keys.add_chat_template(chat)


def _first(value: Any) -> int | None:
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _added(processor: Any, roles: dict[str, int], ids: dict[str, int]) -> dict[str, bool | None]:
    """Whether bos and eos are added, as the post-processor's template for one text says; None if there is none."""
    if not isinstance(processor, dict):
        return {"bos": None, "eos": None}
    steps = processor.get("processors") if processor.get("type") == "Sequence" else [processor]
    found: dict[str, bool | None] = {"bos": False, "eos": False}
    for step in steps or []:
        if isinstance(step, dict) and step.get("type") == "RobertaProcessing":
            found = {"bos": True, "eos": True}
        single = step.get("single") if isinstance(step, dict) and step.get("type") == "TemplateProcessing" else None
        if not isinstance(single, list) or len(single) < 2:
            continue
        for role, piece in (("bos", single[0]), ("eos", single[-1])):
            special = piece.get("SpecialToken") if isinstance(piece, dict) else None
            if isinstance(special, dict):
                if roles.get(role) != ids.get(str(special.get("id")), -1):
                    raise InvalidRequest(
                        f"tokenizer.json adds {special.get('id')!r} to a text, which is no {role} token"
                    )
                found[role] = True
    return found
