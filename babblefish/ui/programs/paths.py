"""Which paths are for programs, and which of those take uploads. Knows no routes' meaning."""

from __future__ import annotations

import re

PROGRAMS = re.compile(
    r"""/( translate(/batch)? | transcribe(-translate)? | speak(/voices)? | languages
        | health(/live|/ready)? | status | metrics | ws/client | v1/.+ )""",
    re.VERBOSE,
)
"""that pages of the origins in ``Settings.cors_origins`` may call"""
UPLOADS = re.compile(r"/transcribe(-translate)?|/v1/audio/(transcriptions|translations)")
"""whose bodies may be long, and of unknown length: the routes count what arrives"""
