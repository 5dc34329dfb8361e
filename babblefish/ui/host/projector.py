"""The page for the projector: one room's QR code as large as the screen allows.

It asks every second for what to show, so that a new link, a lock or another address reach
the wall by themselves. Knows no Gradio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, Response

from babblefish.ui.host.guard import PLAIN_HEADERS
from babblefish.ui.host.links import Links, qr_data_uri

if TYPE_CHECKING:
    from rooms.hub import Hub


def add_routes(app: FastAPI, hub: Hub, links: Links) -> None:
    @app.get("/admin/projector/{code}", include_in_schema=False)
    async def projector(code: str) -> Response:
        if code not in hub.rooms:
            return HTMLResponse(_GONE, 404, PLAIN_HEADERS)
        return HTMLResponse(_PAGE, 200, PLAIN_HEADERS)

    @app.get("/admin/projector/{code}/state", include_in_schema=False)
    async def state(code: str) -> Response:
        room = hub.rooms.get(code)
        if room is None:
            error = {"code": "room", "message": "This room is closed."}
            return JSONResponse({"error": error}, 404)
        link = links.join(room.code, room.token)
        body = {
            "name": room.name, "link": link, "qr": qr_data_uri(link),
            "people": sum(member.connected for member in room.members.values()),
            "locked": room.locked,
        }  # fmt: skip
        return JSONResponse(body)


_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Join · BabbleFish</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/web/projector.css">
"""
_PAGE = (
    _HEAD
    + """<script type="module" src="/web/projector.js"></script>
</head>
<body>
<main>
<section class="words">
<p class="brand">BabbleFish</p>
<h1 id="name" dir="auto"></h1>
<p class="how" id="how">Scan with your phone, choose your language, join.</p>
<p class="people" id="people" aria-live="polite"></p>
<p class="link" id="link" dir="ltr"></p>
<button type="button" id="full" hidden>Full screen</button>
</section>
<div class="card"><img id="qr" alt="QR code of the link to this room"></div>
</main>
<p class="lost" id="lost" role="alert" hidden></p>
</body>
</html>
"""
)
_GONE = (
    _HEAD
    + """</head>
<body>
<main>
<section class="words">
<p class="brand">BabbleFish</p>
<h1>This room is closed.</h1>
<p class="how"><a href="/admin/">Back to the host page</a></p>
</section>
</main>
</body>
</html>
"""
)
