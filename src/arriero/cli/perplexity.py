"""`arriero perplexity`: how well a model foretells a text, for quantizations and KV types. Works without a server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arriero.cli.completion import models as models_to_complete

if TYPE_CHECKING:
    from arriero.core.perplexity import PerplexityJob, PerplexityReport

PROGRAM = "arriero.runners.llama_cpp.perplexity"


def perplexity(
    model: Annotated[str, typer.Argument(help="A model's name, or a GGUF file.", autocompletion=models_to_complete)],
    file: Annotated[Path, typer.Argument(help="A text file, UTF-8; - reads standard input.")],
    kv_cache_type: Annotated[
        list[str] | None, typer.Option("--kv-cache-type", help="What K and V are kept as. Repeatable.")
    ] = None,
    context: Annotated[int, typer.Option("--context", min=8, help="Tokens of a window.")] = 512,
    windows: Annotated[int, typer.Option("--windows", min=0, help="So many at most; 0 for all.")] = 0,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """Score the second half of each window of the text, and print the perplexity for each KV type."""
    import msgspec

    from arriero.cli.tables import table
    from arriero.core.perplexity import PerplexityJob

    path, adapters = _files(model)
    text = _text(file)
    rows: list[tuple[str, ...]] = [("MODEL", "KV", "PERPLEXITY", "TOKENS", "WINDOWS")]
    results: list[dict[str, Any]] = []
    for kind in kv_cache_type or ["f16"]:
        job = PerplexityJob(
            path=path,
            text=text,
            adapters=adapters,
            context=context,
            windows=windows,
            kv_cache_type=kind,
            threads=threads,
        )
        found = _run(job)
        results.append({"model": model, "kv_cache_type": kind, **msgspec.to_builtins(found)})
        told = [f"{value:.4f}" if value < 1e6 else f"{value:.4g}" for value in (found.perplexity, found.error)]
        rows.append((model, kind, " ± ".join(told), str(found.tokens), str(found.windows)))
        if found.context < context:
            print(f"Note: the text has {found.context} tokens, fewer than a window of {context}", file=sys.stderr)
    if as_json:
        print(msgspec.json.encode(results).decode())
    else:
        sys.stdout.write(table(rows))


def _run(job: PerplexityJob) -> PerplexityReport:
    import msgspec

    from arriero.backends.program import ProgramFailed, run_program
    from arriero.cli.failures import CommandFailed
    from arriero.core.perplexity import PerplexityReport

    last: list[PerplexityReport] = []

    def hear(line: bytes) -> None:
        report = msgspec.json.decode(line, type=PerplexityReport)
        last[:] = [report]
        if sys.stderr.isatty():
            print(f"\r{report.windows}/{report.of_windows} {report.perplexity:.4f} ", end="", file=sys.stderr)

    try:
        run_program(PROGRAM, (), lambda: None, job=msgspec.json.encode(job), on_line=hear)
    except ProgramFailed as error:
        raise CommandFailed(str(error)) from None
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return last[0]


def _files(model: str) -> tuple[str, tuple[str, ...]]:
    """The GGUF and the adapters of a model: of a file of that name, else of a model that a server here would have."""
    from arriero.cli.failures import CommandFailed
    from arriero.config import ConfigError, load_config
    from arriero.store.catalog import Catalog
    from arriero.store.in_place import HuggingFaceCache, InPlace, LmStudioFolder
    from arriero.store.places import Stores

    if Path(model).is_file():
        return str(Path(model).absolute()), ()
    try:
        config = load_config(os.environ, host="127.0.0.1")
    except ConfigError as error:
        raise CommandFailed(str(error)) from None
    others: list[InPlace] = [*map(HuggingFaceCache, config.huggingface), *map(LmStudioFolder, config.lmstudio)]
    stores = Stores(config.ollama_models, config.home / "models")
    spec = Catalog(config.models, config.folders, stores.folders, others=others).find(model)
    return spec.path, tuple(spec.adapters)


def _text(file: Path) -> str:
    from arriero.cli.failures import CommandFailed

    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        text = raw.decode("utf-8")
    except OSError as error:
        raise CommandFailed(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{file} is no text in UTF-8: {error}") from None
    if not text:
        raise CommandFailed(f"{'standard input' if str(file) == '-' else file} is empty")
    return text
