"""The laptop's weights on the command line: which there are, their licences, fetching them."""

from __future__ import annotations

from pathlib import Path

from babblefish.accelerator import checkpoints
from babblefish.accelerator.checkpoints import F5Checkpoint
from babblefish.engine.models import files_of, state
from babblefish.languages import english_name
from babblefish.progress_bar import ProgressBar, amount
from babblefish.settings import go_online

_MARKS = {"installed": "+", "damaged": "!", "absent": "-"}


def table(weights_dir: Path) -> str:
    """For people: every checkpoint that is known, with what is installed."""
    lines = [_line(checkpoint, weights_dir) for checkpoint in checkpoints.CHECKPOINTS]
    return "\n".join(
        (
            *lines, "", "+ installed, - not installed, ! incomplete: fetch again, ~ about",
            checkpoints.NOTE, f"Weights are in {weights_dir}",
        )
    )  # fmt: skip


def fetch(keys: str, weights_dir: Path, source: Path | None = None) -> None:
    """keys: languages or checkpoints, separated by commas. source: a folder with copies made by
    hand. Raises WeightsError."""
    chosen = [key.strip() for key in keys.split(",") if key.strip()]
    bound = [one.model.name for one in map(checkpoints.named, chosen) if not one.model.commercial]
    if bound:
        print(f"For NON-COMMERCIAL USE ONLY: {', '.join(dict.fromkeys(bound))}", flush=True)
    if source is None:
        go_online()
    try:
        with ProgressBar() as bar:
            checkpoints.fetch(chosen, weights_dir, source_dir=source, progress=bar)
    except KeyboardInterrupt:
        print("Stopped. What was downloaded is kept: run the same command again.")
        return
    print(f"{', '.join(chosen)}: complete and verified, in {weights_dir}")


def _line(checkpoint: F5Checkpoint, weights_dir: Path) -> str:
    model = checkpoint.model
    there = state(model, weights_dir)
    size = model.size
    if there == "installed":
        size = sum(file.size for file in files_of(model, weights_dir))
    about = "" if there == "installed" else "~"
    names = ", ".join(english_name(code) for code in checkpoint.languages)
    terms = model.licence + ("" if model.commercial else ", NON-COMMERCIAL USE ONLY")
    return (
        f"{_MARKS[there]} {checkpoint.key:<5} {names:<17} {about + amount(size):>8}  {terms}  "
        f"{model.name}"
    )
