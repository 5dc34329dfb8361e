"""Every route of the whole application, Gradio's included, one a line.

``python -m tests.route_list > tests/snapshots/routes.txt`` writes the list anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from babblefish.settings import Settings
from babblefish.ui.admin import mount_admin
from babblefish.ui.server import create_app
from babblefish.ui.tls import Certificates
from tests.fakes_rooms import FakeEngine, FakeHub


def route_list() -> list[str]:
    """METHODS and path of each route, sorted."""
    hub, engine = FakeHub(), FakeEngine()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(http=False, data_dir=Path(folder))
        app = create_app(
            settings,
            hub,
            engine,
            lambda app: mount_admin(app, settings, hub, engine, lambda code: None),
            Certificates(Path(folder)),
        )
    return sorted(_walk(app.routes, ""))


def _walk(routes: Sequence[BaseRoute], prefix: str) -> list[str]:
    lines = []
    for context in iter_route_contexts(routes):
        path = prefix + (context.path or "")
        inner = getattr(getattr(context.original_route, "app", None), "routes", None)
        if context.methods:
            lines.append(f"{','.join(sorted(context.methods))} {path}")
        elif inner:
            lines += _walk(inner, path)
        else:
            lines.append(f"{type(context.original_route).__name__.upper()} {path}")
    return lines


if __name__ == "__main__":
    print("\n".join(route_list()))
