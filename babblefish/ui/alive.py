"""``python -m babblefish.ui.alive``: does the server of these settings answer? For containers.

Exit status 0 when it does, also while models are loading; 1 when it does not.
"""

from __future__ import annotations

import http.client
import ipaddress
import ssl
import sys

from babblefish.settings import Settings, load_settings

_SECONDS = 8.0


def alive(settings: Settings) -> str:
    """What is wrong; empty when the server answers."""
    host = settings.host
    try:
        if ipaddress.ip_address(host).is_unspecified:
            host = "127.0.0.1" if ":" not in host else "::1"
    except ValueError:
        pass  # a name
    if settings.http:
        connection = http.client.HTTPConnection(host, settings.port, timeout=_SECONDS)
    else:
        # It made its certificate itself, and this is the machine that it made it on.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(
            host, settings.port, timeout=_SECONDS, context=context
        )
    try:
        connection.request("GET", "/health/live")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"No answer at {host}:{settings.port}: {type(error).__name__}."
    finally:
        connection.close()
    return "" if status == 200 else f"The server answers {status}."


def main() -> None:
    problem = alive(load_settings())
    print(problem or "alive")
    sys.exit(bool(problem))


if __name__ == "__main__":
    main()
