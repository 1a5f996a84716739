"""Use cases: resolve, admit, load, generate, unload. Knows no HTTP and no wire format."""
