"""arriero and llama-server side by side: every row of the table, the peer at its best settings for each.

    python -m benchmarks.race --llama-server PATH [--size quick] [--minutes 22] [--rows "8 clients" fairness]

Models are generated (benchmarks/models.py). For each row a short search finds what suits llama-server best; then pairs
are measured in turns, each server first in every other one, on the same number of threads, with the same room. Both are
resident and one of them idle, a pause in between, so that none has a colder machine; in rows about memory only one is
there. A target is met if the median ratio and four of five pairs reach it. Writes JSON, SVG and a table.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import uvloop

from arriero.client.bench.case import Case, Hooks, Unmeasured
from arriero.client.bench.cases import CASES
from arriero.client.bench.measuring import measure, run_rounds, warm_up
from arriero.client.bench.plot import plot
from arriero.client.bench.report import markdown, row_lines
from arriero.client.bench.result import Measured, Outcome, Run, Server, outcome_of
from arriero.client.bench.sizes import SIZES, Size
from arriero.core.version import __version__
from arriero.observe.machine import machine_card
from arriero.store.catalog import demo_path
from benchmarks.bar import ROWS, BenchModel, Row, need
from benchmarks.model_file import SHAPES
from benchmarks.models import default_vocabulary, write_random
from benchmarks.padding import write_padded
from benchmarks.peer_settings import Flags, Need, base, best, stages
from benchmarks.servers import Arriero, LlamaServer, scratch

TUNING_SHARE = 0.35
SETTLE_S = 3.0  # behind a load servers do what they do when they are idle; its memory counts, its time is nobody's
MODEL = "race"


class Race:
    """All rows, one after the other; `run` grows with each and is written each time."""

    def __init__(self, given: argparse.Namespace, run: Run, home: Path) -> None:
        self.given, self.run, self.home = given, run, home
        self.size: Size = SIZES[given.size]
        self.until = time.monotonic() + 60 * given.minutes
        self.version = ""
        self.known = _known_settings(given.settings)

    async def rows(self, rows: Sequence[Row]) -> None:
        """Measure the rows; the table's lines are printed as they come."""
        left = sum(row.share for row in rows)
        for row in rows:
            remaining = self.until - time.monotonic()
            if remaining <= 0:
                _say(f"{row.name}: not measured, the time is over")
                continue
            outcome = await self.row(row, remaining * row.share / left)
            left -= row.share
            self.run.outcomes.append(outcome)
            self.run.servers = [
                Server(name="arriero", kind="arriero", version=__version__),
                Server(name="llama-server", kind="openai", version=self.version),
            ]
            self.write()
            for line in row_lines(self.run, outcome):
                _say(line)

    async def row(self, row: Row, seconds: float) -> Outcome:
        """One row, its search for settings included."""
        started = time.monotonic()
        case = next(one for one in CASES if one.name == row.case)
        which = row.full if self.given.models_of == "full" else row.quick
        model = self.model(which)
        outcome = outcome_of(case, targets=dict(row.targets), model=which.name)
        outcome.title = f"{row.name}: {case.title}"
        room = need(row, self.size, 4.5 if which.padded or self.vocabulary(which) == demo_path() else 2.2)
        try:
            flags = self.known.get(row.name) or await self.tuned(row, case, model, room, outcome, started, seconds)
            threads = int(flags[flags.index("-t") + 1]) if "-t" in flags else self.given.threads
            try:
                await self.pairs(row, case, model, room, flags, threads, outcome)
            except (RuntimeError, Unmeasured, OSError) as failure:
                _say(f"{row.name}: once more, {failure}")
                outcome.rounds.clear()
                await self.pairs(row, case, model, room, flags, threads, outcome)
        except (RuntimeError, Unmeasured, OSError) as failure:
            _say(f"{row.name}: not measured, {failure}\n{_tail(self.home / 'arriero.log')}")
            outcome.settings["failure"] = str(failure)
        outcome.settings["seconds"] = round(time.monotonic() - started, 1)
        return outcome

    async def tuned(
        self, row: Row, case: Case, model: Path, room: Need, outcome: Outcome, started: float, seconds: float
    ) -> Flags:
        """The flags with which llama-server does best at the row's first metric."""
        metric = case.metrics[0]

        async def once(flags: Flags) -> float | None:
            peer = self.peer(model, flags)
            try:
                async with peer:
                    target = peer.target("openai", "", MODEL)
                    words = await warm_up(target, f"{self.run.seed}/tuning", min(4, row.slots))
                    hooks = Hooks(unload=peer.end, load=peer.start, memory=peer.memory)
                    found = await measure(target, case, self.size, f"{self.run.seed}/tuning", words, hooks)
            except (RuntimeError, Unmeasured) as failure:
                found = Measured(server=peer.name, error=str(failure))
            value = found.figures.get(metric.name)
            outcome.tried.append({"flags": flags, metric.name: value, "error": found.error})
            told = found.error if value is None else f"{value:.4g} {metric.unit}"
            _say(f"  {row.name}: {told} with {' '.join(flags)}")
            return value

        choices = stages(
            room,
            self.given.threads,
            copying=row.case == "copying",
            cold=case.needs == "cold",
            memory=case.needs == "memory",
        )
        return await best(
            base(room),
            choices,
            once,
            higher=metric.better == "higher",
            may_go_on=lambda: time.monotonic() - started < TUNING_SHARE * seconds,
        )

    async def pairs(
        self, row: Row, case: Case, model: Path, room: Need, flags: Flags, threads: int, outcome: Outcome
    ) -> None:
        """Measure in turns."""
        own = dict(one.split("=", 1) for one in self.given.arriero)
        options = {
            name: msgspec.json.decode(value) for name, value in (one.split("=", 1) for one in self.given.options)
        }
        ours = Arriero(
            self.home, model, threads=threads, slots=room.slots, context=room.context, extra=own, options=options
        )
        peer = self.peer(model, flags)
        outcome.settings |= {
            "row": row.name,
            "model": model.name,
            "threads": threads,
            "llama-server": peer.settings(),
            "arriero": ours.settings() | options,
            "resident": "one at a time" if row.alone else "both, one idle",
            "started": "for each pair" if row.alone or self.given.fresh else "once",
        }
        targets = [ours.target("arriero", __version__, ours.model), peer.target("openai", self.version, MODEL)]
        hooks = {
            ours.name: Hooks(unload=ours.unload, load=None, memory=ours.memory),
            peer.name: Hooks(unload=peer.end, load=peer.start, memory=peer.memory),
        }
        if row.alone:
            for number in range(self.given.pairs):
                servers = (ours, peer) if number % 2 == 0 else (peer, ours)
                for place, server in enumerate(servers):
                    async with server:
                        if server is ours:
                            await ours.load()
                        target = targets[0] if server is ours else targets[1]
                        words = await warm_up(target, f"{self.run.seed}/{number}", 4)
                        await asyncio.sleep(SETTLE_S)
                        found = await measure(
                            target, case, self.size, f"{self.run.seed}/{number}", words, hooks[server.name]
                        )
                        found.round, found.place = number, place
                        outcome.rounds.append(found)
                        _tell(found)
            outcome.summarize()
            return
        at_once = 1 if self.given.fresh else self.given.pairs
        for first in range(0, self.given.pairs, at_once):
            one, other = (ours, peer) if first % 2 == 0 else (peer, ours)
            async with one, other:
                await ours.load()
                words = 1.0
                for target in targets:
                    words = await warm_up(target, f"{self.run.seed}/warm/{first}", min(8, room.slots))
                if not self.version:
                    self.version = str(msgspec.json.decode(peer.get("/props")).get("build_info", ""))
                await asyncio.sleep(SETTLE_S)
                await run_rounds(
                    case,
                    outcome,
                    targets,
                    self.size,
                    self.run.seed,
                    at_once,
                    first=first,
                    words_a_token=words,
                    hooks=hooks,
                    tell=_tell,
                )

    def peer(self, model: Path, flags: Flags) -> LlamaServer:
        """llama-server, not started."""
        return LlamaServer(self.given.llama_server, self.home, model, threads=self.given.threads, flags=flags)

    def vocabulary(self, which: BenchModel) -> Path:
        """The GGUF whose tokenizer a chain gets."""
        chosen: Path = self.given.vocabulary or default_vocabulary(which.size)
        return chosen

    def model(self, which: BenchModel) -> Path:
        """The file of a model, generated where it is not there yet."""
        folder: Path = self.given.models
        source = self.vocabulary(which)
        path = folder / (f"{which.name}.gguf" if which.padded else f"{which.name}-{source.stem}.gguf")
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part")
            _say(f"  writing {path}")
            if which.padded:
                write_padded(unfinished, demo_path(), SHAPES[which.size], which.kind)
            else:
                write_random(unfinished, which.size, which.kind, source, chain=True)
            unfinished.rename(path)
        return path

    def write(self) -> None:
        """Keep what there is: JSON, SVG, table."""
        out: Path = self.given.out
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".json").write_bytes(msgspec.json.encode(self.run) + b"\n")
        out.with_suffix(".svg").write_text(plot(self.run), encoding="utf-8")
        out.with_suffix(".md").write_text(markdown(self.run), encoding="utf-8")


def _known_settings(path: Path | None) -> dict[str, Flags]:
    """By row, the flags of an earlier run."""
    if path is None:
        return {}
    earlier = msgspec.json.decode(path.read_bytes(), type=Run)
    found = {}
    for outcome in earlier.outcomes:
        flags = outcome.settings.get("llama-server", [])
        if "-c" in flags:
            found[outcome.settings["row"]] = tuple(flags[flags.index("-c") :])
    return found


def _tell(measured: Measured) -> None:
    figures = "  ".join(f"{name} {value:.4g}" for name, value in measured.figures.items())
    _say(f"  {measured.round + 1} {measured.server:<13} {figures or measured.error}")


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return "\n".join(f"  | {line}" for line in lines[-8:])


def _say(text: str) -> None:
    print(text, flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    binary = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")
    parser.add_argument("--llama-server", type=Path, default=binary, help="the peer's program; else LLAMA_SERVER")
    parser.add_argument("--size", choices=SIZES, default="quick")
    parser.add_argument("--models-of", choices=("quick", "full"), help="the size whose models are taken; else its own")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=22.0, help="rows that would begin later are left out")
    parser.add_argument("--fresh", action="store_true", help="start both servers anew for each pair")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of both servers")
    parser.add_argument("--rows", nargs="*", default=[], metavar="ROW", help=", ".join(row.name for row in ROWS))
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache" / "arriero-bench")
    parser.add_argument("--vocabulary", type=Path, help="a GGUF whose tokenizer all chains get")
    parser.add_argument("--settings", type=Path, help="an earlier result: its settings, instead of a search")
    parser.add_argument("--arriero", nargs="*", default=[], metavar="NAME=VALUE", help="variables for arriero")
    parser.add_argument(
        "--options", nargs="*", default=[], metavar="NAME=JSON", help="of arriero's model: use_mmap=false"
    )
    parser.add_argument("--seed", default="", help="of the words; else another one each time")
    parser.add_argument("--out", type=Path, help="where results go, without an ending")
    given = parser.parse_args()
    if given.llama_server is None or not given.llama_server.is_file():
        parser.error("name llama-server's program with --llama-server or LLAMA_SERVER")
    unknown = [name for name in given.rows if name not in {row.name for row in ROWS}]
    if unknown:
        parser.error(f"there is no row {unknown[0]!r}; there are: {', '.join(row.name for row in ROWS)}")
    now = datetime.now(UTC)
    given.models_of = given.models_of or ("full" if given.size == "full" else "quick")
    given.seed = given.seed or f"{now:%H%M%S}{os.getpid()}"
    default = Path(__file__).parent / "results" / f"race-{given.size}-{now:%Y-%m-%d}"
    given.out = given.out or default
    return given


def main() -> int:
    """Race, print, write."""
    given = arguments()
    run = Run(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=given.seed,
        size=given.size,
        pairs=given.pairs,
        machine=machine_card(),
        servers=[],
        settings={"threads": given.threads},
    )
    rows = [row for row in ROWS if not given.rows or row.name in given.rows]
    with scratch() as home, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        race = Race(given, run, Path(home))
        for row in rows:
            race.model(row.full if given.models_of == "full" else row.quick)
        race.until = time.monotonic() + 60 * given.minutes
        runner.run(race.rows(rows))
    print(markdown(run))
    return 0 if run.outcomes else 1


if __name__ == "__main__":
    sys.exit(main())
