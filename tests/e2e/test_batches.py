"""Files and batches with the official clients on a real server: done, wrong, cancelled, broken off."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from openai.types import Batch

from tests.e2e.official import anthropic_client, openai_client
from tests.e2e.serving import Server, serve


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai_client(server) as one:
        yield one


def chat_line(number: int, **fields: Any) -> dict[str, Any]:
    body = {"model": "demo", "messages": [{"role": "user", "content": "Hello!"}], "temperature": 0, **fields}
    return {"custom_id": f"line {number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def upload(client: openai.OpenAI, lines: list[dict[str, Any]]) -> str:
    data = "\n".join(map(json.dumps, lines)).encode()
    return client.files.create(file=("lines.jsonl", data), purpose="batch").id


def start(client: openai.OpenAI, file: str, **fields: Any) -> Batch:
    wanted: Any = {"endpoint": "/v1/chat/completions", "completion_window": "24h", **fields}
    return client.batches.create(input_file_id=file, **wanted)


def wait(client: openai.OpenAI, batch: Batch, *statuses: str) -> Batch:
    until = time.monotonic() + 110
    while batch.status not in statuses:
        assert time.monotonic() < until, f"the batch is {batch.status}"
        time.sleep(0.05)
        batch = client.batches.retrieve(batch.id)
    return batch


def lines_of(client: openai.OpenAI, file: str | None) -> dict[str, Any]:
    assert file is not None
    rows = [json.loads(line) for line in client.files.content(file).text.splitlines()]
    assert len({row["custom_id"] for row in rows}) == len(rows)
    return {row["custom_id"]: row for row in rows}


def test_files(client: openai.OpenAI) -> None:
    data = b'{"a": 1}\r\n\r\n--x\r\n' + bytes(range(256))
    stored = client.files.create(file=('na"me.jsonl', data), purpose="batch")
    assert (stored.bytes, stored.purpose, stored.status) == (len(data), "batch", "processed")
    assert client.files.retrieve(stored.id) == stored
    assert client.files.content(stored.id).content == data
    assert stored.id in [file.id for file in client.files.list(purpose="batch")]
    assert client.files.delete(stored.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(stored.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.create(file=("x", b"x"), purpose="fine-tune")
    assert caught.value.param == "purpose"


def test_a_batch(client: openai.OpenAI) -> None:
    alone = client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "Hello!"}], temperature=0
    )
    lines = [chat_line(number) for number in range(6)] + [chat_line(6, model="no-such-model"), chat_line(7, odd=1)]
    batch = wait(client, start(client, upload(client, lines), metadata={"k": "v"}), "completed", "failed")
    assert batch.status == "completed"
    assert batch.metadata == {"k": "v"}
    assert batch.request_counts is not None
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (8, 6, 2)
    done = lines_of(client, batch.output_file_id)
    assert sorted(done) == [f"line {number}" for number in range(6)]
    bodies = [row["response"]["body"] for row in done.values()]
    assert {body["choices"][0]["message"]["content"] for body in bodies} == {alone.choices[0].message.content}
    assert {body["service_tier"] for body in bodies} == {"flex"}
    failed = lines_of(client, batch.error_file_id)
    assert {name: row["response"]["status_code"] for name, row in failed.items()} == {"line 6": 404, "line 7": 400}
    assert batch.id in [one.id for one in client.batches.list()]


def test_an_input_that_is_wrong(client: openai.OpenAI) -> None:
    lines = [
        chat_line(0),
        chat_line(0),
        chat_line(1) | {"method": "GET"},
        chat_line(2) | {"url": "/v1/completions"},
        chat_line(3, stream=True),
        {"custom_id": 5},
        chat_line(4) | {"boddy": {}},
    ]
    batch = wait(client, start(client, upload(client, lines)), "failed", "completed")
    assert batch.status == "failed"
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [(one.line, one.code) for one in batch.errors.data] == [
        (2, "duplicate_custom_id"),
        (3, "invalid_method"),
        (4, "mismatched_endpoint"),
        (5, "invalid_request"),
        (6, "invalid_json_line"),
        (7, "invalid_json_line"),
    ]
    assert "boddy" in (batch.errors.data[5].message or "")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3600}}, "output_expires_after"),
        ({"extra_body": {"endpoit": 1}}, "endpoit"),
        ({"metadata": {"k" * 65: "v"}}, f"metadata.{'k' * 64}"),
    ],
)
def test_refused_by_name(client: openai.OpenAI, fields: dict[str, Any], param: str) -> None:
    file = upload(client, [chat_line(0)])
    with pytest.raises(openai.BadRequestError) as caught:
        start(client, file, **fields)
    assert caught.value.param == param


def test_a_batch_of_nothing(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        start(client, "file-000000000000000000000000")
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch-../../etc/passwd")


@pytest.fixture(scope="module")
def anthropics(server: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic_client(server) as one:
        yield one


def message(name: str, **fields: Any) -> Any:
    messages = [{"role": "user", "content": "What is the opposite of hot?"}]
    return {"custom_id": name, "params": {"model": "demo", "max_tokens": 30, "messages": messages, **fields}}


def ended(client: anthropic.Anthropic, batch: Any) -> Any:
    until = time.monotonic() + 110
    while batch.processing_status != "ended":
        assert time.monotonic() < until
        time.sleep(0.05)
        batch = client.messages.batches.retrieve(batch.id)
    return batch


def test_a_batch_of_messages(anthropics: anthropic.Anthropic, client: openai.OpenAI) -> None:
    """The anthropic package's own calls; OpenAI's lists of batches and files know nothing of it."""
    batches = anthropics.messages.batches
    before = [[one.id for one in client.batches.list()], [one.id for one in client.files.list()]]
    requests = [message(f"m{number}", temperature=0) for number in range(5)]
    requests += [message("wrong", max_tokens=-1), message("nobody", model="no-such-model")]
    batch = batches.create(requests=requests)
    assert (batch.type, batch.processing_status, batch.request_counts.processing) == ("message_batch", "in_progress", 7)
    done = ended(anthropics, batch)
    assert (done.request_counts.succeeded, done.request_counts.errored, done.request_counts.processing) == (5, 2, 0)
    assert done.ended_at >= done.created_at
    results = list(batches.results(batch.id))
    assert [one.custom_id for one in results] == ["m0", "m1", "m2", "m3", "m4", "wrong", "nobody"]
    messages = [one.result.message for one in results if one.result.type == "succeeded"]
    texts = {block.text for one in messages for block in one.content if block.type == "text"}
    assert len(texts) == 1
    assert "cold" in texts.pop()
    kinds = [one.result.error.error.type for one in results if one.result.type == "errored"]
    assert kinds == ["invalid_request_error", "not_found_error"]
    assert batch.id in [one.id for one in batches.list(limit=1)]
    assert before == [[one.id for one in client.batches.list()], [one.id for one in client.files.list()]]
    assert batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        batches.retrieve(batch.id)


def test_a_batch_of_messages_that_is_cancelled(anthropics: anthropic.Anthropic) -> None:
    batches = anthropics.messages.batches
    long = [message(f"m{number}", max_tokens=400, temperature=2) for number in range(60)]
    batch = batches.create(requests=long)
    with pytest.raises(anthropic.BadRequestError):
        batches.delete(batch.id)
    with pytest.raises(anthropic.AnthropicError):
        batches.results(batch.id)
    done = ended(anthropics, batches.cancel(batch.id))
    assert done.cancel_initiated_at is not None
    counts = done.request_counts
    assert counts.canceled > 0
    assert counts.succeeded + counts.canceled + counts.errored == 60
    results = [one.result.type for one in batches.results(batch.id)]
    assert (len(results), results.count("canceled")) == (60, counts.canceled)
    assert batches.cancel(batch.id).processing_status == "ended"


def test_cancelled(client: openai.OpenAI) -> None:
    lines = [chat_line(number, max_tokens=200, ignore_eos=True) for number in range(40)]
    batch = wait(client, start(client, upload(client, lines)), "in_progress")
    ended = client.batches.cancel(batch.id)
    assert ended.status == "cancelled"
    assert ended.request_counts is not None
    assert ended.request_counts.completed < 40
    with pytest.raises(openai.BadRequestError):
        client.batches.cancel(batch.id)


def test_it_goes_on_after_a_crash(tmp_path: Path) -> None:
    lines = [chat_line(number, max_tokens=40, ignore_eos=True) for number in range(16)]
    with serve(tmp_path) as first, openai_client(first) as client:
        first.load()
        batch = start(client, upload(client, lines))
        until = time.monotonic() + 60
        while (batch.request_counts is None or batch.request_counts.completed < 2) and time.monotonic() < until:
            batch = client.batches.retrieve(batch.id)
        assert batch.status == "in_progress"
        first.process.kill()
        first.process.wait()
    folder = tmp_path / "arriero" / "batches"
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    written = next(folder.glob("batch-*.output"))
    kept = written.read_bytes()
    written.write_bytes(kept + b'{"custom_id": "li')  # as a power cut would leave it
    with serve(tmp_path) as second, openai_client(second) as client:
        second.load()
        batch = wait(client, client.batches.retrieve(batch.id), "completed")
        assert batch.request_counts is not None
        assert (batch.request_counts.total, batch.request_counts.completed) == (16, 16)
        assert client.files.content(str(batch.output_file_id)).content.startswith(kept)
        assert len(lines_of(client, batch.output_file_id)) == 16
