"""When each word of a text was said, by where Whisper looks while it reads the text.

Works on what ``whisper.py`` has encoded. Attention tells where words follow one another, a voice
activity detector where nobody speaks between them. Finds out how much of a longer text a clip
holds, so that a long recording can be done clip by clip. Knows no queue and no process.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from faster_whisper.tokenizer import Tokenizer

from babblefish.engine import word_alignment, word_splitting
from babblefish.engine.stages import Alignment
from babblefish.engine.vad import FRAME
from babblefish.engine.whisper_model import Encoding, Reading, Tokens, WhisperModel
from babblefish.engine.word_splitting import Span
from babblefish.protocol import Word

STEP = 0.02
"""seconds for each step of an encoding"""
_FRAME_SECONDS = FRAME / 16_000
_VOICED = 0.35
_SHORTEST_PAUSE = 0.12
"""seconds without a voice that count as a pause"""
_NEAR = 0.35
"""seconds: a word that ends or begins so near to a pause does so where the pause does"""
_TAIL = 0.5
"""seconds: what is spoken for no longer than this before a pause belongs to the word before"""
_UNLIKELY = -9.0
"""logarithm of a probability; less says no more. What a transcript spells otherwise than Whisper
would is said nevertheless"""
_FAR = 2.2
"""between the 7 by which the next token is likelier than the end where it is said, and the 0 where
it is not (means of logarithms, measured on recorded speech)"""
_AHEAD = 0.06
"""seconds by which a decoder looks at the next word before it begins: measured on speech whose word
times are known (``tests/timed_speech.py``), and where recorded speech is quietest between words"""


def following_heads(folder: Path) -> tuple[tuple[int, int], ...]:
    """(layer, head) of the decoder's heads that follow the speech, as a model's config.json lists
    them; empty where it does not."""
    try:
        listed = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return tuple((int(layer), int(head)) for layer, head in listed["alignment_heads"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


@dataclass(frozen=True, slots=True)
class _Text:
    """A text and its tokens."""

    spans: list[Span]
    tokens: list[int]
    bytes_before: np.ndarray
    """int (tokens + 1,): bytes of the written text before each token"""
    place: np.ndarray
    """int (characters + 1,): how many bytes are written before each character of the text"""
    text: str
    spaced: bool
    """whether there is a space before the first word"""

    @classmethod
    def written(cls, text: str, tokenizer: Tokenizer, spaced: bool) -> _Text:
        """As Whisper writes it: where words have spaces between them, with one before the first."""
        lead = " " if spaced else ""
        tokens = tokenizer.encode(lead + text)
        lengths = [len(str(tokenizer.tokenizer.id_to_token(token) or "")) for token in tokens]
        widths = [len(character.encode()) for character in text]
        return cls(
            word_splitting.words(text), tokens, np.cumsum([0, *lengths]),
            len(lead) + np.cumsum([0, *widths]), text, spaced,
        )  # fmt: skip

    def cut(self, tokens: int) -> _Text:
        """Its words that end within so many tokens."""
        last = self.bytes_before[min(tokens, len(self.tokens))]
        spans = [span for span in self.spans if self.place[span.end] <= last]
        count = self.tokens_until(spans[-1]) if spans else 0
        return replace(
            self, spans=spans, tokens=self.tokens[:count],
            bytes_before=self.bytes_before[: count + 1],
        )  # fmt: skip

    def tokens_until(self, span: Span) -> int:
        """How many tokens it takes to write all up to the end of ``span``."""
        return int(np.searchsorted(self.bytes_before, self.place[span.end]))

    def begun(self, character: int) -> float:
        """Which token begins to write what is spoken from ``character`` on, its space included;
        between two numbers where that begins within a token."""
        space = self.spaced if character == 0 else self.text[character - 1] == " "
        return self._token(self.place[character] - space)

    def ended(self, character: int) -> float:
        """The same for where what is spoken before ``character`` ends."""
        return self._token(self.place[character])

    def _token(self, place: int) -> float:
        return float(np.interp(place, self.bytes_before, range(len(self.bytes_before))))


class WordTiming:
    """Not thread-safe."""

    def __init__(self, model: WhisperModel, which: Tokens) -> None:
        self._model, self._which = model, which

    def align(
        self, encode: Callable[[], Encoding], seconds: float, voiced: np.ndarray, text: str,
        tokenizer: Tokenizer, spaced: bool, most: int | None,
    ) -> Alignment:  # fmt: skip
        """encode: a clip of so many ``seconds``. voiced: float32 (frames,), how likely it is
        that somebody speaks in each FRAME. tokenizer: for the language of ``text``. most: only the
        beginning of the text is said, in so many tokens at most; None: all of it is.

        Finds nothing where nobody speaks. Raises WorkerError("superseded") when nobody waits for it
        any more.
        """
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        room = self._model.longest - len(prompt)
        written = _Text.written(text, tokenizer, spaced)
        if most is not None:
            written = written.cut(min(most, room))
        if not written.spans or len(written.tokens) > room or not (voiced >= _VOICED).any():
            return Alignment((), 0)
        reading = self._model.read(encode(), prompt, written.tokens, self._which)
        if most is not None:
            written = written.cut(_spoken(written, reading))
            if not written.spans:
                return Alignment((), 0)
        steps = max(1, min(round(seconds / STEP), reading.attention.shape[2]))
        rows = len(written.tokens) + 1
        edges = word_alignment.token_edges(reading.attention[:, :rows, :steps]) * STEP
        edges[1:] += _AHEAD
        starts = np.interp(
            [written.begun(span.spoken_start) for span in written.spans], range(rows), edges
        )
        ends = np.interp(
            [written.ended(span.spoken_end) for span in written.spans], range(rows), edges
        )
        starts, ends = at_pauses(starts, ends, pauses(voiced, seconds), seconds)
        words = tuple(
            Word(
                text[span.start : span.end], float(start), float(end), _sure(written, reading, span)
            )
            for span, start, end in zip(written.spans, starts, ends, strict=True)
        )
        used = written.spans[-1].end
        return Alignment(words, used + len(text[used:]) - len(text[used:].lstrip()))


def _spoken(written: _Text, reading: Reading) -> int:
    """How many tokens of ``written`` are said: as long as going on is far likelier than ending."""
    goes_on = np.maximum(reading.scores, _UNLIKELY).astype(np.float64)
    ends_here = np.maximum(reading.end_scores, _UNLIKELY)
    gained = goes_on - ends_here[:-1] - _FAR
    likely = np.concatenate([[0.0], np.cumsum(gained)]) + ends_here
    ends = [0, *(written.tokens_until(span) for span in written.spans)]
    return max(ends, key=likely.__getitem__)


def _sure(written: _Text, reading: Reading, span: Span) -> float:
    """Mean probability of the tokens that write a word, without its marks."""
    first = int(written.begun(span.spoken_start))
    last = int(np.ceil(written.ended(span.spoken_end)))
    return float(np.exp(reading.scores[first : max(last, first + 1)]).mean())


def pauses(voiced: np.ndarray, seconds: float) -> list[tuple[float, float]]:
    """Where nobody speaks, in seconds."""
    silent = np.concatenate([[False], voiced < _VOICED, [False]])
    changes = np.flatnonzero(np.diff(silent.astype(np.int8)))
    found = [
        (float(a * _FRAME_SECONDS), min(float(b * _FRAME_SECONDS), seconds))
        for a, b in zip(changes[::2], changes[1::2], strict=True)
    ]
    return [(a, b) for a, b in found if b - a >= _SHORTEST_PAUSE]


def at_pauses(
    starts: np.ndarray, ends: np.ndarray, silences: list[tuple[float, float]], seconds: float
) -> tuple[np.ndarray, np.ndarray]:
    """Words (n,) that begin and end nearly where nobody speaks do so exactly there; the last one
    before a pause lasts until then."""
    starts, ends = starts.copy(), ends.copy()
    last = len(starts) - 1
    for a, b in silences:
        for i in np.flatnonzero((starts < b) & (ends > a)):
            if starts[i] >= a - _NEAR and ends[i] >= b:
                if i and a > starts[i] >= ends[i - 1]:
                    ends[i - 1] = a
                starts[i] = b
            elif starts[i] < a and ends[i] <= b + _NEAR:
                if i < last and ends[i] > b:
                    starts[i + 1] = min(starts[i + 1], b)
                ends[i] = a
    for a in (*(a for a, _ in silences), seconds):
        i = int(np.searchsorted(ends, a)) - 1  # the last one that ends before the pause
        if i >= 0 and a - ends[i] < _TAIL and (i == last or starts[i + 1] >= a):
            ends[i] = a
    edges = np.stack([starts, ends], axis=1).ravel()
    edges = np.minimum(np.maximum.accumulate(edges), seconds).reshape(-1, 2)
    return edges[:, 0], edges[:, 1]
