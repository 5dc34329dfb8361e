"""BabbleFish: the room server and its tools. Wiring only; `python app.py --help`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from babblefish.errors import BabbleFishError
from babblefish.models_cli import models_app
from babblefish.settings import go_offline, load_settings

app = typer.Typer(add_completion=False, help="Interpreted meetings on your own machine.")
app.add_typer(models_app, name="models")

_PROFILE = "Engine profile: compact, whisper-nllb, seamless, or auto, the best that is installed."


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    """Without a command: serve."""
    if context.invoked_subcommand is None:
        context.invoke(serve)


@app.command()
def serve(
    http: Annotated[bool, typer.Option("--http", help="Plain http, for localhost only.")] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port, 9000 unless told.")] = None,
    profile: Annotated[str | None, typer.Option(help=_PROFILE)] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="Of SeamlessM4T: auto, fp32, bf16, fp16 or int8.")
    ] = None,
) -> None:
    """Start the room server."""
    from babblefish.ui.server import run

    run(
        load_settings(
            http=http or None, host=host, port=port, profile=profile, device=device,
            precision=precision,
        )
    )  # fmt: skip


@app.command()
def file(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Any audio or video file.")],
    to: Annotated[list[str], typer.Option("--to", help="Language to translate into; repeat it.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    from_: Annotated[str | None, typer.Option("--from", help="Language spoken.")] = None,
    profile: Annotated[str | None, typer.Option(help=_PROFILE)] = None,
) -> None:
    """Translate an audio file: sound and subtitles per language."""
    from babblefish.ui.files_cli import translate

    asyncio.run(translate(load_settings(profile=profile), source, from_, to, out))


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="End within two minutes.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
) -> None:
    """Measure latency, capacity and quality on this machine."""
    from bench.run import main

    main(load_settings(), quick, json)


def main() -> None:
    go_offline()
    try:
        app()
    except BabbleFishError as error:
        print(f"{error.message} ({error.stage}: {error.code})", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
