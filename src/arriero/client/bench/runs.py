"""Keeps runs as files, finds them again, and holds one against another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from arriero.client.bench.figures import median
from arriero.client.bench.report import label
from arriero.client.bench.result import FORMAT, Run
from arriero.core.errors import InvalidRequest

FOLDER = "bench"


def keep(run: Run, folder: Path, picture: str) -> Path:
    """Write `run` as JSON and its picture; the JSON's path. Names are the time of the start."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = run.started.replace(":", "").split("+")[0]
    path = folder / f"{name}.json"
    number = 2
    while path.exists():
        path = folder / f"{name}-{number}.json"
        number += 1
    path.write_bytes(msgspec.json.encode(run) + b"\n")
    path.with_suffix(".svg").write_text(picture, encoding="utf-8")
    return path


def kept(folder: Path) -> list[Path]:
    """The runs in `folder`, oldest first."""
    return sorted(folder.glob("*.json"))


def find(name: str, folder: Path) -> Run:
    """Read a run: a file's path, the beginning of a kept one's name, or `last`; InvalidRequest if there is none."""
    path = Path(name)
    if not path.is_file():
        known = kept(folder)
        matching = known[-1:] if name == "last" else [one for one in known if one.stem.startswith(name)]
        if len(matching) != 1:
            said = "no run is" if not matching else "several runs are"
            raise InvalidRequest(f"{said} named {name!r} in {folder}", param="compare")
        path = matching[0]
    try:
        run = msgspec.json.decode(path.read_bytes(), type=Run)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"{path} is no run of this version: {error}", param="compare") from None
    if run.format != FORMAT:
        raise InvalidRequest(f"{path} has format {run.format}, this version reads {FORMAT}", param="compare")
    return run


def compared(one: Run, other: Run) -> Iterator[tuple[str, ...]]:
    """Rows: case, metric, server, its median in both runs, the change. Other machines are said, not hidden."""
    yield "CASE", "METRIC", "SERVER", one.started[:19], other.started[:19], "CHANGE"
    later = {label(outcome): outcome for outcome in other.outcomes}
    for outcome in one.outcomes:
        its = later.get(label(outcome))
        if its is None:
            continue
        for metric in outcome.metrics:
            for server in one.servers:
                before, after = outcome.values(server.name, metric.name), its.values(server.name, metric.name)
                if before and after and median(before):
                    change = median(after) / median(before) - 1
                    better = (change > 0) == (metric.better == "higher")
                    verdict = "same" if change == 0 else "better" if better else "worse"
                    yield (
                        label(outcome),
                        metric.name,
                        server.name,
                        f"{median(before):.4g} {metric.unit}",
                        f"{median(after):.4g} {metric.unit}",
                        f"{100 * change:+.1f} % ({verdict})",
                    )
        names = [server.name for server in one.servers]
        if len(names) > 1 and outcome.metrics:
            metric = outcome.metrics[0]
            pairs = [found.pairs(names[0], names[1], metric.name) for found in (outcome, its)]
            if all(pairs):
                first, second = (median(found) for found in pairs)
                ratio = f"{names[0]} ÷ {names[1]}"
                yield (
                    label(outcome),
                    metric.name,
                    ratio,
                    f"{first:.2f}",
                    f"{second:.2f}",
                    f"{100 * (second / first - 1):+.1f} %",
                )


def unlike(one: Run, other: Run) -> list[str]:
    """What makes two runs hard to compare; ratios of one run still are."""
    names = ["cpu", "cores", "memory_bytes", "system"]
    names += [key for key in ("allowed_cpus", "allowed_memory_bytes") if {key} <= one.machine.keys() & other.machine]
    told = [f"the machines differ: {key}" for key in names if one.machine.get(key) != other.machine.get(key)]
    if one.size != other.size:
        told.append(f"the sizes differ: {one.size} and {other.size}")
    told += [f"the run of {run.started[:19]} was interrupted" for run in (one, other) if run.interrupted]
    return told
