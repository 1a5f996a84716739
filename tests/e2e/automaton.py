"""A model whose answers are known: real kernels, and weights that let each token name the next one.

The last token of the prompt decides, and the template chooses it: `calls` where tools are offered, `told` after a
tool's result, `says` else. With it, what clients do with calls is tested without asking what a small model can do.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from tests.unit.runners.llama_cpp.tiny_gguf import byte_alphabet

EMBD, LAYERS, HEADS, HEAD_DIM = 256, 1, 4, 64
MARKS = ("<|end|>", "<|says|>", "<|calls|>", "<|told|>")
TEMPLATE = (
    "{% if tools %}{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}"
    "A call is written <tool_call>\n{}\n</tool_call>\n{% endif %}"
    "{% for m in messages %}{{ m.role }}: {{ m.content }}"
    "{% for call in m.tool_calls or [] %}{{ call.function.name }} {{ call.function.arguments | tojson }}{% endfor %}\n"
    "{% endfor %}{% if messages[-1].role == 'tool' %}<|told|>{% elif tools %}<|calls|>{% else %}<|says|>{% endif %}"
)
SAYS = "I am a model whose answers are known beforehand."
CALLS = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
TOLD = "The weather in Paris is sunny, 21 degrees."


def write_automaton(
    path: Path, says: str = SAYS, calls: str = CALLS, told: str = TOLD, template: str = TEMPLATE, behind: str = ""
) -> Path:
    """Write the model to `path` and return it. The texts are ASCII; `behind` is what it says after its calls."""
    tokens = [*byte_alphabet(), *MARKS]
    following: dict[int, int] = {}
    texts = zip(MARKS[1:], (says, calls, told), strict=True)
    ends = [_say(tokens, following, text, tokens.index(mark)) for mark, text in texts]
    # Where a tool's schema leaves no choice, the mask asks for single letters; these lead back to the pieces.
    following[tokens.index(">")] = tokens.index(MARKS[0])
    following[tokens.index('"')] = tokens.index(",")
    arguments = (number for number, token in enumerate(tokens) if token.startswith('"ar'))
    following[tokens.index(",")] = next(arguments, tokens.index(MARKS[0]))
    if behind:
        _say(tokens, following, behind, tokens.index(">"), ends[1])
    writer = gguf.GGUFWriter(str(path), "llama")
    _header(writer, tokens, template)
    _weights(writer, len(tokens), following)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _say(tokens: list[str], following: dict[int, int], text: str, *before: int) -> int:
    """Have each token of `before` followed by `text` and the end; return the text's last token."""
    for piece in _pieces(text, set(tokens)):
        following |= dict.fromkeys(before, len(tokens))
        before = (len(tokens),)
        tokens.append(piece)
    following |= dict.fromkeys(before, tokens.index(MARKS[0]))
    return before[-1]


def _pieces(text: str, used: set[str]) -> list[str]:
    """`text` in pieces of some letters, spelled as the vocabulary spells bytes, each one new."""
    alphabet = byte_alphabet()
    spelled = "".join(alphabet[byte] for byte in text.encode("ascii"))
    pieces: list[str] = []
    start = 0
    while start < len(spelled):
        end = start + 3
        while spelled[start:end] in used and end < len(spelled):
            end += 1
        piece = spelled[start:end]
        while piece in used:  # the text ends here: take what comes before it, too
            piece = pieces.pop() + piece
        used.add(piece)
        pieces.append(piece)
        start = end
    return pieces


def _header(writer: gguf.GGUFWriter, tokens: list[str], template: str) -> None:
    kinds = [gguf.TokenType.CONTROL if token in MARKS else gguf.TokenType.NORMAL for token in tokens]
    writer.add_name("automaton")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(tokens.index(MARKS[0]))
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)
    writer.add_context_length(4096)
    writer.add_embedding_length(EMBD)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(EMBD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))


def _weights(writer: gguf.GGUFWriter, size: int, following: dict[int, int]) -> None:
    """Blocks that add nothing; a token's output row is the sum of the embeddings of those it follows."""
    embeddings = np.random.default_rng(1).choice(np.array([-1.0, 1.0], np.float32), size=(size, EMBD))
    output = np.zeros((size, EMBD), np.float32)
    for token, then in following.items():
        output[then] += embeddings[token]
    writer.add_tensor("token_embd.weight", embeddings)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(EMBD, np.float32))
    square = np.zeros((EMBD, EMBD), np.float32)
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(EMBD, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", square)
