"""``python -m tests.laptop_page FOLDER``: the owner's page with a scripted synthesiser, as a
process of its own, so that it may run in the laptop's environment, where Gradio is of another
generation.

Prints the link on its first line; ends when its input does.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from babblefish.settings import go_offline, keep_temporary_files_in


async def main(folder: Path) -> None:
    go_offline()
    keep_temporary_files_in(folder)
    import gradio as gr

    from babblefish.accelerator.certificate import own_certificate
    from babblefish.accelerator.dial_out import DialOut
    from babblefish.accelerator.laptop import Laptop
    from babblefish.accelerator.pairing import Pairing
    from babblefish.accelerator.reception import Spoken
    from babblefish.accelerator.settings import load_settings
    from babblefish.accelerator.terminal import Terminal
    from babblefish.network import bind
    from tests.scripted_synthesiser import ScriptedSynthesiser

    here, own = bind("127.0.0.1", 0), own_certificate(folder.parent / "own")
    pairing = Pairing("https://den:9000", own.pem, "a1", "s" * 40, "BabbleFish on den")
    laptop = Laptop(
        load_settings(name="Dan's laptop"), pairing, "", Terminal(False), ScriptedSynthesiser(),
        own, here, here,
    )  # fmt: skip
    laptop.dialling = DialOut(pairing, laptop.reception, laptop.door, 10.0, print)
    laptop.dialling.state = "called"
    now = time.time()
    for age, outcome, first in ((40, "done", 0.21), (31, "cancelled", None), (4, "done", 0.18)):
        laptop.reception.last.appendleft(
            Spoken(now - age, "http", "en", int(first is not None), 2.4, first, 0.9, outcome)
        )
    server, listener = laptop._servers[1]
    print(laptop.link, gr.__version__, flush=True)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
