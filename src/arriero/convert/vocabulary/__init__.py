"""Tokenizers of other formats, written down as GGUF's `tokenizer.ggml.…` keys: one kind of vocabulary a file."""
