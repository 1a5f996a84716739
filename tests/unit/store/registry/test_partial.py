"""The state of an unfinished file: what survives, what is not believed, and who may write."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from arriero.store.registry.partial import Part, Partial, plan


def opened(path: Path, total: int = 100, validator: str = "") -> Partial:
    partial = Partial(path, total, 40, validator)
    assert partial.acquire()
    return partial


def test_the_plan() -> None:
    assert plan(100, 40) == [Part(0, 40), Part(40, 40), Part(80, 20)]
    assert plan(80, 40) == [Part(0, 40), Part(40, 40)]
    assert plan(0, 40) == []


def test_what_was_written_is_there_after_a_release(tmp_path: Path) -> None:
    first = opened(tmp_path / "x")
    first.write(first.parts[1], b"abc")
    first.release()
    second = opened(tmp_path / "x")
    assert second.parts == [Part(0, 40), Part(40, 40, 3), Part(80, 20)]
    assert (second.completed, second.done) == (3, False)
    second.write(second.parts[1], b"de")
    second.release()
    assert (tmp_path / "x").read_bytes()[40:45] == b"abcde"
    assert (tmp_path / "x").stat().st_size == 100


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    first = opened(tmp_path / "x")
    assert not Partial(tmp_path / "x", 100, 40).acquire()
    first.release()
    assert Partial(tmp_path / "x", 100, 40).acquire()


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        {"total": 99, "validator": "", "parts": [{"offset": 0, "size": 99}]},
        {"total": 100, "validator": "other", "parts": [{"offset": 0, "size": 100}]},
        {"total": 100, "validator": "", "parts": [{"offset": 0, "size": 99, "completed": 99}]},
        {"total": 100, "validator": "", "parts": [{"offset": 0, "size": 100, "completed": 101}]},
        {"total": 100, "validator": "", "parts": [{"offset": 0, "size": 100, "completed": -1}]},
        {"total": 100, "validator": "", "parts": [{"offset": 1, "size": 99}]},
        {"total": 100, "validator": "", "parts": [{"offset": 0, "size": 200}, {"offset": 200, "size": -100}]},
    ],
)
def test_a_state_that_makes_no_sense_is_not_believed(tmp_path: Path, state: object) -> None:
    (tmp_path / "x").write_bytes(bytes(100))
    raw = state if isinstance(state, bytes) else msgspec.json.encode(state)
    (tmp_path / "x.json").write_bytes(raw)
    assert opened(tmp_path / "x").parts == plan(100, 40)


def test_a_state_whose_file_is_gone_or_changed_is_not_believed(tmp_path: Path) -> None:
    first = opened(tmp_path / "x")
    first.write(first.parts[0], bytes(40))
    first.release()
    (tmp_path / "x").write_bytes(b"short")
    again = opened(tmp_path / "x")
    assert again.completed == 0
    again.release()
    (tmp_path / "x").unlink()
    assert opened(tmp_path / "x").completed == 0


def test_another_version_begins_anew(tmp_path: Path) -> None:
    first = opened(tmp_path / "x", validator="etag 1")
    first.write(first.parts[0], bytes(40))
    first.release()
    assert opened(tmp_path / "x", validator="etag 2").completed == 0


def test_discarding(tmp_path: Path) -> None:
    partial = opened(tmp_path / "x")
    partial.discard()
    partial.release()
    assert list(tmp_path.iterdir()) == []
