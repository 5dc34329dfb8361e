"""Every event survives the envelope; everything else is refused with a reason."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from babblefish import protocol
from babblefish.envelope import client_event, from_json, to_json
from babblefish.errors import TransportError
from babblefish.protocol import ClientEvent, ServerEvent

EVENTS = (*typing.get_args(ServerEvent), *typing.get_args(ClientEvent))
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.type)
@given(data=st.data())
def test_every_event_round_trips(cls, data):
    event = data.draw(st.builds(cls, **{
        name: _values(hint) for name, hint in typing.get_type_hints(cls).items()
        if name in {f.name for f in dataclasses.fields(cls)}
    }))  # fmt: skip
    assert from_json(to_json(event)) == event


def _values(hint):
    if hint is str:
        return _TEXT
    if hint is int:
        return st.integers(-(10**9), 10**9)
    if hint is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if typing.get_origin(hint) is list:
        return st.lists(st.builds(protocol.Person), max_size=3)
    return st.from_type(hint)


@pytest.mark.parametrize("text", [
    "", "{", "[]", "null", '"x"', '{"type":1}', '{"type":"nonsense"}', '{"type":"ping"}',
    '{"type":"ping","id":"1"}', '{"type":"ping","id":true}', '{"type":"ping","id":1,"x":2}',
    '{"type":"original_level","level":1e999}', '{"type":"original_level","level":NaN}',
    '{"type":"configure","name":5}', '{"type":"microphone","on":1}', "[" * 5000,
])  # fmt: skip
def test_malformed_events_are_refused(text):
    with pytest.raises(TransportError) as error:
        client_event(text)
    assert error.value.code == "bad_event"


def test_phones_cannot_send_server_events_or_very_long_ones():
    for text in (to_json(protocol.Closed("left")), to_json(protocol.Configure("x" * 5000))):
        with pytest.raises(TransportError):
            client_event(text)


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text):
    try:
        client_event(text)
    except TransportError as error:
        assert error.message


def test_messages_load_without_the_heavy_libraries():
    code = (
        "import sys, babblefish.envelope;"
        "print({'torch','gradio','fastrtc','onnxruntime','av'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
