from __future__ import annotations

from arriero.service.ollama_variables import NOT_HONOURED, unhonoured


def test_what_asks_for_nothing_is_not_mentioned() -> None:
    assert unhonoured({}) == ()
    assert unhonoured({"OLLAMA_GPU_OVERHEAD": "0", "OLLAMA_VULKAN": '"1"'}) == ()


def test_each_is_said_with_what_is_so_instead() -> None:
    lines = unhonoured(dict.fromkeys(NOT_HONOURED, "7"))
    assert [line.partition("=")[0] for line in lines] == list(NOT_HONOURED)
    assert all("=7 has no effect: " in line for line in lines)
    assert unhonoured({"LLAMA_ARG_N_GPU_LAYERS": "1", "LLAMA_ARG_FIT": "on"})[0].startswith(
        "LLAMA_ARG_FIT, LLAMA_ARG_N_GPU_LAYERS: no effect"
    )
