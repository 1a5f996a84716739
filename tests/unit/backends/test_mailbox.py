"""A mailbox gives what came in order, wakes who waits, and survives one who gives up."""

from __future__ import annotations

import asyncio
import contextlib

from arriero.backends.mailbox import Mailbox


async def test_what_came_is_given_in_order() -> None:
    mailbox = Mailbox[int]()
    for number in range(3):
        mailbox.put(number)
    assert [await mailbox.get() for _ in range(3)] == [0, 1, 2]


async def test_who_waits_is_woken_once_for_all_that_came() -> None:
    mailbox = Mailbox[int]()
    waiting = asyncio.create_task(mailbox.get())
    await asyncio.sleep(0)
    mailbox.put(1)
    mailbox.put(2)
    assert await waiting == 1
    assert await mailbox.get() == 2


async def test_who_gives_up_takes_nothing_away() -> None:
    mailbox = Mailbox[int]()
    waiting = asyncio.create_task(mailbox.get())
    await asyncio.sleep(0)
    mailbox.put(1)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    assert await mailbox.get() == 1
