"""``python app.py client``: takes part in a room from the command line, a reference for programs.

Prints what is said, one line each; ``--json`` prints the messages themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from babblefish.client import sound
from babblefish.client.address import room_address
from babblefish.client.connection import Message, Participant, Sound, follow
from babblefish.client.trust import trusting
from babblefish.errors import SettingsError

Room = Annotated[str, typer.Option("--room", help="The room's whole link.")]
Mic = Annotated[bool, typer.Option("--mic", help="Speak with this machine's microphone.")]
Wav = Annotated[Path | None, typer.Option("--wav", help="Say a recording instead.")]
Speaks = Annotated[str, typer.Option(help="Language spoken; auto: it is detected.")]
Hears = Annotated[str, typer.Option(help="Language to hear the others in.")]
Name = Annotated[str, typer.Option(help="As the others see it.")]
Out = Annotated[Path | None, typer.Option(help="Write what is heard to this WAV file.")]
Play = Annotated[bool, typer.Option("--play", help="Play what is heard.")]
Stream = Annotated[
    bool, typer.Option("--stream", help="Hear what a phone hears, original voices included.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the messages, without their sound.")]
Stay = Annotated[
    float, typer.Option(help="After a recording, leave when nothing came for so many seconds.")
]
Trust = Annotated[
    str, typer.Option(help="Fingerprint of the server's own authority, from the host page.")
]
Authority = Annotated[
    Path | None, typer.Option("--ca", help="The same as a file, from the server's page /trust.")
]
Key = Annotated[str, typer.Option("--key", help="An API key, for limits of its own.")]


_FAREWELL_S = 2.0
"""for which the server is waited for at Ctrl-C"""


def client(
    room: Room, mic: Mic = False, wav: Wav = None, speaks: Speaks = "auto", hears: Hears = "en",
    name: Name = "Program", out: Out = None, play: Play = False, stream: Stream = False,
    as_json: Json = False, stay: Stay = 6.0, trust: Trust = "", ca: Authority = None,
    key: Key = "",
) -> None:  # fmt: skip
    """Take part in a room without a browser: speak, hear, read."""
    if mic and wav:
        raise SettingsError("wav", "Give --mic or --wav, not both; neither only listens.")
    if wav is not None and not wav.is_file():
        raise SettingsError("wav", f"There is no file {wav}.")
    address = room_address(room)
    rate = 48_000 if stream else 24_000
    config: Message = {
        "name": name, "language": speaks, "target": hears, "microphone": bool(mic or wav),
        "output": "stream" if stream else "clips", "sample_rate": rate,
    }  # fmt: skip
    if not stream and not (out or play):
        config["output"] = "text"
    context = trusting(address.server, trust, ca)
    there = Participant(address, config, context, api_key=key)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_take_part(there, mic, wav, out, play, rate, _Printer(as_json), stay))


async def _take_part(
    there: Participant, mic: bool, wav: Path | None, out: Path | None, play: bool, rate: int,
    printer: _Printer, stay: float,
) -> None:  # fmt: skip
    async with contextlib.AsyncExitStack() as sinks:
        hearing: list[Any] = []
        if out is not None:
            hearing.append(sinks.enter_context(sound.WavFile(out, rate)))
        if play:
            hearing.append(await sinks.enter_async_context(sound.Loudspeaker(rate)))

        def hear(heard: Sound) -> None:
            for sink in hearing:
                sink.hear(heard)

        def tell(message: Message) -> None:
            printer.tell(message)
            if message["type"] == "result" and (heard := sound.clip(message)) is not None:
                hear(heard)

        there.hear, there.tell = hear, tell
        running = asyncio.create_task(there.run())
        talking = asyncio.create_task(_talk(there, mic, wav, printer, stay))
        try:
            while not running.done():
                waiting = {task for task in (running, talking) if not task.done()}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if talking.done():
                    talking.result()
            running.result()
        except asyncio.CancelledError:  # Ctrl-C: its seat is not kept for it
            talking.cancel()
            there.leave(at_once=True)
            if there.connections:  # else it waits at the door, and has no seat
                await asyncio.wait((running,), timeout=_FAREWELL_S)
            raise
        finally:
            running.cancel()
            talking.cancel()
            await asyncio.gather(running, talking, return_exceptions=True)


async def _talk(
    there: Participant, mic: bool, wav: Path | None, printer: _Printer, stay: float
) -> None:
    if not (mic or wav):
        return
    await printer.welcome.wait()
    if wav is None:
        await follow(there, sound.microphone(), patiently=False)
        return
    await follow(there, sound.recording(wav), patiently=True)
    await there.send({"type": "microphone", "on": False})
    with contextlib.suppress(TimeoutError):
        while True:
            printer.came.clear()
            async with asyncio.timeout(stay):
                await printer.came.wait()
    there.leave()


class _Printer:
    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self.came, self.welcome = asyncio.Event(), asyncio.Event()

    def tell(self, message: Message) -> None:
        self.came.set()
        if message["type"] == "welcome":
            self.welcome.set()
        if self._as_json:
            shown = {name: value for name, value in message.items() if name != "key"}
            if shown.get("tts_audio"):
                shown["tts_audio"] = "…"
            print(json.dumps(shown, ensure_ascii=False), flush=True)
        elif line := _line(message):
            print(line, flush=True, file=sys.stderr if message["type"] != "result" else None)


def _line(message: Message) -> str:
    match message["type"]:
        case "waiting" | "warn":
            return message["message"]
        case "welcome":
            return f"In “{message['room_name']}” as {message['name']}."
        case "final":
            return f"{message['speaker_name']} (you): {message['text']}"
        case "result":
            return f"{message['speaker_name']}: {message['translation']}"
        case "closed":
            return f"The room let go of this program: {message['reason'].replace('_', ' ')}."
    return ""
