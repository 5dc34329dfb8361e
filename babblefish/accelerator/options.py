"""What ``accelerator_app.py`` can be told on the command line: names, meanings, types.

Declarations only. Defaults are ``settings.py``'s; an option that was not given is None.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Server = Annotated[
    str | None, typer.Option(help="The room server, such as https://192.168.1.20:9000.")
]
Pair = Annotated[
    str | None, typer.Option(metavar="CODE", help="From the tab “Laptops” of the host page.")
]
Trusted = Annotated[
    str | None,
    typer.Option("--trust", metavar="FINGERPRINT", help="Of the room server, from the same tab."),
]
Forget = Annotated[
    bool, typer.Option("--forget", help="Forget the room server that this laptop is paired with.")
]
Fetch = Annotated[
    str | None,
    typer.Option(metavar="KEYS", help="Fetch voice weights for these languages, such as base,de."),
]
Source = Annotated[
    Path | None, typer.Option("--from", help="For --fetch: a folder with copies made by hand.")
]
Weights = Annotated[
    bool, typer.Option("--weights", help="List voice weights: languages, sizes, licences.")
]
Name = Annotated[str | None, typer.Option(help="How the host page lists this laptop.")]
Host = Annotated[str | None, typer.Option(help="Address at which the room server may call.")]
Port = Annotated[int | None, typer.Option(help="Port, 9010 unless told; 0: any that is free.")]
PagePort = Annotated[int | None, typer.Option(help="Port of your own page, on this machine only.")]
NoPage = Annotated[bool, typer.Option("--no-page", help="Without the page.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]
