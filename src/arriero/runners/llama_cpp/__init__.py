"""GGUF models on llama.cpp's kernels, through llama-cpp-python's low-level module only."""
