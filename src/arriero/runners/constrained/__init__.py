"""Holds answers to a grammar: llguidance's masks over a model's vocabulary, and when they count. Knows no kernels."""
