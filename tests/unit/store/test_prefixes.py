"""What workers kept on the disk goes with its model, and nothing else does."""

from __future__ import annotations

from pathlib import Path

from arriero.store.prefixes import purge, sweep

ONE, OTHER = "a" * 64, "b" * 64


def _kept(root: Path, *weights: str) -> None:
    for name in weights:
        folder = root / name / "0123"
        folder.mkdir(parents=True)
        (folder / "x.kv").write_bytes(b"text")


def test_one_model_is_purged(tmp_path: Path) -> None:
    _kept(tmp_path / "prefixes", ONE, OTHER)
    purge(tmp_path / "prefixes", ONE)
    purge(tmp_path / "prefixes", "c" * 64)
    assert [folder.name for folder in (tmp_path / "prefixes").iterdir()] == [OTHER]


def test_what_is_no_weights_removes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "prefixes"
    _kept(root, ONE)
    for name in ("", ".", "..", "../prefixes", ONE + "/..", "x" * 200):
        purge(root, name)
    assert (root / ONE / "0123" / "x.kv").exists()


def test_what_is_unknown_is_swept(tmp_path: Path) -> None:
    root = tmp_path / "prefixes"
    sweep(root, ())  # there is none
    _kept(root, ONE, OTHER)
    (root / "notes.txt").write_text("mine")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / ("d" * 64)).symlink_to(elsewhere)
    sweep(root, {ONE})
    assert sorted(path.name for path in root.iterdir()) == [ONE, "d" * 64, "notes.txt"]
    sweep(root, ())
    assert sorted(path.name for path in root.iterdir()) == ["d" * 64, "notes.txt"]
    assert elsewhere.exists()
