"""What the commands of ``app.py`` can be told on the command line: names, meanings, types.

Declarations only. Defaults are ``settings.py``'s; an option that was not given is None.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Http = Annotated[bool, typer.Option("--http", help="Plain http, for localhost only.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port, 9000 unless told.")]
Profile = Annotated[
    str | None,
    typer.Option(
        help="Engine profile: compact, whisper-nllb, seamless, or auto, the best that is installed."
    ),
]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]
Precision = Annotated[
    str | None, typer.Option(help="Of SeamlessM4T: auto, fp32, bf16, fp16 or int8.")
]
LogFormat = Annotated[
    str | None, typer.Option(help="Of the log: auto, json or text; auto is text at a terminal.")
]

Source = Annotated[Path, typer.Argument(metavar="IN", help="Any audio or video file.")]
Targets = Annotated[list[str], typer.Option("--to", help="Language to translate into; repeat it.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
Spoken = Annotated[str | None, typer.Option("--from", help="Language spoken.")]

Quick = Annotated[bool, typer.Option("--quick", help="End within two minutes.")]
Json = Annotated[Path | None, typer.Option(help="Write the figures to this file.")]
