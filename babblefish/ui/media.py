"""Audio files in and out, in constant memory.

Reads whatever ffmpeg's libraries read; writes mono WAV on a timeline. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import soundfile
from av.error import FFmpegError

from babblefish.audio import StreamResampler, to_float32, to_int16
from babblefish.errors import AudioError


class AudioReader:
    """The first audio stream of a file, as mono float32 at ``rate`` Hertz."""

    def __init__(self, path: Path, rate: int) -> None:
        """Raises AudioError("file_missing" | "file_unreadable" | "no_audio")."""
        self.rate = rate
        if not path.is_file():
            raise AudioError("file_missing", f"There is no file {path}.")
        try:
            self._container = av.open(str(path))
        except (FFmpegError, ValueError, OSError) as error:
            raise AudioError(
                "file_unreadable",
                f"{path.name} cannot be read as audio. Use a format that ffmpeg knows.",
            ) from error
        if not self._container.streams.audio:
            self._container.close()
            raise AudioError("no_audio", f"{path.name} has no audio track.")
        self._stream = self._container.streams.audio[0]

    @property
    def seconds(self) -> float | None:
        """Length according to the file's header, None when it does not say."""
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        if self._container.duration is not None:
            return self._container.duration / av.time_base
        return None

    def chunks(self) -> Iterator[np.ndarray]:
        """(n,) float32 pieces. Raises AudioError("file_broken") where decoding fails before
        anything was decoded; a file that breaks off later just ends."""
        some = False
        for piece in resampled(self._frames(), self.rate, _mono):
            some = True
            yield piece
        if not some:
            raise AudioError("empty_audio", "The file holds no sound.")

    def _frames(self) -> Iterator[av.AudioFrame]:
        some = False
        try:
            for frame in self._container.decode(self._stream):
                some = True
                yield frame
        except FFmpegError as error:
            if not some:
                raise AudioError("file_broken", "The audio in this file is damaged.") from error

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self._container.close()


class TimelineWriter:
    """A mono 16-bit WAV to which sound is added in order of time, with silence between."""

    def __init__(self, path: Path, rate: int) -> None:
        self._rate = rate
        self._position = 0
        self._file = soundfile.SoundFile(path, "w", rate, 1, subtype="PCM_16", format="WAV")

    def add(self, start: float, samples: np.ndarray) -> None:
        """float32 (n,) at ``start`` seconds, or right after what is there if that is later."""
        self._silence_until(round(start * self._rate))
        self._file.write(to_int16(samples))
        self._position += len(samples)

    def close(self, seconds: float) -> None:
        """Pad with silence to ``seconds`` and close."""
        self._silence_until(round(seconds * self._rate))
        self._file.close()

    def _silence_until(self, position: int) -> None:
        while self._position < position:
            count = min(position - self._position, 10 * self._rate)
            self._file.write(np.zeros(count, np.int16))
            self._position += count


def resampled(
    frames: Iterable[av.AudioFrame], rate: int, mono: Callable[[av.AudioFrame], np.ndarray]
) -> Iterator[np.ndarray]:
    """Decoded frames as float32 (n,) pieces at ``rate`` Hertz; none of none. Their own rate may
    change on the way. mono: a frame's values as float32 (n,)."""
    resampler, source = None, 0
    for frame in frames:
        if resampler is None or frame.sample_rate != source:
            if resampler is not None:
                yield resampler.push(np.zeros(0, np.float32), last=True)
            source = frame.sample_rate
            resampler = StreamResampler(source, rate)
        yield resampler.push(mono(frame))
    if resampler is not None:
        yield resampler.push(np.zeros(0, np.float32), last=True)


def frame_samples(frame: av.AudioFrame) -> np.ndarray:
    """A decoded frame's values, (channels, n) of a type that ``audio.to_float32`` takes."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.int16) - 128) * 256
    return samples


def _mono(frame: av.AudioFrame) -> np.ndarray:
    """Finite float32 (n,) in [-1, 1], whatever the frame's format and channels."""
    return np.nan_to_num(to_float32(frame_samples(frame))).clip(-1.0, 1.0)
