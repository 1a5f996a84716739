"""`arriero prune`: free the space of what arriero wrote and no model needs. Works on the store, without a server."""

from __future__ import annotations

from typing import Annotated

import typer


def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Remove blobs that arriero wrote, no manifest names and are older than a day; nothing of anybody else's."""
    from arriero.cli.failures import CommandFailed
    from arriero.cli.stores import stores
    from arriero.cli.tables import human_size
    from arriero.store.prune import Pruned
    from arriero.store.prune import prune as prune_folder

    whole = Pruned()
    for folder in stores().folders:
        if not folder.writable():
            continue
        found = prune_folder(folder, dry_run=dry_run)
        whole.blobs |= found.blobs
        whole.leftovers |= found.leftovers
        whole.broken += found.broken
    names = [*whole.blobs, *(str(path) for path in whole.leftovers)]
    if as_json:
        import msgspec

        broken = [str(one.path) for one in whole.broken]
        print(msgspec.json.encode({"removed": names, "bytes": whole.size, "broken": broken}).decode())
    else:
        verb = "would remove" if dry_run else "removed"
        for name in names:
            print(f"{verb} {name}")
        print(f"{verb} {len(names)} files, {human_size(whole.size)}")
    if whole.broken:
        raise CommandFailed(
            f"the manifest {whole.broken[0].path} does not parse, so nothing was removed in its folder: it may name "
            "anything. `arriero verify` names all such manifests"
        )
