"""``python app.py backup`` and ``restore``: everything that a server keeps, as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from babblefish.settings import load_settings

_Target = Annotated[Path, typer.Argument(metavar="FILE", help="To write, such as monday.tar.gz.")]
_Source = Annotated[Path, typer.Argument(metavar="FILE", help="That `backup` wrote.")]


def backup(target: _Target) -> None:
    """Write everything that the server keeps to one file; it may run meanwhile."""
    from babblefish.storage import backup as copies

    size = copies.backup(load_settings().data_dir, target)
    print(f"{target}, {size / 1e6:.1f} MB. It holds people's data and the server's keys.")


def restore(source: _Source) -> None:
    """Put a backup into an empty data folder; the server must not run."""
    from babblefish.storage import backup as copies

    folder = load_settings().data_dir
    copies.restore(source, folder)
    print(f"Restored into {folder}. Whoever was deleted after that backup was made is there again.")
