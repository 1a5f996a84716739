"""LocalBackend over a scripted worker process: answers, aborts, loads that fail, and the rule for retries."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

import psutil
import pytest

from arriero.backends.child import exit_reason
from arriero.core.backend import Permit, Restarted
from arriero.core.errors import InvalidRequest, LoadTimedOut, ModelLoadError, WorkerDied
from arriero.core.events import Accepted, Event, Failed, Finished, TextDelta
from arriero.core.request import GenerateRequest
from tests.unit.backends.conftest import Scripted

Make = Callable[..., Scripted]


def kinds(events: list[Event | Restarted]) -> list[str]:
    return [type(event).__name__ for event in events]


def text(events: list[Event | Restarted]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_an_answer_is_accepted_then_text_then_the_last_word(scripted: Make) -> None:
    worker = scripted()
    events = await worker.ask("hello")
    assert kinds(events) == ["Accepted", "TextDelta", "Finished"]
    assert text(events) == "answer to hello"


async def test_the_first_need_starts_one_process_for_all_who_ask(scripted: Make) -> None:
    worker = scripted()
    answers = await asyncio.gather(*(worker.ask(f"number {i}") for i in range(8)))
    assert [text(answer) for answer in answers] == [f"answer to number {i}" for i in range(8)]
    assert len(worker.notes("start")) == 1
    assert worker.backend.restarts == 0


async def test_closing_the_iterator_aborts(scripted: Make) -> None:
    worker = scripted()
    request = GenerateRequest(model="scripted", prompt="mute")
    events = worker.backend.generate(request, Permit(1))
    async with contextlib.aclosing(events):
        assert isinstance(await anext(events), Accepted)
    await worker.ask("and on")  # frames keep their order: the abort has been read when this is answered
    assert [note["id"] for note in worker.notes("abort")] == [worker.notes("generate")[0]["id"]]


async def test_a_whole_answer_is_not_aborted(scripted: Make) -> None:
    worker = scripted()
    await worker.ask("one")
    await worker.ask("two")
    assert worker.notes("abort") == []


async def test_tokenize_and_its_errors_come_back(scripted: Make) -> None:
    worker = scripted()
    assert await worker.backend.tokenize("ab") == [97, 98]
    with pytest.raises(InvalidRequest, match="no such token"):
        await worker.backend.detokenize([5])


async def test_a_poison_request_fails_alone(scripted: Make) -> None:
    """Five that had shown nothing run once more, one at a time; the one that kills its worker again fails."""
    worker = scripted()
    await worker.backend.start()
    held = [asyncio.create_task(worker.ask("hold")) for _ in range(5)]
    await worker.until(lambda: len(worker.notes("generate")) == 5)
    poison = await worker.ask("poison")
    answers = await asyncio.gather(*held)
    assert [text(answer) for answer in answers] == ["answer to hold"] * 5
    assert all(kinds(answer) == ["Accepted", "TextDelta", "Finished"] for answer in answers)
    assert kinds(poison) == ["Accepted", "Failed"]
    assert isinstance(poison[-1], Failed)
    assert poison[-1].error.code == WorkerDied.code
    assert "SIGKILL" in poison[-1].error.message
    prompts = [note["prompt"] for note in worker.notes("generate")]
    assert prompts.count("poison") == 2
    assert prompts.count("hold") == 10
    assert worker.notes("overlap") == []


async def test_two_poisons_fail_and_everybody_else_is_answered(scripted: Make) -> None:
    worker = scripted()
    await worker.backend.start()
    tasks = [asyncio.create_task(worker.ask(prompt)) for prompt in ["hold"] * 3 + ["poison"] + ["hold"] * 3]
    answers = await asyncio.gather(*tasks)
    second = await worker.ask("poison")
    assert [kinds(answer)[-1] for answer in answers] == ["Finished"] * 3 + ["Failed"] + ["Finished"] * 3
    assert kinds(second)[-1] == "Failed"
    assert text(await worker.ask("afterwards")) == "answer to afterwards"


async def test_who_does_not_read_its_second_answer_keeps_nobody_from_theirs(scripted: Make) -> None:
    worker = scripted()
    request = GenerateRequest(model="scripted", prompt="hold")
    async with contextlib.aclosing(worker.backend.generate(request, Permit(1))) as slow:
        assert kinds([await anext(slow)]) == ["Accepted"]
        next_of_slow = asyncio.ensure_future(anext(slow))
        other = asyncio.create_task(worker.ask("hold"))
        await worker.until(lambda: len(worker.notes("generate")) == 2)
        os.kill(worker.backend.pid or 0, signal.SIGKILL)
        assert kinds([await next_of_slow]) == ["TextDelta"]
        assert kinds(await asyncio.wait_for(other, 10))[-1] == "Finished"


async def test_an_answer_under_way_fails_and_is_not_run_again(scripted: Make) -> None:
    worker = scripted()
    events = await worker.ask("half poison")
    assert kinds(events) == ["Accepted", "TextDelta", "Failed"]
    assert len(worker.notes("generate")) == 1
    assert text(await worker.ask("next")) == "answer to next"
    assert worker.backend.restarts == 1


async def test_an_answer_that_is_shown_as_a_whole_is_run_again_although_it_was_under_way(scripted: Make) -> None:
    worker = scripted()
    events = await worker.ask("half once", whole=True)
    assert kinds(events) == ["Accepted", "TextDelta", "Restarted", "TextDelta", "Finished"]
    assert text(events[3:]) == "answer to half once"
    assert len(worker.notes("generate")) == 2
    assert worker.backend.restarts == 1


async def test_it_is_run_again_once_and_no_more(scripted: Make) -> None:
    worker = scripted()
    events = await worker.ask("half poison", whole=True)
    assert kinds(events) == ["Accepted", "TextDelta", "Restarted", "TextDelta", "Failed"]
    assert len(worker.notes("generate")) == 2


async def test_a_worker_killed_while_idle_is_replaced(scripted: Make) -> None:
    worker = scripted()
    await worker.ask("one")
    pid = worker.backend.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await worker.until(lambda: worker.backend.info is None)
    assert text(await worker.ask("two")) == "answer to two"
    assert worker.backend.pid != pid


async def test_closing_while_answers_are_under_way_ends_them_without_a_retry(scripted: Make) -> None:
    worker = scripted()
    await worker.backend.start()
    pid = worker.backend.pid
    held = asyncio.create_task(worker.ask("mute"))
    await worker.until(lambda: bool(worker.notes("generate")))
    await worker.backend.close()
    failed = (await held)[-1]
    assert isinstance(failed, Failed)
    assert "the server is stopping" in failed.error.message
    assert len(worker.notes("start")) == 1
    assert pid is not None
    assert not psutil.pid_exists(pid)


async def test_a_load_that_fails_says_why(scripted: Make) -> None:
    with pytest.raises(ModelLoadError, match="the file is corrupt"):
        await scripted("corrupt").backend.start()


async def test_a_worker_that_dies_by_an_unknown_instruction_says_how_to_rebuild(scripted: Make) -> None:
    with pytest.raises(ModelLoadError, match="another CPU; run `make rebuild`"):
        await scripted("dies").backend.start()


async def test_a_process_that_cannot_be_started_says_why(scripted: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = scripted()
    with monkeypatch.context() as patch:
        patch.setattr("sys.executable", "/no/such/python")
        with pytest.raises(ModelLoadError, match="no worker can be started for model scripted:latest: No such file"):
            await worker.backend.start()
    assert text(await worker.ask("then")) == "answer to then"


async def test_a_load_that_shows_no_progress_is_given_up_and_ended(scripted: Make) -> None:
    worker = scripted("stalls", load_timeout=0.3)
    with pytest.raises(LoadTimedOut, match=r"no progress for 0\.3 s"):
        await worker.backend.start()
    pid = worker.notes("start")[0]["pid"] if worker.notes("start") else None
    assert pid is None or not psutil.pid_exists(pid)


async def test_closing_while_it_loads_leaves_nothing_behind(scripted: Make) -> None:
    before = asyncio.all_tasks()
    worker = scripted("stalls")
    starting = asyncio.create_task(worker.backend.start())
    await worker.until(lambda: worker.backend.pid is not None)
    await asyncio.sleep(0.05)  # it waits for a first sign of the load
    await worker.backend.close()
    with pytest.raises(WorkerDied, match="unloaded"):
        await starting
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_caller_who_gives_up_does_not_stop_the_load_for_others(scripted: Make) -> None:
    worker = scripted()
    first = asyncio.create_task(worker.ask("first"))
    await asyncio.sleep(0)
    second = asyncio.create_task(worker.ask("second"))
    await asyncio.sleep(0)
    first.cancel()
    assert text(await second) == "answer to second"
    assert len(worker.notes("start")) == 1


async def test_finished_is_the_last_event(scripted: Make) -> None:
    events = await scripted().ask("word")
    assert isinstance(events[-1], Finished)
    assert events[-1].usage.completion_tokens == 1


@pytest.mark.parametrize(
    ("code", "said"), [(-4, "make rebuild"), (-9, "SIGKILL"), (-6, "SIGABRT"), (70, "status 70"), (None, "closed")]
)
def test_an_end_is_put_into_words(code: int | None, said: str) -> None:
    assert said in exit_reason(code)


async def test_a_worker_that_dies_as_soon_as_it_is_ready_leaves_nobody_waiting(scripted: Make) -> None:
    worker = scripted("dies at once")
    asked = [asyncio.create_task(worker.ask("hello")) for _ in range(3)]
    for events in await asyncio.gather(*asked):
        (failed,) = [event for event in events if isinstance(event, Failed)]
        assert failed.error.code == WorkerDied.code
    assert not any(worker.notes("shutdown"))


async def test_a_line_without_end_on_its_standard_error_does_not_stop_a_worker(scripted: Make) -> None:
    worker = scripted("says much", load_timeout=5.0)
    assert text(await worker.ask("hello")) == "answer to hello"
