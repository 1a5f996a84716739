"""The Modelfile grammar, its error texts, and that what is rendered reads back the same."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arriero.core.errors import InvalidRequest
from arriero.protocols.ollama.modelfile import Modelfile, decode, parse, quoted, render

BAD_COMMAND = (
    'command must be one of "from", "license", "template", "system", "adapter", "draft", "renderer", "parser", '
    '"parameter", "message", or "requires"'
)


def test_every_instruction() -> None:
    file = parse(
        """
# a comment
FROM llama3.2
FROM ./projector.gguf
parameter temperature 0.7
PARAMETER num_ctx 4096
PARAMETER use_mmap false
PARAMETER stop <|im_end|>
PARAMETER stop "a line
and another"
TEMPLATE first
TEMPLATE \"\"\"{{ .Prompt }}\"\"\"
  SYSTEM You are # no comment
ADAPTER ./lora.gguf
DRAFT small
LICENSE MIT
LICENSE \"\"\"
Apache
\"\"\"
MESSAGE user  Hello: there
MESSAGE assistant "Hi"
RENDERER qwen3-coder
PARSER qwen3-coder
REQUIRES v0.14.0
PARAMETER mirostat 1
"""
    )
    assert file == Modelfile(
        bases=["llama3.2", "./projector.gguf"],
        adapters=["./lora.gguf"],
        drafts=["small"],
        fields={
            "template": "{{ .Prompt }}",
            "system": "You are # no comment",
            "license": ["MIT", "\nApache\n"],
            "messages": [{"role": "user", "content": "Hello: there"}, {"role": "assistant", "content": "Hi"}],
            "renderer": "qwen3-coder",
            "parser": "qwen3-coder",
            "requires": "0.14.0",
            "parameters": {
                "temperature": 0.7,
                "num_ctx": 4096,
                "use_mmap": False,
                "stop": ["<|im_end|>", "a line\nand another"],
            },
        },
        warnings=["warning: parameter mirostat is deprecated"],
    )


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("bare words", "bare words"),
        ("  trimmed \t", "trimmed"),
        ('"quoted "', "quoted "),
        ("'single'", "'single'"),
        ('""', ""),
        ('""""""', ""),
        ('"two\nlines"', "two\nlines"),
        ('"""three "quotes" inside"""', 'three "quotes" inside'),
        ('"""\nlines\n"""', "\nlines\n"),
        ('"a" and b"', 'a" and b'),
        (r'"no \n escapes"', r"no \n escapes"),
        ('"ends\nat the first line that closes"\nSYSTEM again', "again"),
        ("", ""),
    ],
)
def test_values(value: str, read: str) -> None:
    assert parse(f"FROM x\nSYSTEM {value}").fields["system"] == read


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no FROM line"),
        ("# nothing\nSYSTEM x", "no FROM line"),
        ("FROM", "unexpected EOF"),
        ("FOO bar", f"(line 1): {BAD_COMMAND}"),
        ("FROM x\n\n  BAR baz", f"(line 3): {BAD_COMMAND}"),
        ('FROM x\nSYSTEM """a\nb"""\nBAR baz', f"(line 4): {BAD_COMMAND}"),
        ("FROM x\nSYSTEM\n", f"(line 2): {BAD_COMMAND}"),
        ('FROM x\nSYSTEM """never closed\n', "unexpected EOF"),
        ('FROM x\nSYSTEM "never closed', "unexpected EOF"),
        ("FROM x\nPARAMETER temperature", "unexpected EOF: temperature"),
        ('FROM x\nPARAMETER "k" v', "unexpected EOF: "),
        ("FROM x\nPARAMETER nope 1", "unknown parameter 'nope'"),
        ("FROM x\nPARAMETER num_ctx many", "invalid int value [many]"),
        ("FROM x\nPARAMETER num_ctx 1.5", "invalid int value [1.5]"),
        ("FROM x\nPARAMETER temperature hot", "invalid float value [hot]"),
        ("FROM x\nPARAMETER temperature nan", "invalid float value [nan]"),
        ("FROM x\nPARAMETER use_mmap maybe", "invalid bool value [maybe]"),
        ("FROM x\nMESSAGE tool hi", '(line 2): message role must be one of "system", "user", or "assistant"'),
        ("FROM x\nREQUIRES soon", "requires must be a valid semver (e.g. 0.14.0)"),
    ],
)
def test_errors(text: str, error: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse(text)
    assert raised.value.message == error


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(encoding: str) -> None:
    assert parse(decode("FROM x\r\nSYSTEM ¡hola! 👩‍🚀\r\n".encode(encoding))).fields["system"] == "¡hola! 👩‍🚀"


def test_a_long_value_takes_no_longer_than_its_length() -> None:
    text = "FROM x\nLICENSE " + '"""' + '"\n \n' * 200_000 + '"""'
    assert len(parse(text).fields["license"][0]) == 800_000


texts = st.text(st.sampled_from("ab\" \n\t'#{<"), max_size=12)


@settings(max_examples=300)
@given(system=texts, stop=texts, reply=texts)
@example(system='"', stop='""', reply='a"\n')
@example(system=" a", stop="a ", reply='"""')
def test_what_is_rendered_reads_back_the_same(system: str, stop: str, reply: str) -> None:
    # Three quotes at the end of a line close a value: no spelling of this format can hold both kinds.
    both = '"""\n' if any('"""' in one for one in (system, stop, reply)) else None
    if both is not None:
        return
    text = render(
        name="x:latest",
        base="/a b/x.gguf",
        template="{{ .Prompt }}\n",
        system=system,
        parameters={"stop": [stop], "num_ctx": 2048, "temperature": 0.5, "use_mmap": True},
        messages=[("user", "hi"), ("assistant", reply)],
        licenses=["MIT"],
        words={"renderer": "", "requires": "0.1.0"},
        adapters=["/l o.gguf"],
        draft="/small one.gguf",
        projectors=["/p.gguf"],
    )
    file = parse(text)
    assert (file.bases, file.adapters) == (["/a b/x.gguf", "/p.gguf"], ["/l o.gguf"])
    assert file.drafts == ["/small one.gguf"]
    assert file.fields.get("system", "") == system
    assert file.fields["parameters"] == {"stop": [stop], "num_ctx": 2048, "temperature": 0.5, "use_mmap": True}
    assert [one["content"] for one in file.fields["messages"]] == ["hi", reply]
    assert file.fields["template"] == "{{ .Prompt }}\n"
    assert file.fields["requires"] == "0.1.0"
    assert "renderer" not in file.fields


def test_plain_texts_stay_plain() -> None:
    assert [quoted(text) for text in ("a b", "<|x|>", "two\nlines", 'say "hi"\nnow', " a")] == [
        "a b",
        "<|x|>",
        '"two\nlines"',
        '"""say "hi"\nnow"""',
        '" a"',
    ]
