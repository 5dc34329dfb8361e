"""``python app.py keys``: list, make and revoke the keys of programs where there is no browser.

A server that runs notices within seconds.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from babblefish.errors import SettingsError
from babblefish.settings import load_settings

if TYPE_CHECKING:
    from babblefish.storage.records import StoredKey

keys_app = typer.Typer(help="Keys for programs that use this server.")

_SCOPES = "translate,transcribe,speak,rooms,watch"


@keys_app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    """Without a command: list."""
    if context.invoked_subcommand is None:
        list_keys()


@keys_app.command("list")
def list_keys() -> None:
    """Which keys there are; never the keys themselves."""
    from babblefish.storage import api_keys, beside

    folder = load_settings().data_dir
    keys = beside.transaction(folder, api_keys.everything)
    print("\n".join(map(_line, keys)) if keys else "No key yet: python app.py keys make NAME")


@keys_app.command()
def make(
    name: Annotated[str, typer.Argument(help="What the program is called.")],
    scopes: Annotated[
        str, typer.Option("--for", help="What it may do: any of these, with commas.")
    ] = _SCOPES,
    per_minute: Annotated[int, typer.Option(help="Requests a minute.")] = 600,
    connections: Annotated[
        int | None, typer.Option(help="Open at once; all that the server has, unless told.")
    ] = None,
) -> None:
    """Make a key. It is printed once, alone on standard output, and can never be shown again."""
    from babblefish.storage import api_keys, beside
    from babblefish.ui.programs.keys import new_key

    settings, now = load_settings(), time.time()
    chosen = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    most = settings.max_connections if connections is None else connections
    stored, key = new_key(name, chosen, per_minute, most, now)
    beside.transaction(
        settings.data_dir, lambda connection: api_keys.add(connection, now, stored, "admin")
    )
    print(_line(stored), "Copy the key now; it is shown this once.", sep="\n", file=sys.stderr)
    print(key)


@keys_app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="Its first letters, such as bf_3f2a9c41.")],
) -> None:
    """Make a key worthless, for good."""
    from babblefish.storage import api_keys, beside

    folder = load_settings().data_dir
    id_ = key.removeprefix("bf_").partition("_")[0]
    if len(id_) != 8:
        raise SettingsError(
            "key", "Name the key by its first letters, such as bf_3f2a9c41: app.py keys lists them."
        )
    now = time.time()
    beside.transaction(
        folder, lambda connection: api_keys.remove(connection, now, id_, "admin")
    )  # fmt: skip
    print("Revoked.")


def _line(key: StoredKey) -> str:
    used = f"used {_day(key.used)}" if key.used is not None else "never used"
    may = ",".join(scope for scope in _SCOPES.split(",") if scope in key.scopes)
    bounds = f"{key.per_minute} a minute, {key.connections} open"
    return f"bf_{key.id}  {key.name}  {may}  {bounds}  made {_day(key.made)}, {used}"


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
