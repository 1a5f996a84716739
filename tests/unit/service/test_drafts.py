from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from arriero.core.errors import InvalidRequest, ModelNotFound
from arriero.core.messages import Ready
from arriero.core.model import ModelSpec
from arriero.core.request import LoadOptions
from arriero.service.drafts import Drafts
from arriero.service.load_options import agrees
from arriero.service.memory import plan_memory
from arriero.store.catalog import demo_path
from arriero.store.describe import describe
from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf


def _drafts(models: dict[str, ModelSpec], **settings: Any) -> Drafts:
    def find(name: str) -> ModelSpec:
        if name not in models:
            raise ModelNotFound(f"model '{name}' not found", model=name)
        return models[name]

    return Drafts(find, settings)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSpec]:
    tiny = write_gguf(tmp_path_factory.mktemp("drafts") / "tiny.gguf", Shape())
    demo = describe("demo", demo_path())
    texts = {"capabilities": ("completion",)}
    return {
        "demo": demo,
        "same": msgspec.structs.replace(demo, name="same", options={"draft": "demo"}),
        "tiny": msgspec.structs.replace(describe("tiny", tiny), **texts),
        "vectors": msgspec.structs.replace(demo, name="vectors", capabilities=("embedding",)),
        "lost": msgspec.structs.replace(demo, name="lost", options={"draft": "nowhere"}),
    }


async def test_a_named_one_stands_in_for_the_models_own(models: dict[str, ModelSpec]) -> None:
    drafts, demo = _drafts(models), models["demo"]
    own = msgspec.structs.replace(demo, draft="/own.gguf")
    assert await drafts.chosen(own, LoadOptions()) == (own, LoadOptions())
    spec, load = await drafts.chosen(own, LoadOptions(draft="same", num_ctx=512))
    assert (spec.draft, load) == (demo.path, LoadOptions(draft=demo.path, num_ctx=512))
    none, _ = await drafts.chosen(own, LoadOptions(draft=""))
    assert none.draft == ""
    ready = Ready(context_length=512, max_sequences=1)
    assert agrees(LoadOptions(draft="/a"), ready, LoadOptions(draft="/b"))  # the specs tell that they differ
    with_it, without = plan_memory(spec, load, {}, 8 << 30), plan_memory(demo, LoadOptions(num_ctx=512), {}, 8 << 30)
    assert with_it.draft > with_it.weights > 0 == without.draft


async def test_show_tells_of_the_one_that_is_loaded_by_default(models: dict[str, ModelSpec]) -> None:
    drafts = _drafts(models)
    assert await drafts.details(models["demo"]) is None
    assert await drafts.details(models["lost"]) is None
    found = await drafts.details(models["same"])
    assert found is not None
    assert found.parameter_size == models["demo"].details.parameter_size
    own = msgspec.structs.replace(models["demo"], draft=models["tiny"].path)
    found = await drafts.details(own)
    assert found is not None
    assert found.parameter_size == models["tiny"].details.parameter_size


@pytest.mark.parametrize(
    ("model", "draft", "settings", "why"),
    [
        ("demo", "nowhere", {}, 'draft model "nowhere" not found'),
        ("demo", "tiny", {}, "only one with the same vocabulary can guess"),
        ("demo", "vectors", {}, "both must be models that generate text"),
        ("vectors", "demo", {}, "both must be models that generate text"),
        ("demo", "same", {"deterministic": True}, "the deterministic mode guesses nothing"),
        ("demo", "same", {"speculation": False}, "ARRIERO_SPECULATION"),
    ],
)
async def test_what_cannot_guess_is_refused(
    models: dict[str, ModelSpec], model: str, draft: str, settings: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await _drafts(models, **settings).chosen(models[model], LoadOptions(draft=draft))
    assert why in caught.value.message
    assert caught.value.details == {"param": "draft"}


async def test_another_token_is_another_vocabulary(models: dict[str, ModelSpec], tmp_path: Path) -> None:
    raw = Path(models["tiny"].path).read_bytes()
    changed = tmp_path / "changed.gguf"
    changed.write_bytes(raw.replace(b"<|im_start|>", b"<|im_START|>", 1))
    assert changed.read_bytes() != raw
    other = msgspec.structs.replace(models["tiny"], name="changed", path=str(changed), digest="0" * 64)
    with pytest.raises(InvalidRequest, match=r"its token \d+ is another one"):
        await _drafts({**models, "changed": other}).chosen(models["tiny"], LoadOptions(draft="changed"))
