# Included right after project(llama_cpp). llama-cpp-python turns on llama.cpp's `common` library, 57 of 135
# compile steps and the slowest, which the Python package never loads; a normal variable here wins over its
# cache entry (CMP0126), so that only libllama and ggml are built.
set(LLAMA_BUILD_COMMON OFF)
