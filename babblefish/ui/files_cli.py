"""The terminal side of ``app.py file``: engine start, progress bar, one JSON line an utterance."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from babblefish.engine.engine import Engine
from babblefish.engine.profiles import installed_profile, without_drafts
from babblefish.settings import Settings
from babblefish.ui.files import interpret_file


async def translate(
    settings: Settings, path: Path, source: str | None, targets: Sequence[str], out: Path
) -> None:
    """Raises BabbleFishError for whatever cannot be done."""
    engine = Engine(without_drafts(installed_profile(settings)))
    print("Loading models…", file=sys.stderr)
    await engine.start()
    try:
        with tqdm(
            unit="s", file=sys.stderr, bar_format="{l_bar}{bar}| {n:.0f}/{total_fmt} s of audio"
        ) as bar:

            def progress(done: float, total: float | None) -> None:
                if total:
                    bar.total = round(total, 1)
                bar.update(done - bar.n)

            result = await interpret_file(
                engine, path, source, targets, out, lambda line: tqdm.write(line), progress
            )
    finally:
        await engine.close()
    for problem in result.problems:
        print(problem, file=sys.stderr)
    print(f"{len(result.lines)} utterances. Results are in {out}.", file=sys.stderr)
