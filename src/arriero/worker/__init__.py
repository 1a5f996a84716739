"""One process a loaded model: text, engine and runner behind a socket. Knows no HTTP and no other model."""
