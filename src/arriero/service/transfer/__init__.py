"""Pull and push: models from and to registries. Blobs are shared between pulls; the HTTP client is imported last."""
