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

import gradio as gr

from babblefish.settings import go_offline, keep_temporary_files_in


async def main(folder: Path) -> None:
    go_offline()
    keep_temporary_files_in(folder)
    from babblefish.accelerator.certificate import own_certificate
    from babblefish.accelerator.laptop import Laptop
    from babblefish.accelerator.page_views import Connection
    from babblefish.accelerator.reception import Spoken
    from babblefish.accelerator.settings import load_settings
    from babblefish.accelerator.terminal import Terminal
    from babblefish.accelerator.trust import Trust
    from babblefish.network import bind
    from tests.scripted_synthesiser import ScriptedSynthesiser

    here = bind("127.0.0.1", 0)
    laptop = Laptop(
        load_settings(name="Dan's laptop"), Trust("https://den:9000"), "", Terminal(False),
        ScriptedSynthesiser(), own_certificate(folder.parent / "own"), here, here,
    )  # fmt: skip
    now = time.time()
    for age, outcome, first in ((40, "done", 0.21), (31, "cancelled", None), (4, "done", 0.18)):
        laptop.reception.last.appendleft(
            Spoken(now - age, "http", "en", int(first is not None), 2.4, first, 0.9, outcome)
        )
    laptop._connection = lambda: Connection(
        True, "The room server calls this laptop.", "BabbleFish on den (https://den:9000)",
        "AB12-CD34-EF56-7890-AB12-CD34-EF56-7890",
    )  # fmt: skip
    server, listener = laptop._servers[1]
    print(laptop.link, gr.__version__, flush=True)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
