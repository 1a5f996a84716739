# Included right after project(llama_cpp). A normal variable here wins over the cache entry that
# llama-cpp-python forces later (CMP0126).

# It turns on llama.cpp's `common` library: 57 of 135 compile steps, the slowest, and the Python package never
# loads it. Without it only libllama and ggml are built.
set(LLAMA_BUILD_COMMON OFF)

# It turns Metal on for every Mac; ARRIERO_BACKEND=cpu means the CPU there too.
if(ARRIERO_NO_METAL)
    set(GGML_METAL OFF)
endif()
