"""Registries and download servers: what a name means there, and blobs to and from them. Knows no use case."""
