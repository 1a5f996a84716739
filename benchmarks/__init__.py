"""Benchmarks: a script a question. Every script ends its output with one JSON line."""
