"""`arriero bench`: servers with Ollama's or OpenAI's API side by side, in one run, in turns."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from arriero.client.bench.case import Case
    from arriero.client.bench.result import Measured, Run
    from arriero.client.bench.sizes import Size
    from arriero.client.bench.target import Target


def bench(
    servers: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=]URL[#MODEL]…", help="The servers; without one, OLLAMA_HOST's."),
    ] = None,
    model: Annotated[str, typer.Option("--model", help="The model, where a server names none of its own.")] = "",
    case: Annotated[list[str] | None, typer.Option("--case", help="Only this case. Repeatable.")] = None,
    size: Annotated[str, typer.Option("--size", help="How long prompts and answers are: quick, full, tiny.")] = "quick",
    pairs: Annotated[int, typer.Option("--pairs", min=1, help="Rounds, in which each server takes its turn.")] = 5,
    seed: Annotated[str, typer.Option("--seed", help="Of the words; without one, new words each time.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="The folder for results; ARRIERO_HOME/bench.")] = None,
    compare: Annotated[
        tuple[str, str] | None, typer.Option("--compare", metavar="RUN RUN", help="Compare two kept runs instead.")
    ] = None,
    runs: Annotated[bool, typer.Option("--runs", help="List the kept runs instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the run as a JSON object.")] = False,
) -> None:
    """Measure the cases on every server and print medians, ratios, and what speculation guessed."""
    from arriero.cli.failures import CommandFailed
    from arriero.client.bench import runs as kept_runs
    from arriero.client.bench.cases import CASES
    from arriero.client.bench.sizes import SIZES
    from arriero.config import home_folder

    folder = out or home_folder(os.environ) / kept_runs.FOLDER
    if runs:
        for path in kept_runs.kept(folder):
            print(path.stem)
        return
    if compare is not None:
        _compare(*compare, folder)
        return
    known = {one.name: one for one in CASES}
    unknown = [name for name in case or () if name not in known]
    if unknown:
        raise CommandFailed(f"there is no case {unknown[0]!r}; there are: {', '.join(known)}")
    if size not in SIZES:
        raise CommandFailed(f"there is no size {size!r}; there are: {', '.join(SIZES)}")
    chosen = [known[name] for name in dict.fromkeys(case)] if case else list(CASES)
    run = _measure(servers or [], model, chosen, SIZES[size], pairs, seed)
    from arriero.client.bench.plot import plot

    try:
        path = kept_runs.keep(run, folder, plot(run))
    except OSError as error:  # what was measured is shown all the same
        sys.stdout.write(shown(run))
        raise CommandFailed(f"the run is not kept: {error.filename}: {error.strerror}. --out takes a folder") from None
    if as_json:
        import msgspec

        print(msgspec.json.encode(run).decode())
    else:
        sys.stdout.write(shown(run))
        print(f"\n{path}\n{path.with_suffix('.svg')}")
    if run.interrupted:
        print("Interrupted: this is what was measured before.", file=sys.stderr)
        raise KeyboardInterrupt
    if not any(measured.figures for outcome in run.outcomes for measured in outcome.rounds):
        reasons = [measured.error for outcome in run.outcomes for measured in outcome.rounds]
        raise CommandFailed(f"nothing could be measured: {reasons[0] if reasons else 'there was no case'}")


def shown(run: Run) -> str:
    """The run as a table, and what could not be measured."""
    from arriero.cli.tables import table
    from arriero.client.bench.report import cells, head

    rows = [head(run), *(row for outcome in run.outcomes for row in cells(run, outcome))]
    plain = [tuple(cell for place, cell in enumerate(row) if place in _used(rows)) for row in rows]
    failed = [
        f"{outcome.case}, {server.name}: {error}\n"
        for outcome in run.outcomes
        for server in run.servers
        for error in outcome.errors(server.name)
    ]
    short = [
        f"{outcome.case}, {server.name}: too few tokens came behind the first for a rate; take a longer --size\n"
        for outcome in run.outcomes
        for server in run.servers
        if outcome.without_rate(server.name)
    ]
    return table(plain) + "".join(failed + short)


def _used(rows: list[tuple[str, ...]]) -> set[int]:
    """The columns that are not empty below their name."""
    return {place for place in range(len(rows[0])) if any(row[place] for row in rows[1:])}


def _measure(texts: list[str], model: str, cases: list[Case], size: Size, pairs: int, seed: str) -> Run:
    import asyncio
    from datetime import UTC, datetime

    from arriero.cli.server import connected
    from arriero.client.address import key_from_environment
    from arriero.client.bench.result import Run, Server
    from arriero.client.bench.target import parse_target
    from arriero.core.version import __version__
    from arriero.observe.machine import machine_card

    card = machine_card()
    now = datetime.now(UTC)
    words = seed or f"{now:%H%M%S}{os.getpid()}"

    async def work(targets: list[Target]) -> Run:
        run = Run(
            started=now.isoformat(timespec="seconds"),
            seed=words,
            size=size.name,
            pairs=pairs,
            machine=card,
            servers=[
                Server(name=one.name, kind=one.kind, version=one.version, model=one.model, url=one.url)
                for one in targets
            ],
            settings={"arriero bench": __version__},
        )
        await _cases(run, targets, cases, size)
        return run

    key = key_from_environment()
    if texts:
        return asyncio.run(work(_named(asyncio.run(_asked([parse_target(one, model, key) for one in texts])))))
    with connected() as client:
        return asyncio.run(work(asyncio.run(_asked([parse_target(f"arriero={client.address.url}", model, key)]))))


async def _asked(targets: list[Target]) -> list[Target]:
    from arriero.client.bench.target import asked

    return [await asked(target) for target in targets]


def _named(targets: list[Target]) -> list[Target]:
    from arriero.cli.failures import CommandFailed

    names = [target.name for target in targets]
    if len(set(names)) < len(names):
        raise CommandFailed("two servers have the same name; write NAME=URL")
    return targets


async def _cases(run: Run, targets: list[Target], cases: list[Case], size: Size) -> None:
    """Fill the run. Ctrl+C ends it with what was measured, if anything was."""
    import asyncio

    from arriero.cli.failures import CommandFailed
    from arriero.client.bench.case import Unmeasured
    from arriero.client.bench.local import hooks_of
    from arriero.client.bench.measuring import run_rounds, warm_up
    from arriero.client.bench.result import outcome_of

    words = 1.0
    for target in targets:
        try:
            words = await warm_up(target, run.seed, 8)
        except Unmeasured as failure:
            raise CommandFailed(str(failure)) from None
    hooks = {target.name: hooks_of(target) for target in targets}
    try:
        for case in cases:
            outcome = outcome_of(case, model=targets[0].model)
            run.outcomes.append(outcome)
            if sys.stderr.isatty():
                print(f"{case.name}: {case.title}", file=sys.stderr)
            await run_rounds(
                case, outcome, targets, size, run.seed, run.pairs, words_a_token=words, hooks=hooks, tell=_tell
            )
    except asyncio.CancelledError:
        run.outcomes = [outcome for outcome in run.outcomes if outcome.rounds]
        if not run.outcomes:
            raise
        run.outcomes[-1].summarize()
        run.interrupted = True


def _tell(measured: Measured) -> None:
    if sys.stderr.isatty():
        figures = "  ".join(f"{name} {value:.4g}" for name, value in measured.figures.items())
        print(f"{measured.round + 1} {measured.server}: {figures or measured.error}", file=sys.stderr)


def _compare(first: str, second: str, folder: Path) -> None:
    from arriero.cli.failures import CommandFailed
    from arriero.cli.tables import table
    from arriero.client.bench.runs import compared, find, unlike

    one, other = find(first, folder), find(second, folder)
    for told in unlike(one, other):
        print(f"Warning: {told}", file=sys.stderr)
    rows = list(compared(one, other))
    if len(rows) == 1:
        measured = " and ".join(_measured(run) for run in (one, other))
        raise CommandFailed(f"no case was measured in both runs on a server of the same name: {measured}")
    sys.stdout.write(table(rows))


def _measured(run: Run) -> str:
    cases, servers = (outcome.case for outcome in run.outcomes), (server.name for server in run.servers)
    return f"{', '.join(cases)} on {', '.join(servers)}"
