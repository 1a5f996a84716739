from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from arriero.observe.logs import set_up_logging


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("arriero")
    before = (root.handlers, root.level, ours.level)
    yield
    root.handlers, root.level, ours.level = before


def test_levels() -> None:
    stream = io.StringIO()
    set_up_logging("info", stream)
    logging.getLogger("arriero.x").info("shown")
    logging.getLogger("arriero.x").debug("hidden")
    logging.getLogger("library").info("hidden")
    logging.getLogger("library").warning("shown too")
    lines = stream.getvalue().splitlines()
    assert [line.split(" ", 3)[1:] for line in lines] == [
        ["level=INFO", "logger=arriero.x", "shown"],
        ["level=WARNING", "logger=library", "shown too"],
    ]


def test_a_record_stays_on_one_line() -> None:
    stream = io.StringIO()
    set_up_logging("debug", stream)
    logging.getLogger("arriero").debug("path %s", "/x\nlevel=ERROR forged")
    assert stream.getvalue().count("\n") == 1


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(ValueError, match="loud"):
        set_up_logging("loud")
