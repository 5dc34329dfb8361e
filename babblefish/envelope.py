"""Events as JSON, and back: ``{"type": "<name>", ...fields}``, every field checked.

Knows what an event is made of from its dataclass in ``protocol.py``, and nothing that it means.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from typing import Any, Literal

from babblefish.errors import TransportError
from babblefish.protocol import ClientEvent, ServerEvent

_EVENTS: dict[str, type] = {
    cls.type: cls for cls in (*typing.get_args(ServerEvent), *typing.get_args(ClientEvent))
}

MAX_EVENT_BYTES = 4096
"""Longest client event accepted."""


def to_json(event: ServerEvent | ClientEvent) -> str:
    """One event as compact JSON text."""
    body = {"type": event.type, **dataclasses.asdict(event)}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def from_json(text: str | bytes) -> ServerEvent | ClientEvent:
    """Parse and check any event.

    Raises TransportError("bad_event") for malformed JSON, unknown types or fields, or a value
    of the wrong type.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TransportError("bad_event", "The event is not valid JSON.") from error
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise TransportError("bad_event", 'An event is a JSON object with a "type".')
    cls = _EVENTS.get(body.pop("type"))
    if cls is None:
        raise TransportError("bad_event", "Unknown event type.")
    return _build(cls, body)


def client_event(text: str | bytes) -> ClientEvent:
    """Parse an event that a phone may send; everything else raises TransportError."""
    if len(text) > MAX_EVENT_BYTES:
        raise TransportError("bad_event", f"An event is at most {MAX_EVENT_BYTES} bytes.")
    event = from_json(text)
    if not isinstance(event, ClientEvent):
        raise TransportError("bad_event", f'"{event.type}" is sent by the server only.')
    return event


def _build(cls: type, body: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    unknown = set(body) - set(fields)
    if unknown:
        raise TransportError("bad_event", f"Unknown field in {cls.__name__}.")
    values = {}
    for name, spec in fields.items():
        if name not in body:
            if spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
                raise TransportError("bad_event", f"{cls.__name__} needs {name}.")
            continue
        values[name] = _check(hints[name], body[name], f"{cls.__name__}.{name}")
    return cls(**values)


def _check(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is Literal:
        if value in typing.get_args(hint):
            return value
    elif origin in (typing.Union, types.UnionType):
        for option in typing.get_args(hint):
            if option is type(None) and value is None:
                return None
            if option is not type(None) and isinstance(value, option):
                return value
    elif origin is list:
        if isinstance(value, list):
            (item,) = typing.get_args(hint)
            return [_check(item, v, where) for v in value]
    elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
        if isinstance(value, dict):
            return _build(hint, value)
    elif hint is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if number and math.isfinite(value):
            return float(value)
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif isinstance(value, hint):
        return value
    raise TransportError("bad_event", f"{where} has the wrong type.")
