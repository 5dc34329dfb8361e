"""Every route of the whole application, Gradio's included, one a line.

``python -m tests.route_list > tests/snapshots/routes.txt`` writes the list anew.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from starlette.routing import BaseRoute, Mount

from babblefish.settings import Settings
from babblefish.ui.admin import mount_admin
from babblefish.ui.server import create_app
from babblefish.ui.tls import Certificates
from tests.fakes_rooms import FakeEngine, FakeHub


def route_list() -> list[str]:
    """METHODS and path of each route, sorted."""
    hub, engine, settings = FakeHub(), FakeEngine(), Settings(http=False)
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(
            settings,
            hub,
            engine,
            lambda app: mount_admin(app, settings, hub, engine, lambda code: None),
            Certificates(Path(folder)),
        )
    return sorted(_walk(app.routes, ""))


def _walk(routes: list[BaseRoute], prefix: str) -> list[str]:
    lines = []
    for route in routes:
        path = prefix + getattr(route, "path", "")
        if isinstance(route, Mount):
            inner = getattr(route.app, "routes", None)
            lines += _walk(inner, path) if inner else [f"MOUNT {path}"]
        elif hasattr(route, "methods"):
            lines.append(f"{','.join(sorted(route.methods))} {path}")
        elif hasattr(route, "routes"):
            lines += _walk(route.routes, path)
        else:
            lines.append(f"{type(route).__name__} {path}")
    return lines


if __name__ == "__main__":
    print("\n".join(route_list()))
