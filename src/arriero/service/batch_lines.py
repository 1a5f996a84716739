"""The requests in a batch's input file, and what is wrong with it. Pure; it blocks for as long as the file is large."""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import Any

import msgspec

from arriero.core.batches import BatchProblem

MOST_LINES = 50_000
MOST_PROBLEMS = 100
"""What is told of a file in which every line is wrong: the batch's record keeps them, and every list repeats them."""


class BatchLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request: the fields that go as `body` to `url`, and the name under which its result is told."""

    custom_id: str
    method: str
    url: str
    body: dict[str, Any]


def read_lines(data: bytes | None, endpoint: str) -> tuple[list[BatchLine], list[BatchProblem]]:
    """Return the requests of an input file, or the first things that are wrong with it."""
    if data is None:
        return [], [BatchProblem(code="file_not_found", message="the input file is gone", param="input_file_id")]
    data = data.removeprefix(BOM_UTF8)  # some editors write one
    rows = [(number, row) for number, row in enumerate(data.splitlines(), 1) if row.strip()]
    if not rows or len(rows) > MOST_LINES:
        text = f"the input file must have between 1 and {MOST_LINES} lines, not {len(rows)}"
        return [], [BatchProblem(code="invalid_file", message=text, param="input_file_id")]
    lines: list[BatchLine] = []
    problems: list[BatchProblem] = []
    seen: set[str] = set()
    for number, row in rows:
        if len(problems) == MOST_PROBLEMS:
            break
        try:
            line = msgspec.json.decode(row, type=BatchLine)
        except (ValueError, RecursionError) as error:
            problems.append(BatchProblem(code="invalid_json_line", message=str(error), line=number))
            continue
        wrong = _wrong(line, endpoint, seen)
        if wrong is not None:
            problems.append(msgspec.structs.replace(wrong, line=number))
        seen.add(line.custom_id)
        lines.append(line)
    return lines, problems


def _wrong(line: BatchLine, endpoint: str, seen: set[str]) -> BatchProblem | None:
    if line.method != "POST":
        return BatchProblem(code="invalid_method", message="the method must be POST", param="method")
    if line.url != endpoint:
        return BatchProblem(code="mismatched_endpoint", message=f"the url must be {endpoint}", param="url")
    if line.custom_id in seen:
        return BatchProblem(code="duplicate_custom_id", message="every custom_id must be another", param="custom_id")
    if line.body.get("stream"):
        return BatchProblem(code="invalid_request", message="a batch cannot stream", param="body.stream")
    return None
