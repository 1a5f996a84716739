"""Several models on one worker process: each is attached once, again after a crash, and the last to go ends it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from arriero.backends.adapted import AdaptedBackend
from arriero.backends.local import LocalBackend
from arriero.core.backend import Permit
from arriero.core.errors import ModelLoadError
from arriero.core.events import Finished
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, LoadOptions
from arriero.service.shared_workers import SharedWorkers
from tests.unit.backends.conftest import SPEC, Scripted

Make = Callable[..., Scripted]
PERMIT = Permit(1)
BASE = msgspec.structs.replace(SPEC, name="base:latest")


def tuned(name: str, *adapters: str) -> ModelSpec:
    return msgspec.structs.replace(SPEC, name=name, digest=name * 8, adapters=adapters)


class Sharing:
    """Shared workers whose processes are scripted."""

    def __init__(self, make: Make) -> None:
        self.made: list[Scripted] = []
        self._make = make
        self.workers = SharedWorkers(self._start)

    def _start(self, spec: ModelSpec, load: LoadOptions) -> LocalBackend:
        one = self._make()
        one.backend.spec, one.backend.load = spec, load
        self.made.append(one)
        return one.backend

    def backend(self, spec: ModelSpec) -> AdaptedBackend:
        found = self.workers.backend(spec, LoadOptions())
        assert isinstance(found, AdaptedBackend)
        return found


async def answered(backend: AdaptedBackend, prompt: str) -> bool:
    request = GenerateRequest(model="any", prompt=prompt)
    return any([isinstance(event, Finished) async for event in backend.generate(request, PERMIT)])


async def test_one_process_serves_them_all_and_the_last_one_ends_it(scripted: Make) -> None:
    sharing = Sharing(scripted)
    base, one, two = (sharing.backend(spec) for spec in (BASE, tuned("one", "a"), tuned("two", "b")))
    for backend in (base, one, two, one):
        await backend.start()
        assert await answered(backend, "hello")
    (worker,) = sharing.made
    assert len(worker.notes("start")) == 1
    assert [(note["face"], note["adapters"]) for note in worker.notes("attach")] == [
        ("one@oneoneoneoneoneoneoneone", ["a"]),
        ("two@twotwotwotwotwotwotwotwo", ["b"]),
    ]
    assert [note["face"][:3] for note in worker.notes("generate")] == ["", "one", "two", "one"]
    assert [backend.info.memory for backend in (base, one, two) if backend.info] == [
        {"adapters": 0},
        {"adapters": 7},
        {"adapters": 7},
    ]
    await base.close()
    await one.close()
    assert sharing.workers.shares(BASE, LoadOptions())
    assert await answered(two, "still there")
    assert [note["face"][:3] for note in worker.notes("detach")] == ["one"]
    await two.close()
    assert worker.notes("shutdown")
    assert not sharing.workers.shares(BASE, LoadOptions())


async def test_who_comes_back_is_attached_again_and_keeps_what_another_of_its_name_has(scripted: Make) -> None:
    sharing = Sharing(scripted)
    base, old, new = sharing.backend(BASE), sharing.backend(tuned("one", "a")), sharing.backend(tuned("one", "a"))
    for backend in (base, old, new):
        await backend.start()
    await old.close()
    assert await answered(new, "hello")
    (worker,) = sharing.made
    assert not worker.notes("detach")
    await new.close()
    again = sharing.backend(tuned("one", "a"))
    await again.start()
    assert await answered(again, "hello")
    assert (len(worker.notes("attach")), len(worker.notes("detach"))) == (2, 1)


async def test_a_fresh_worker_after_a_crash_is_told_again(scripted: Make) -> None:
    sharing = Sharing(scripted)
    backend = sharing.backend(tuned("one", "a"))
    await backend.start()
    assert not await answered(backend, "poison")
    assert await answered(backend, "hello")
    (worker,) = sharing.made
    assert {note["generation"] for note in worker.notes("attach")} >= {1, 2}
    assert all(note["face"].startswith("one@") for note in worker.notes("generate"))
    await backend.close()


async def test_an_adapter_that_cannot_be_loaded_is_its_models_error(scripted: Make) -> None:
    sharing = Sharing(scripted)
    base, broken = sharing.backend(BASE), sharing.backend(tuned("one", "broken"))
    await base.start()
    with pytest.raises(ModelLoadError, match="no such adapter"):
        await broken.start()
    await broken.close()
    assert await answered(base, "hello")
    await base.close()


async def test_what_does_not_agree_has_a_worker_of_its_own(scripted: Make) -> None:
    sharing = Sharing(scripted)
    await sharing.backend(BASE).start()
    assert sharing.workers.shares(tuned("one", "a"), LoadOptions(num_ctx=64))
    assert not sharing.workers.shares(tuned("one", "a"), LoadOptions(num_ctx=65))
    assert not sharing.workers.shares(tuned("one", "a"), LoadOptions(kv_cache_type="q8_0"))
    assert not sharing.workers.shares(msgspec.structs.replace(BASE, path="/other"), LoadOptions())
    vectors = msgspec.structs.replace(BASE, capabilities=("embedding",))
    assert isinstance(sharing.workers.backend(vectors, LoadOptions()), LocalBackend)


async def test_who_is_attached_to_a_worker_that_dies_of_it_is_attached_to_the_next_one(scripted: Make) -> None:
    sharing = Sharing(scripted)
    base = sharing.backend(BASE)
    one = sharing.backend(tuned("one", "fatal once"))
    await base.start()
    await one.start()
    (worker,) = sharing.made
    assert not await answered(base, "half poison")
    assert await answered(one, "hello")
    assert [note["generation"] for note in worker.notes("attach")] == [1, 2, 3]
