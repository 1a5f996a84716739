"""`arriero verify`: hash the blobs of the store again. Works on the store, without a server."""

from __future__ import annotations

from typing import Annotated

import typer


def verify(
    models: Annotated[list[str] | None, typer.Argument(help="Only these models.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """Read every blob that a manifest names and compare it with its digest; exit 1 if one is not what it should be."""
    from arriero.cli.failures import CommandFailed
    from arriero.cli.stores import stores
    from arriero.store.names import parse_name
    from arriero.store.verify import verify as verify_folder

    wanted = frozenset(parse_name(name).key for name in models or ())
    checked = []
    for folder in stores().folders:
        for one in verify_folder(folder, wanted):
            checked.append(one)
            if not as_json:
                print(f"{one.verdict:<10} {one.what}  {', '.join(one.models)}".rstrip(), flush=True)
    found = {parse_name(name).key for one in checked for name in one.models}
    if as_json:
        import msgspec

        print(msgspec.json.encode(checked).decode())
    if wanted - found:
        missing = next(name for name in models or () if parse_name(name).key not in found)
        raise CommandFailed(f"model '{missing}' is in no models folder")
    bad = [one for one in checked if one.verdict != "ok"]
    if bad:
        raise CommandFailed(
            f"{len(bad)} of {len(checked)} are not what they should be; pull or create those models anew"
        )
