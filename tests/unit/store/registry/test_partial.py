"""The state of an unfinished file: what survives, what is not believed, and who may write."""

from __future__ import annotations

import struct
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
    first.save()
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


def test_a_state_that_is_believed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(100))
    (tmp_path / "x.state").write_bytes(state(100, 50, 7, 50))
    assert opened(tmp_path / "x").parts == [Part(0, 50, 7), Part(50, 50, 50)]


def state(total: int, size: int, *numbers: int, validator: str = "") -> bytes:
    head = msgspec.json.encode({"total": total, "part_size": size, "validator": validator})
    return head + b"\n" + struct.pack(f"<{len(numbers)}Q", *numbers)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]\n",
        b"{",
        b"\xff\n",
        state(99, 40, 0, 0, 0),
        state(100, 40, 0, 0, 0, validator="other"),
        state(100, 40, 0, 0),
        state(100, 40, 0, 0, 0, 0),
        state(100, 40, 0, 0, 21),
        state(100, 40, 0, 0, 0)[:-1],
        state(100, 0),
        state(100, -1),
        state(100, 2**70),
    ],
)
def test_a_state_that_makes_no_sense_is_not_believed(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "x").write_bytes(bytes(100))
    (tmp_path / "x.state").write_bytes(raw)
    assert opened(tmp_path / "x").parts == plan(100, 40)


def test_a_state_whose_file_is_gone_or_changed_is_not_believed(tmp_path: Path) -> None:
    first = opened(tmp_path / "x")
    first.write(first.parts[0], bytes(40))
    first.save()
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
    first.save()
    first.release()
    assert opened(tmp_path / "x", validator="etag 2").completed == 0


def test_discarding(tmp_path: Path) -> None:
    partial = opened(tmp_path / "x")
    partial.discard()
    partial.release()
    assert list(tmp_path.iterdir()) == []
