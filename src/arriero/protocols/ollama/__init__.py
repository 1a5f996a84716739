"""Ollama's formats: answers, embeddings, the library, Modelfiles. Other APIs borrow its options."""
