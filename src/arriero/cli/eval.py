"""`arriero eval tools`: how well a served model calls tools, on any server with OpenAI's chat route."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from arriero.client.tool_scores import Case, Said, Score, Summary

app = typer.Typer(help="Score served models.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def evaluate() -> None:
    """Score served models."""


@app.command("tools", help="Score a model's tool calls.")
def tools(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    url: Annotated[str, typer.Option("--url", help="Another server than OLLAMA_HOST's, without /v1.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="Only cases of this kind.")] = "",
    least: Annotated[
        float, typer.Option("--least", min=0, max=1, help="Fail below this share of right answers, 0 to 1.")
    ] = 0.0,
    temperature: Annotated[float, typer.Option("--temperature", help="How tokens are drawn.")] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="The seed of every case.")] = 0,
    choice: Annotated[str, typer.Option("--tool-choice", help="auto, required or none; else the server's own.")] = "",
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Tokens of one answer.")] = 1024,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Cases at a time.")] = 4,
    timeout: Annotated[int, typer.Option("--timeout", min=1, help="Seconds until a question counts as failed.")] = 600,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print every case that is not right.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Ask the model every case and print how many calls were valid, right, repaired and lost."""
    import asyncio

    import msgspec

    from arriero.cli.failures import CommandFailed
    from arriero.cli.server import connected
    from arriero.client.address import key_from_environment, parse
    from arriero.client.http import Http
    from arriero.client.tool_eval import evaluate as ask
    from arriero.client.tool_scores import load_cases, summaries
    from arriero.config import Address

    cases = load_cases()
    chosen = [case for case in cases.cases if kind in ("", case.kind)]
    if not chosen:
        kinds = ", ".join(dict.fromkeys(case.kind for case in cases.cases))
        raise CommandFailed(f"there are no cases of the kind {kind!r}; there are: {kinds}")

    progress = _Progress(len(chosen), verbose)

    async def work(address: Address) -> list[Score]:
        http = Http(address, api_key=key_from_environment(), timeout=timeout)
        try:
            return await ask(
                http,
                model,
                cases,
                chosen,
                temperature=temperature,
                seed=seed,
                max_tokens=max_tokens,
                tool_choice=choice,
                concurrency=concurrency,
                on_score=progress.scored,
            )
        finally:
            await http.close()

    def tell(scores: list[Score]) -> list[Summary]:
        told = summaries(scores)
        if as_json:
            print(msgspec.json.encode({"model": model, "summary": told, "cases": scores}).decode())
        else:
            sys.stdout.write(shown(told))
        return told

    try:
        if url:
            scores = asyncio.run(work(parse(url)))
        else:
            with connected() as client:
                scores = asyncio.run(work(client.address))
    except KeyboardInterrupt:
        if progress.scores:
            tell([progress.scores[case.id] for case in chosen if case.id in progress.scores])
        print(f"interrupted: {len(progress.scores)} of {len(chosen)} cases are scored", file=sys.stderr)
        raise
    if all(one.error for one in scores):
        asked = f"{len(scores)} requests failed (POST /v1/chat/completions)"
        raise CommandFailed(f"all {asked}, the first with: {scores[0].error}")
    whole = tell(scores)[-1]
    if whole.failed:
        reason = next(one.error for one in scores if one.error)
        raise CommandFailed(f"{whole.failed} of {whole.cases} requests failed, the first with: {reason}")
    if whole.right < least * whole.cases:
        raise CommandFailed(f"{whole.right} of {whole.cases} answers are right, less than {least:g} of them")


def shown(told: list[Summary]) -> str:
    """The summaries as a table."""
    from arriero.cli.tables import table

    heads = ("CASES", "CALLS", "VALID", "RIGHT TOOL", "RIGHT", "REPAIRED", "LOST", "CUT", "FAILED")
    rows: list[tuple[str, ...]] = [("KIND", *heads)]
    for one in told:
        right = (one.cases, one.called, one.valid, one.tool, one.right)
        rows.append((one.kind, *map(str, (*right, one.repaired, one.lost, one.cut, one.failed))))
    return table(rows)


class _Progress:
    """Tells on standard error how far it is, where somebody looks; with `verbose` each case that is not right.

    `scores` are those so far, by their cases' ids.
    """

    def __init__(self, total: int, verbose: bool) -> None:
        self._total, self._verbose = total, verbose
        self.scores: dict[str, Score] = {}
        self._shown = sys.stderr.isatty()

    def scored(self, case: Case, said: Said, score: Score) -> None:
        """One more is done."""
        self.scores[case.id] = score
        done = len(self.scores)
        if self._shown:
            end = "\r\033[K" if done == self._total else ""
            sys.stderr.write(f"\r\033[K{done} of {self._total}{end}")
            sys.stderr.flush()
        if self._verbose and not score.right:
            calls = " ".join(f"{name}({arguments})" for name, arguments in said.calls)
            wanted = " ".join(f"{call.name}({call.arguments})" for call in case.calls) or "no call"
            got = calls or said.error or repr(said.text[:200])
            print(f"{case.id}: {case.question}\n  wanted {wanted}\n  got    {got}", file=sys.stderr)
