"""Loading, keeping, reloading, evicting: with backends that only count."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import msgspec
import pytest

from arriero.core.backend import Permit
from arriero.core.embedding import Embedded, EmbedRequest
from arriero.core.errors import ModelLoadError, Overloaded
from arriero.core.events import Event
from arriero.core.messages import Ready
from arriero.core.model import ModelSpec
from arriero.core.ranking import Ranked, RankRequest
from arriero.core.request import GenerateRequest, LoadOptions
from arriero.service import turns
from arriero.service.lifecycle import Lifecycle
from arriero.service.load_options import agrees, sized


class CountingBackend:
    """Loads slowly and remembers."""

    def __init__(self, spec: ModelSpec, load: LoadOptions, log: list[str]) -> None:
        self.spec, self.load, self.log = spec, load, log
        self.info: Ready | None = None
        self.gauges = {"waiting": 3.0, "running": 2.0, "queue_seconds": -1.0}

    async def start(self) -> Ready:
        if self.info is None:
            self.log.append(f"start {self.spec.name}")
            await asyncio.sleep(0.01)
            if self.spec.name == "broken":
                raise ModelLoadError("corrupt")
            self.info = Ready(context_length=self.load.num_ctx or 2048, max_sequences=4, memory={"kv": 10})
        return self.info

    async def close(self) -> None:
        self.log.append(f"close {self.spec.name}")
        self.info = None

    def generate(self, request: GenerateRequest, permit: Permit) -> AsyncGenerator[Event, None]:
        raise AssertionError("not used here")

    async def embed(self, request: EmbedRequest, permit: Permit) -> Embedded:
        raise AssertionError("not used here")

    async def rank(self, request: RankRequest, permit: Permit) -> Ranked:
        raise AssertionError("not used here")

    async def render(self, request: GenerateRequest) -> str:
        return ""

    async def prompt_tokens(self, request: GenerateRequest) -> list[int]:
        return []

    async def tokenize(self, text: str) -> list[int]:
        return []

    async def detokenize(self, tokens: list[int]) -> str:
        return ""


def spec(name: str, digest: str = "d") -> ModelSpec:
    return ModelSpec(name=name, path=f"/{name}", digest=digest, size=1, modified_at=0.0)


class Stable:
    """A lifecycle over counting backends."""

    def __init__(self, keep_alive: float = 60.0, max_loaded: int = 2) -> None:
        self.log: list[str] = []
        self.lifecycle = Lifecycle(
            lambda model, load: CountingBackend(model, load, self.log), keep_alive=keep_alive, max_loaded=max_loaded
        )

    async def use(self, name: str, load: LoadOptions | None = None, keep_alive: float | None = None) -> None:
        async with self.lifecycle.lease(spec(name), load or LoadOptions(), keep_alive):
            await asyncio.sleep(0)

    def names(self) -> list[str]:
        return [model.spec.name for model in self.lifecycle.running()]


async def until(condition: object) -> None:
    """Wait until the callable is true; the test's own timeout ends it otherwise."""
    assert callable(condition)
    while not condition():
        await asyncio.sleep(0.005)


async def test_one_load_serves_many_at_once() -> None:
    stable = Stable()
    await asyncio.gather(*(stable.use("a") for _ in range(20)))
    assert stable.log == ["start a"]


async def test_keep_alive_zero_unloads_after_the_last_one() -> None:
    stable = Stable()
    async with stable.lifecycle.lease(spec("a"), LoadOptions(), 0.0):
        await stable.use("a")
        assert stable.names() == ["a"]
    await until(lambda: stable.log == ["start a", "close a"])
    assert stable.names() == []


async def test_keep_alive_counts_from_the_end_and_shows() -> None:
    stable = Stable(keep_alive=0.05)
    async with stable.lifecycle.lease(spec("a"), LoadOptions(), None):
        await asyncio.sleep(0.1)
        assert stable.names() == ["a"]
    expires = stable.lifecycle.running()[0].expires_at
    assert expires is not None
    assert expires > time.time() - 1
    await until(lambda: stable.names() == [])


async def test_negative_keep_alive_never_expires() -> None:
    stable = Stable(keep_alive=0.01)
    await stable.use("a", keep_alive=-1.0)
    await asyncio.sleep(0.05)
    assert stable.lifecycle.running()[0].expires_at is None


async def test_a_new_use_stops_the_timer() -> None:
    stable = Stable(keep_alive=0.03)
    await stable.use("a")
    async with stable.lifecycle.lease(spec("a"), LoadOptions(), None):
        await asyncio.sleep(0.08)
        assert stable.log == ["start a"]


async def test_changed_load_options_reload_when_the_model_is_free() -> None:
    stable = Stable()
    await stable.use("a", LoadOptions(num_ctx=2048))
    await stable.use("a", LoadOptions(num_ctx=2048))
    await stable.use("a", LoadOptions())  # leaves it open: what is loaded will do
    assert stable.log == ["start a"]
    async with stable.lifecycle.lease(spec("a"), LoadOptions(), None):
        await stable.use("a", LoadOptions(num_ctx=512))  # what is loaded holds that, too
        other = asyncio.create_task(stable.use("a", LoadOptions(num_ctx=4096)))
        await asyncio.sleep(0.03)
        assert stable.log == ["start a"]
    await other
    assert stable.log == ["start a", "close a", "start a"]
    assert stable.lifecycle.running()[0].context_length == 4096
    described = stable.lifecycle.running()[0]
    assert (described.waiting, described.running, described.queue_seconds) == (3, 2, None)
    await stable.use("a", LoadOptions(num_ctx=2048))
    assert stable.log == ["start a", "close a", "start a"]  # the longer one stays


async def test_a_changed_file_reloads() -> None:
    stable = Stable()
    await stable.use("a")
    async with stable.lifecycle.lease(spec("a", digest="new"), LoadOptions(), None):
        assert stable.log == ["start a", "close a", "start a"]


async def test_the_bound_evicts_the_idle_one_and_waits_for_a_busy_one() -> None:
    stable = Stable(max_loaded=2)
    await stable.use("a")
    await stable.use("b", keep_alive=-1.0)
    await stable.use("c")
    assert stable.log == ["start a", "start b", "close a", "start c"]  # the one with the shortest keep-alive goes
    async with (
        stable.lifecycle.lease(spec("b"), LoadOptions(), None),
        stable.lifecycle.lease(spec("c"), LoadOptions(), None),
    ):
        waiting = asyncio.create_task(stable.use("d"))
        await asyncio.sleep(0.03)
        assert sorted(stable.names()) == ["b", "c"]
    await waiting
    assert "d" in stable.names()
    assert len(stable.names()) == 2


async def test_models_that_share_a_worker_count_once_and_go_together() -> None:
    stable = Stable(max_loaded=2)
    log, shared = stable.log, object()
    stable.lifecycle = Lifecycle(
        lambda model, load: CountingBackend(model, load, log),
        keep_alive=60.0,
        max_loaded=2,
        shares=lambda model, load: model.name == "a2" and "start a1" in log,
        worker_of=lambda one: shared if isinstance(one, CountingBackend) and one.spec.name[0] == "a" else one,
    )
    for name in ("a1", "a2", "b"):
        await stable.use(name)
    assert sorted(stable.names()) == ["a1", "a2", "b"]
    async with stable.lifecycle.lease(spec("a2"), LoadOptions(), None):
        await stable.use("c")  # one of a worker is busy: the other one would free nothing
        assert log[-2:] == ["close b", "start c"]
    await stable.use("d", keep_alive=-1.0)
    await stable.use("e")
    assert log[5:] == ["close c", "start d", "close a1", "close a2", "start e"]


@pytest.mark.parametrize("roomy", [True, False])
async def test_a_switch_waits_for_what_closes_only_where_it_needs_the_memory(roomy: bool) -> None:
    stable, may_end = Stable(), asyncio.Event()
    log = stable.log

    class Slow(CountingBackend):
        async def close(self) -> None:
            log.append(f"closing {self.spec.name}")
            await may_end.wait()  # writes what is cached
            await super().close()

    stable.lifecycle = Lifecycle(
        lambda model, load: Slow(model, load, log),
        keep_alive=60.0,
        max_loaded=1,
        waits=lambda model, load: not roomy,
    )
    await stable.use("a")
    switching = asyncio.create_task(stable.use("b"))
    await until(lambda: "closing a" in log)
    if roomy:
        await switching
        assert log == ["start a", "closing a", "start b"]
        back = asyncio.create_task(stable.use("a"))  # it must find what is being written
        await until(lambda: "closing b" in log)
    await asyncio.sleep(0.02)
    assert log.count("start a") + log.count("start b") == 1 + roomy
    may_end.set()
    await (back if roomy else switching)
    assert log[-1] == ("start a" if roomy else "start b")


async def test_failed_load_is_told_to_all_and_leaves_nothing() -> None:
    stable = Stable()
    results = await asyncio.gather(*(stable.use("broken") for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [ModelLoadError] * 3
    assert stable.names() == []
    await stable.use("a")


async def test_who_gives_up_while_loading_leaves_a_usable_model() -> None:
    stable = Stable()
    task = asyncio.create_task(stable.use("a"))
    await asyncio.sleep(0.002)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stable.use("a")
    assert stable.names() == ["a"]


async def test_who_waits_for_a_place_when_all_is_closed_gets_none() -> None:
    stable = Stable(max_loaded=1)
    async with stable.lifecycle.lease(spec("a"), LoadOptions(), None):
        waiting = asyncio.create_task(stable.use("b"))
        await asyncio.sleep(0.01)
        await stable.lifecycle.close()
    with pytest.raises(Overloaded, match="stopping"):
        await waiting
    assert stable.log == ["start a", "close a"]


async def test_unload_and_close() -> None:
    stable = Stable()
    await stable.use("a")
    await stable.use("b")
    assert await stable.lifecycle.unload("a") is True
    assert await stable.lifecycle.unload("a") is False
    await stable.lifecycle.close()
    assert stable.log[-2:] == ["close a", "close b"]
    assert stable.names() == []


async def test_many_models_over_a_small_bound_all_get_their_turn() -> None:
    stable = Stable(max_loaded=1)
    await asyncio.wait_for(asyncio.gather(*(stable.use("abc"[i % 3]) for i in range(30))), 20)
    assert len(stable.names()) == 1
    assert stable.log.count("start a") == stable.log.count("close a") + ("a" in stable.names())


async def test_two_models_in_demand_do_not_push_each_other_out() -> None:
    """Each client asks again at once; a load for every request would be 60."""
    stable = Stable(max_loaded=1)

    async def client(name: str) -> None:
        for _ in range(30):
            await stable.use(name)

    await asyncio.wait_for(asyncio.gather(client("a"), client("b")), 20)
    assert stable.log.count("start a") + stable.log.count("start b") <= 4


async def test_a_model_that_is_always_busy_gives_way_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clients overlap, so that it is never idle; it takes no new requests until the other one had its turn."""
    monkeypatch.setattr(turns, "LEAST_TURN", 0.05)
    stable = Stable(max_loaded=1)
    stopped = asyncio.Event()

    async def client() -> None:
        while not stopped.is_set():
            async with stable.lifecycle.lease(spec("a"), LoadOptions(), None):
                await asyncio.sleep(0.01)

    clients = [asyncio.create_task(client()) for _ in range(4)]
    await until(lambda: stable.names() == ["a"])
    await asyncio.wait_for(stable.use("b"), 20)
    starts = len(stable.log)
    await until(lambda: "start a" in stable.log[starts - 1 :])  # and gets its place back
    stopped.set()
    await asyncio.wait_for(asyncio.gather(*clients), 20)


async def test_who_gives_up_waiting_for_a_place_pushes_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LEAST_TURN", 0.0)
    stable = Stable(max_loaded=1)
    async with stable.lifecycle.lease(spec("a"), LoadOptions(), None):
        other = asyncio.create_task(stable.use("b"))
        await until(lambda: stable.lifecycle._loaded["a"].leaving)
        late = asyncio.create_task(stable.use("a"))  # waits until the place is no longer wanted
        await asyncio.sleep(0.01)
        assert not late.done()
        other.cancel()
        await asyncio.wait_for(late, 20)
    await stable.use("a")
    assert stable.log == ["start a"]


async def test_where_memory_is_short_idle_models_go() -> None:
    """The least worth first, no more than needed, and never one in use."""
    stable = Stable(max_loaded=9)
    log = stable.log

    def fits(model: ModelSpec, load: LoadOptions) -> bool:
        return log.count("close a") + log.count("close b") >= 1 if model.name == "large" else model.name != "huge"

    stable.lifecycle = Lifecycle(
        lambda model, load: CountingBackend(model, load, log), keep_alive=60.0, max_loaded=9, fits=fits
    )
    await stable.use("a")
    await stable.use("b", keep_alive=-1.0)
    await stable.use("large")
    assert log == ["start a", "start b", "close a", "start large"]
    async with stable.lifecycle.lease(spec("b"), LoadOptions(), None):
        await stable.use("huge")  # which fits nowhere: the load itself would say so
        assert log[4:] == ["close large", "start huge"]


def test_a_small_context_of_one_client_is_nothing_to_others() -> None:
    model = msgspec.structs.replace(spec("a"), capabilities=("completion",))
    small, own = LoadOptions(num_ctx=256), msgspec.structs.replace(model, options={"num_ctx": 512})
    assert sized(model, LoadOptions(), 1024) == LoadOptions()
    assert sized(model, small, None) == LoadOptions(least_ctx=256)  # what the runner chooses, and that at least
    assert sized(model, small, 1024) == LoadOptions(num_ctx=1024)
    assert sized(own, small, 1024) == LoadOptions(num_ctx=512)
    assert sized(own, LoadOptions(num_ctx=4096), 1024) == LoadOptions(num_ctx=4096)
    vectors = msgspec.structs.replace(model, capabilities=("embedding",))
    assert sized(vectors, small, 1024) == small


def test_which_context_serves_which() -> None:
    ready = Ready(context_length=2048, max_sequences=4)
    loaded = LoadOptions(least_ctx=256)
    assert agrees(loaded, ready, LoadOptions(num_ctx=2048))
    assert agrees(loaded, ready, LoadOptions(num_ctx=300))
    assert not agrees(loaded, ready, LoadOptions(num_ctx=2049))
    assert not agrees(loaded, ready, LoadOptions(num_ctx=300), shorter=False)  # vectors of a cut text are others
    assert agrees(LoadOptions(num_ctx=512), None, LoadOptions(num_ctx=512))
    assert not agrees(loaded, None, LoadOptions(num_ctx=300))
