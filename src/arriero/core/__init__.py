"""Nouns and contracts that every room shares: standard library and msgspec only."""
