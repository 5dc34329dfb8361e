"""A form with one file (multipart/form-data), taken apart as it arrives.

Fields are kept, within bounds; the file's bytes are handed on, and kept nowhere. Knows no requests.
"""

from __future__ import annotations

from collections.abc import Callable

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from babblefish.errors import TransportError

FILE = "file"
"""name of the file's field"""
_MOST_PARTS = 200
_MOST_FIELD_BYTES = 64_000
"""of all fields together, names included"""


class FormReader:
    """``feed`` each chunk of the body, then ``finish``; ``fields`` fill up meanwhile."""

    def __init__(self, boundary: bytes, file_data: Callable[[bytes], None]) -> None:
        """file_data gets the file's bytes in order. Raises TransportError("bad_form")."""
        self.fields: dict[str, list[str]] = {}
        self.file_seen = False
        self._file_data = file_data
        self._headers: dict[bytes, bytes] = {}
        self._header, self._content = bytearray(), bytearray()
        self._value = bytearray()
        self._name, self._in_file = "", False
        self._parts = self._bytes = 0
        self._complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                    "on_end": self._all,
                },
            )
        except FormParserError as error:
            raise _bad("The boundary of the form is too long.") from error

    def feed(self, chunk: bytes) -> None:
        """Raises TransportError("bad_form") for what is no form, or one with too much in it."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _bad("The body is not what its Content-Type says: a form.") from error

    def finish(self) -> None:
        """Everything arrived. Raises TransportError("bad_form") where the end is missing."""
        if not self._complete:
            raise _bad("The end of the form is missing.")

    def _begin(self) -> None:
        self._headers = {}
        self._value = bytearray()
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise _bad(f"The form has more than {_MOST_PARTS} fields.")

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def _header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._content)
        self._header, self._content = bytearray(), bytearray()

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" not in options:
            raise _bad("A field of the form has no name.")
        self._name = _text(options[b"name"])
        self._in_file = b"filename" in options or self._name == FILE
        if not self._in_file:
            self._count(len(self._name))
            return
        if self.file_seen or self._name != FILE:
            raise _bad(f"Send one file, in the field “{FILE}”.")
        self.file_seen = True

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._file_data(data[start:end])
            return
        self._count(end - start)
        self._value += data[start:end]

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > _MOST_FIELD_BYTES:
            raise _bad(f"The fields of the form are longer than {_MOST_FIELD_BYTES} bytes.")

    def _end(self) -> None:
        if not self._in_file:
            self.fields.setdefault(self._name, []).append(_text(bytes(self._value)))

    def _all(self) -> None:
        self._complete = True


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _bad("The fields of the form must be UTF-8.") from error


def _bad(message: str) -> TransportError:
    return TransportError("bad_form", message)
