"""Options reach llama.cpp; a broken file is an error with a reason, never a crash."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from arriero.core import control_groups
from arriero.core.control_groups import MemoryBound
from arriero.core.errors import ModelLoadError
from arriero.runners.llama_cpp import bindings
from arriero.runners.llama_cpp.bindings import LogTail, lib
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.plan import LEAST_OUTPUTS
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.tiny_gguf import TEMPLATE, Shape, write_gguf


def test_importing_bindings_leaves_the_heavy_class_out() -> None:
    code = (
        "import sys; from arriero.runners.llama_cpp import bindings; "
        "print('llama_cpp.llama' in sys.modules, hasattr(sys.modules['llama_cpp'], 'Llama'), end='')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("False False", "")


def test_loading_is_silent(tiny_path: Path) -> None:
    code = (
        "import sys; from arriero.runners.llama_cpp.model import Model; "
        "from arriero.runners.llama_cpp.options import LlamaCppOptions as Options; "
        "Model(Options(path=sys.argv[1])).close()"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny_path)], capture_output=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_weights_that_leave_no_room_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = [MemoryBound(6 << 20, 5 << 20)]
    monkeypatch.setattr(control_groups, "memory_bounds", lambda root: bounds)
    parts = [tmp_path / f"big-{number:05d}-of-00002.gguf" for number in (1, 2)]
    for part in parts:
        part.write_bytes(b"no model" + bytes(5 << 19))
    with pytest.raises(ModelLoadError, match=r"^the model has 5 MiB of weights, 4 MiB .* group allows 6 MiB"):
        Model(LlamaCppOptions(path=str(parts[0]), num_gpu=0))
    bounds = [MemoryBound(4 << 20, 4 << 20)]
    with pytest.raises(ModelLoadError, match="4 MiB are there for it"):  # nobody has more than that, whatever is set
        Model(LlamaCppOptions(path=str(parts[0]), num_gpu=0, memory_bytes=1 << 30))
    bounds = []
    with pytest.raises(ModelLoadError, match="the model cannot be loaded"):
        Model(LlamaCppOptions(path=str(parts[0]), num_gpu=0))


def test_another_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bindings, "PINNED_VERSION", "0.0.1")
    with pytest.raises(ModelLoadError, match=r"0\.0\.1 is needed"):
        bindings.check_release(lib)


def test_options_reach_the_context(make_runner: MakeRunner) -> None:
    runner = make_runner(layout="streams", num_ctx=512, num_batch=96, num_thread=3, max_sequences=5)
    ctx = runner.context.handle
    assert lib.llama_n_ctx_seq(ctx) == 512
    assert lib.llama_n_ctx(ctx) == 5 * 512
    assert lib.llama_n_seq_max(ctx) == 5
    assert lib.llama_n_batch(ctx) == lib.llama_n_ubatch(ctx) == 96
    assert lib.llama_n_threads(ctx) == lib.llama_n_threads_batch(ctx) == 3
    params = runner.context.params
    assert (params.kv_unified, params.n_outputs_max) == (False, LEAST_OUTPUTS + 5)  # drafts, and whoever ends a prompt
    assert params.flash_attn_type == lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
    info = runner.info
    assert (info.max_sequence_tokens, info.max_batch_tokens, info.max_sequences) == (512, 96, 5)
    assert info.active_blocks == 5 * 512 // 16


def test_options_reach_the_weights(tiny_path: Path) -> None:
    model = Model(LlamaCppOptions(path=str(tiny_path), num_gpu=3, main_gpu=0, use_mmap=False, repack=False))
    params = model.params
    assert (params.n_gpu_layers, params.main_gpu, params.split_mode) == (3, 0, lib.LLAMA_SPLIT_MODE_NONE)
    assert (params.load_mode, params.use_extra_bufts) == (lib.LLAMA_LOAD_MODE_NONE, False)
    model.close()
    model = Model(LlamaCppOptions(path=str(tiny_path), use_mmap=True))
    assert model.params.load_mode == lib.LLAMA_LOAD_MODE_MMAP
    assert model.params.n_gpu_layers < 0
    model.close()


def test_flash_attention_is_as_asked(make_runner: MakeRunner) -> None:
    on = make_runner(flash_attn="on").context.params.flash_attn_type
    off = make_runner(flash_attn="off").context.params.flash_attn_type
    assert (on, off) == (lib.LLAMA_FLASH_ATTN_TYPE_ENABLED, lib.LLAMA_FLASH_ATTN_TYPE_DISABLED)


def test_a_batch_has_room_for_every_sequence(make_runner: MakeRunner) -> None:
    assert make_runner(num_batch=1, max_sequences=4).info.max_batch_tokens == 4


def test_what_the_model_says_of_itself(make_runner: MakeRunner, tiny_path: Path) -> None:
    runner = make_runner(num_ctx=None, layout="unified", max_sequences=2)
    info = runner.info
    assert info.max_sequence_tokens == 2048  # what it was trained with
    assert info.memory["weights"] == pytest.approx(tiny_path.stat().st_size, rel=0.05)
    assert info.memory["kv"] == 2 * 2048 * 2 * 2 * 32 * 2  # cells × layers × K and V × values × float16
    assert info.memory["compute"] > 0
    assert (info.layers_total, info.layers_gpu) == (3, 0)
    assert runner.model.chat_template == TEMPLATE
    assert runner.model.metadata("{arch}.block_count") == "2"
    assert runner.model.metadata("no.such.key") is None


def test_progress_goes_from_nothing_to_all(tiny_path: Path) -> None:
    told: list[float] = []
    Model(LlamaCppOptions(path=str(tiny_path)), told.append).close()
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_two_models_live_side_by_side(make_runner: MakeRunner, q8_path: Path) -> None:
    one, two = make_runner(), make_runner(q8_path)
    assert one.info.layers_total == 3
    assert two.info.layers_total == 4


def _broken(path: Path, whole: bytes, how: str) -> Path:
    cut = {
        "empty": b"",
        "no magic": b"NOPE" + whole[4:],
        "a newer version": whole[:4] + struct.pack("<I", 99) + whole[8:],
        "cut in the header": whole[:3000],
        "cut in the tensors": whole[: len(whole) // 2],
        "a byte short": whole[:-1],
        "a string of 2^64 bytes": whole[:24] + b"\xff" * 8 + whole[32:],
        "text": b"<html>not a model</html>" * 20,
    }
    path.write_bytes(cut[how])
    return path


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("empty", "failed to read magic"),
        ("no magic", "invalid magic"),
        ("a newer version", "version 99"),
        ("cut in the header", "failed to read key-value pairs"),
        ("cut in the tensors", "not within the file bounds"),
        ("a byte short", "not within the file bounds"),
        ("a string of 2^64 bytes", "exceeds maximum"),
        ("text", "invalid magic"),
    ],
)
@pytest.mark.parametrize("use_mmap", [True, False])
def test_a_broken_file_is_an_error_with_a_reason(
    tmp_path: Path, tiny_path: Path, how: str, reason: str, use_mmap: bool
) -> None:
    path = _broken(tmp_path / "broken.gguf", tiny_path.read_bytes(), how)
    with pytest.raises(ModelLoadError, match=reason) as caught:
        Model(LlamaCppOptions(path=str(path), use_mmap=use_mmap))
    assert str(tmp_path) not in caught.value.message  # clients see it


def test_a_model_without_its_tensors_is_an_error(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "few.gguf", Shape(layers=2))
    raw = path.read_bytes().replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_UP.weight")
    path.write_bytes(raw)
    with pytest.raises(ModelLoadError, match=r"blk\.1\.ffn_up\.weight"):
        Model(LlamaCppOptions(path=str(path)))


def test_an_absent_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="not there"):
        Model(LlamaCppOptions(path=str(tmp_path / "none.gguf")))


def test_a_context_that_does_not_fit_is_an_error(tiny_path: Path) -> None:
    options = LlamaCppOptions(path=str(tiny_path), num_ctx=10**7, memory_bytes=1 << 28)
    model = Model(options)
    with pytest.raises(ModelLoadError, match="ask for a smaller num_ctx"):
        LlamaCppRunner(model, options)
    model.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_ctx": 0},
        {"num_batch": -1},
        {"max_sequences": 257},
        {"num_thread": -2},
        {"parked_bytes": -1},
        {"layout": "other"},
        {"flash_attn": "maybe"},
        {"deterministic": True, "layout": "unified"},
        {"deterministic": True, "flash_attn": "on"},
    ],
)
def test_impossible_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LlamaCppOptions(path="x.gguf", **wrong)


def test_the_log_is_read_in_pieces() -> None:
    tail = LogTail()
    tail.write(2, "load_tensors: offloaded 3/25 layers to GPU\n")
    tail.write(4, "llama_model_load: error loading model: ")
    tail.write(5, "tensor 'x' is odd\n")
    tail.write(4, "common_init: failed to load model\n")
    tail.write(2, "x:  CPU KV buffer size =     1.50 MiB\n")
    assert tail.offloaded() == (3, 25)
    assert tail.errors() == "tensor 'x' is odd"
    assert tail.buffers() == {"KV": 3 << 19}
    tail.clear()
    assert (tail.errors(), tail.offloaded(), tail.buffers()) == ("", (0, 0), {})
