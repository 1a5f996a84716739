"""How each family of models is written down in GGUF: one file a family, found by the class that config.json names."""
