"""BabbleFish: the room server and its tools. Wiring only; `python app.py --help`."""

from __future__ import annotations

import asyncio
import sys

import typer

from babblefish import logs
from babblefish.client.cli import client
from babblefish.errors import BabbleFishError
from babblefish.models_cli import models_app
from babblefish.settings import go_offline, load_settings
from babblefish.ui import backup_cli, options
from babblefish.ui.programs.keys_cli import keys_app

app = typer.Typer(add_completion=False, help="Interpreted meetings on your own machine.")
app.add_typer(models_app, name="models")
app.add_typer(keys_app, name="keys")
for command in (client, backup_cli.backup, backup_cli.restore):
    app.command()(command)


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    """Without a command: serve."""
    if context.invoked_subcommand is None:
        context.invoke(serve)


@app.command()
def serve(
    http: options.Http = False, host: options.Host = None, port: options.Port = None,
    profile: options.Profile = None, device: options.Device = None,
    precision: options.Precision = None, log_format: options.LogFormat = None,
) -> None:  # fmt: skip
    """Start the room server."""
    from babblefish.ui.server import run

    settings = load_settings(
        http=http or None, host=host, port=port, profile=profile, device=device,
        precision=precision, log_format=log_format,
    )  # fmt: skip
    logs.configure(settings.log_format)
    run(settings)


@app.command()
def file(
    source: options.Source, to: options.Targets, out: options.Out,
    from_: options.Spoken = None, profile: options.Profile = None,
) -> None:  # fmt: skip
    """Translate an audio file: sound and subtitles per language."""
    from babblefish.ui.files_cli import translate

    asyncio.run(translate(load_settings(profile=profile), source, from_, to, out))


@app.command()
def bench(quick: options.Quick = False, json: options.Json = None) -> None:
    """Measure latency, capacity and quality on this machine."""
    from bench.run import main

    main(load_settings(), quick, json)


def main() -> None:
    go_offline()
    logs.configure()
    try:
        app()
    except BabbleFishError as error:
        print(f"{error.message} ({error.stage}: {error.code})", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
