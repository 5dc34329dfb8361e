"""The command line of ``accelerator_app.py``: what it was told, handed to who does it."""

from __future__ import annotations

import sys

import typer

from babblefish import logs
from babblefish.accelerator import options, weights_cli
from babblefish.accelerator.joining import Wish
from babblefish.accelerator.laptop import leave, run
from babblefish.accelerator.pairing import PairingFile
from babblefish.accelerator.settings import load_settings
from babblefish.errors import BabbleFishError
from babblefish.settings import go_offline

app = typer.Typer(add_completion=False, help="Speak in people's own voices for a room server.")


@app.command()
def laptop(
    server: options.Server = None, pair: options.Pair = None, trust: options.Trusted = None,
    forget: options.Forget = False, weights: options.Weights = False,
    fetch: options.Fetch = None, source: options.Source = None, name: options.Name = None,
    host: options.Host = None, port: options.Port = None, page_port: options.PagePort = None,
    no_page: options.NoPage = False, device: options.Device = None,
) -> None:  # fmt: skip
    """Pair with a room server, or go back to the one that this laptop is paired with."""
    settings = load_settings(
        name=name, host=host, port=port, page_port=page_port, device=device,
        page=False if no_page else None,
    )  # fmt: skip
    if forget:
        had = PairingFile(settings.data_dir).forget()
        print("Forgotten. Remove it in the tab “Laptops”, too." if had else "Nothing to forget.")
    elif weights:
        print(weights_cli.table(settings.weights_dir))
    elif fetch:
        weights_cli.fetch(fetch, settings.weights_dir, source)
    else:
        run(settings, Wish(server or "", pair or "", trust or ""))


def main() -> None:
    go_offline()
    logs.configure()
    try:
        app()
    except BabbleFishError as error:
        print(f"{error.message} ({error.stage}: {error.code})", file=sys.stderr)
        leave(1)
