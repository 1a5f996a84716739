"""Weights that are copied get huge pages, those that stay the file's pages do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from arriero.runners.llama_cpp import huge_pages
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions

PAGE = 4096


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").is_dir(),
    reason="huge pages: this system has none that can be asked for",
)
def test_copied_weights_are_asked_huge_pages_for(q8_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge_pages, "HUGE", PAGE)  # the model is smaller than a real one
    mapped = Model(LlamaCppOptions(path=str(q8_path), repack=False, use_mmap=True))
    copied = Model(LlamaCppOptions(path=str(q8_path), repack=False, use_mmap=False))
    try:
        assert mapped.huge_pages.bytes == 0
        assert copied.size - 2 * PAGE <= copied.huge_pages.bytes < 2 * copied.size
    finally:
        copied.close()
        mapped.close()


def test_small_buffers_are_left_alone(q8_path: Path) -> None:
    model = Model(LlamaCppOptions(path=str(q8_path), repack=False, use_mmap=False))
    assert model.huge_pages.bytes % huge_pages.HUGE == 0
    assert model.huge_pages.bytes <= model.size
    model.close()
