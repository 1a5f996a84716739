"""The bound on open files."""

from __future__ import annotations

import resource

from arriero.server.open_files import ENOUGH, allow_many


def test_a_low_bound_is_raised() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = ENOUGH if before[1] == resource.RLIM_INFINITY else min(before[1], ENOUGH)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, most), before[1]))
        allow_many()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
