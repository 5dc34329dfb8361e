"""Reads the weights out of a CTranslate2 model file.

The file (binary version 6) is a list of named arrays behind a short head; CTranslate2 itself offers
no way to look at them from Python. Knows no model.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import numpy as np

_VERSION = 6
_TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)


def read(path: Path) -> dict[str, np.ndarray]:
    """Name → array, aliases included. The arrays are read from the file when they are used.

    Raises ValueError for what is no such file, OSError where it cannot be read.
    """
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return _Reader(data).arrays()
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise ValueError(f"{path} is damaged.") from error


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0

    def arrays(self) -> dict[str, np.ndarray]:
        if self._number("<I") != _VERSION:
            raise ValueError("This is no CTranslate2 model of a version that is known here.")
        self._text()  # what it is a model of
        self._number("<I")  # revision of that
        found = dict(self._array() for _ in range(self._number("<I")))
        for _ in range(self._number("<I")):
            alias, name = self._text(), self._text()
            if name not in found:
                raise ValueError("An alias names weights that are missing.")
            found[alias] = found[name]
        return found

    def _array(self) -> tuple[str, np.ndarray]:
        name = self._text()
        shape = [self._number("<I") for _ in range(self._number("<B"))]
        kind = np.dtype(_TYPES[self._number("<B")])
        size = self._number("<I")
        if size != kind.itemsize * int(np.prod(shape, dtype=np.int64)):
            raise ValueError(f"{name} has another size than its shape says.")
        array = np.frombuffer(self._data, kind, size // kind.itemsize, self._at).reshape(shape)
        self._at += size
        return name, array

    def _text(self) -> str:
        size = self._number("<H")
        text = self._data[self._at : self._at + size]
        self._at += size
        return text.rstrip(b"\0").decode("utf-8")

    def _number(self, kind: str) -> int:
        (value,) = struct.unpack_from(kind, self._data, self._at)
        self._at += struct.calcsize(kind)
        return value
