"""The laptop's own environment: ``accelerator_app.py`` may be started with any Python 3.

Uses nothing but the standard library, since that is all such a Python may have.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def enter(root: Path = ROOT) -> None:
    """Go on with the Python of ``.venv-accelerator``, unless this one has F5-TTS. Where neither
    has it, end with the sentence that says what to do."""
    if find_spec("f5_tts") is not None:
        return
    windows = os.name == "nt"
    own = root / ".venv-accelerator" / ("Scripts/python.exe" if windows else "bin/python")
    if not own.exists() or Path(sys.executable) == own:
        sys.exit("F5-TTS is not installed yet. Run `make accelerator` in this folder once.")
    command = [str(own), *sys.argv]
    if windows:  # its exec returns to the shell at once
        sys.exit(subprocess.call(command))
    os.execv(own, command)
