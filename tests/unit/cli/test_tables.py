"""Sizes, times and columns read as Ollama's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from arriero.cli.tables import human_size, human_time, processor, table

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (5_491_744, "5.5 MB"),
        (42_900_000, "42 MB"),
        (4_661_224_676, "4.7 GB"),
        (2 * 10**12, "2 TB"),
    ],
)
def test_human_size(size: int, shown: str) -> None:
    assert human_size(size) == shown


@pytest.mark.parametrize(
    ("ago", "shown"),
    [
        (timedelta(milliseconds=10), "Less than a second ago"),
        (timedelta(seconds=1), "1 second ago"),
        (timedelta(seconds=59), "59 seconds ago"),
        (timedelta(seconds=60), "About a minute ago"),
        (timedelta(minutes=59), "59 minutes ago"),
        (timedelta(minutes=80), "About an hour ago"),
        (timedelta(hours=47), "47 hours ago"),
        (timedelta(days=2), "2 days ago"),
        (timedelta(days=14), "2 weeks ago"),
        (timedelta(days=90), "3 months ago"),
        (timedelta(days=800), "2 years ago"),
        (timedelta(minutes=-4, seconds=-10), "4 minutes from now"),
        (timedelta(days=-365 * 100), "Forever"),
    ],
)
def test_human_time(ago: timedelta, shown: str) -> None:
    assert human_time(NOW - ago, NOW) == shown


def test_an_unknown_time() -> None:
    assert human_time(None, NOW, "Never") == "Never"
    assert human_time(datetime(1, 1, 1, tzinfo=UTC), NOW, "Never") == "Never"


def test_table() -> None:
    assert (
        table([("NAME", "SIZE"), ("長い", "1"), ("b",)], indent=2)
        == "  NAME    SIZE    \n  長い    1       \n  b       \n"
    )


@pytest.mark.parametrize(
    ("vram", "shown"), [(0, "100% CPU"), (100, "100% GPU"), (120, "100% GPU"), (52, "48%/52% CPU/GPU")]
)
def test_processor(vram: int, shown: str) -> None:
    assert processor(100, vram) == shown
