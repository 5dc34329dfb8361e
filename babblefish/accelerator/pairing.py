"""How a laptop is introduced to a room server, and what it keeps of that.

With a code from the host page, or by asking and waiting until the host has confirmed a number. What
is kept lies in one file that only its owner may read. Knows neither speech nor the endpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from babblefish.accelerator.trust import Trust, unreachable
from babblefish.accelerator_protocol import PROTOCOL_VERSION, Asked, Introduction, Paired
from babblefish.errors import SettingsError, TransportError
from babblefish.whole_files import write_whole

PAIR, ASK = "/api/accelerators/pair", "/api/accelerators/ask"
_ASK_AGAIN_S = 2.0
_PATIENCE = 15
"""failed polls in a row after which asking is given up"""
_PROBE_S = 40.0
"""within which the server answers an introduction: it tries every address first"""
_MOST_ANSWER = 20_000
_LATER = (429, 502, 503, 504)

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Pairing:
    """With one server. ``secret`` opens this laptop to it, and it to this laptop."""

    server: str
    authority: str
    """PEM, pinned; empty where the server's certificate needs none"""
    accelerator_id: str
    secret: str
    server_name: str = ""

    @property
    def trust(self) -> Trust:
        return Trust(self.server, self.authority)

    @property
    def bearer(self) -> str:
        """What lets this laptop into the server's WebSocket."""
        return f"Bearer {self.accelerator_id}.{self.secret}"

    def __repr__(self) -> str:
        return f"Pairing({self.server!r})"


class PairingFile:
    """In the laptop's data folder, for its owner only. Raises SettingsError("pairing")."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "pairing.json"

    def load(self) -> Pairing | None:
        try:
            kept = json.loads(self._path.read_bytes())
            pairing = Pairing(**{name: str(kept[name]) for name in Pairing.__dataclass_fields__})
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._trouble(error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                "pairing",
                f"{self._path} is damaged. Run accelerator_app.py --forget and pair this laptop "
                "again.",
            ) from error
        return pairing

    def save(self, pairing: Pairing) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self._path, json.dumps(asdict(pairing)).encode(), 0o600)
        except OSError as error:
            raise self._trouble(error) from error

    def forget(self) -> bool:
        """Whether there was one."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._trouble(error) from error
        return True

    def _trouble(self, error: OSError) -> SettingsError:
        return SettingsError(
            "pairing",
            f"{self._path} cannot be used ({error.strerror}). Fix the folder's permissions, or "
            "choose another one with BABBLEFISH_LAPTOP_DATA_DIR.",
        )


async def pair(trust: Trust, introduction: Introduction) -> Paired:
    """Introduce this laptop with the code that it holds. Raises TransportError: "unreachable",
    "other_server", "too_old", "bad_answer", or the server's own code and sentence."""
    async with trust.client() as http:
        answer = await _post(trust, http, PAIR, introduction)
    return _read(trust, answer, Paired)


async def ask(trust: Trust, introduction: Introduction, on_number: Callable[[str], None]) -> Paired:
    """Introduce this laptop without a code and wait for the admin, however long that takes.

    on_number: called with what the Admin tab shows beside this laptop's name. Raises as ``pair``
    does, and TransportError("refused") where the admin did not want it.
    """
    async with trust.client() as http:
        while True:
            asked = _read(trust, await _post(trust, http, ASK, introduction), Asked)
            on_number(asked.number)
            try:
                return _read(trust, await _decision(trust, http, asked.ticket), Paired)
            except TransportError as error:
                if error.code != "ticket":  # the server does not wait any more: ask anew
                    raise


async def _decision(trust: Trust, http: httpx.AsyncClient, ticket: str) -> httpx.Response:
    """The first answer that says more than that nothing is decided yet."""
    headers, failures = {"Authorization": f"Bearer {ticket}"}, 0
    while True:
        await asyncio.sleep(_ASK_AGAIN_S)
        try:
            answer = await http.get(ASK, headers=headers, timeout=_PROBE_S)
        except httpx.HTTPError as error:
            failures += 1
            if failures >= _PATIENCE:
                raise unreachable(trust, error) from error
            continue
        if answer.status_code in _LATER and failures < _PATIENCE:
            failures += 1
        elif answer.status_code == 202:
            failures = 0
        else:
            return answer


async def _post(
    trust: Trust, http: httpx.AsyncClient, path: str, introduction: Introduction
) -> httpx.Response:
    try:
        return await http.post(
            path, content=introduction.model_dump_json(), timeout=_PROBE_S,
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
    except httpx.HTTPError as error:
        raise unreachable(trust, error) from error


def _read(trust: Trust, answer: httpx.Response, kind: type[M]) -> M:
    if answer.status_code == 200:
        try:
            return kind.model_validate_json(answer.content[:_MOST_ANSWER])
        except ValidationError as error:
            raise TransportError(
                "bad_answer",
                f"The server at {trust.server} answers in a way that this laptop does not know. "
                "Both need the same version of BabbleFish.",
            ) from error
    code, message = _reason(answer)
    if code in ("protocol", "other_version"):
        message = message or (
            f"The room server speaks another version than this laptop ({PROTOCOL_VERSION}). "
            "Update the older of the two."
        )
    elif answer.status_code in (404, 405) and code in ("", "not_found", "method", "http"):
        code = "too_old"
        message = (
            f"The server at {trust.server} knows no laptops: it is of an older version. "
            "Update the room server."
        )
    raise TransportError(
        code or "bad_answer",
        message or f"The server at {trust.server} refused this laptop ({answer.status_code}).",
    )


def _reason(answer: httpx.Response) -> tuple[str, str]:
    """Code and sentence of a refusal; empty where there are none."""
    with contextlib.suppress(ValueError, AttributeError):
        told = answer.json()
        told = told.get("error", told)
        if isinstance(told, dict):
            return str(told.get("code", ""))[:40], str(told.get("message", ""))[:500]
    return "", ""
