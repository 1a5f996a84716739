"""Qwen3-Coder, Qwen 3.5, Nemotron 3, StepFun: `<function=f>` with `<parameter=k>` members in `<tool_call>`."""

from __future__ import annotations

from arriero.text.tool_calls.base import Envelope
from arriero.text.tool_calls.family import Family
from arriero.text.tool_calls.partial_members import told
from arriero.text.tool_calls.reads import Members, json_calls
from arriero.text.tool_calls.sections import Read, Rule

OPEN, CLOSE = "<function=", "</function>"
_read = Members(r"\s*(?P<name>[^>\n]{1,128})>", "<parameter=", ">", "</parameter>")


def matches(source: str) -> bool:
    """Tell whether a template asks for functions with parameters as tags."""
    return OPEN in source and "<parameter=" in source


def coder(name: str, section: str) -> Family:
    """The family whose calls stand in the tag `section`."""
    return Family(
        name=name,
        envelope=Envelope(
            opens=f"<{section}>\n{OPEN}",
            shape="parameters",
            between=">\n",
            parameter=("<parameter=", ">\n", "\n</parameter>\n"),
            closes=f"{CLOSE}\n</{section}>",
            separator="\n",
        ),
        matches=lambda source: matches(source) and f"<{section}>" in source,
        # Some leave the outer tag out, some the inner one's end.
        rules=(
            Rule(OPEN, _read, streams=told(_read), closes=(CLOSE,), stops=(OPEN, f"</{section}>"), quoted=False),
            *(Rule(mark, _json(mark[:-1]), closes=(f"</{section}>",), inclusive=True) for mark in _json_opens(section)),
        ),
        before=(f"<{section}>",),
        after=(f"</{section}>",),
    )


def _json_opens(section: str) -> tuple[str, str]:
    """Where a model writes JSON in the tag after all."""
    return f"<{section}>{{", f"<{section}>\n{{"


def _json(mark: str) -> Read:
    return lambda body, repairer, cut: json_calls(body.removeprefix(mark), repairer, cut)


FAMILY = coder("qwen3_coder", "tool_call")
