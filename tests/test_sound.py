"""Opus packets in order and out on time, without a network."""

from __future__ import annotations

import av
import numpy as np
import pytest

from babblefish.ui.sound import FRAME, RATE, SILENT_PACKET, Intake, OpusEncoder, Pace


def tone(frames: int, hertz: float = 440.0) -> np.ndarray:
    t = np.arange(frames * FRAME) / RATE
    return (8000 * np.sin(2 * np.pi * hertz * t)).astype(np.int16)


def packets(frames: int) -> list[bytes]:
    encoder, sound = OpusEncoder(), tone(frames)
    return [encoder.encode(sound[i * FRAME : (i + 1) * FRAME]) for i in range(frames)]


class Ear:
    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []
        self.intake = Intake(self.frames.append)

    def push(self, index: int, data: bytes, first: int = 0) -> None:
        self.intake.push((first + index) & 0xFFFF, (index * FRAME) & 0xFFFFFFFF, data)

    @property
    def seconds(self) -> float:
        return sum(map(len, self.frames)) / RATE


def test_packets_in_order_are_heard_at_once():
    ear = Ear()
    for i, packet in enumerate(packets(50)):
        ear.push(i, packet)
        assert len(ear.frames) == i + 1
    sound = np.concatenate(ear.frames)
    assert np.abs(np.fft.rfft(sound[-RATE // 2 :])).argmax() == 220


@pytest.mark.parametrize("first", [0, 65_530])
def test_swapped_packets_are_put_in_order(first):
    ear, sent = Ear(), packets(20)
    order = [0, 1, 3, 2, 4, 7, 5, 6, *range(8, 20)]
    for i in order:
        ear.push(i, sent[i], first)
    straight = Ear()
    for i in range(20):
        straight.push(i, sent[i], first)
    assert np.array_equal(np.concatenate(ear.frames), np.concatenate(straight.frames))
    assert ear.intake.lost == 0


def test_a_lost_packet_is_filled_and_adds_no_delay():
    ear, sent = Ear(), packets(50)
    for i in range(50):
        if i != 10:
            ear.push(i, sent[i])
    assert ear.seconds == pytest.approx(1.0)
    assert ear.intake.lost == 1


def test_a_late_or_doubled_packet_is_dropped():
    ear, sent = Ear(), packets(20)
    for i in range(20):
        ear.push(i, sent[i])
    before = len(ear.frames)
    ear.push(3, sent[3])
    ear.push(19, sent[19])
    assert len(ear.frames) == before


def test_a_new_numbering_starts_afresh():
    ear, sent = Ear(), packets(10)
    for i in range(10):
        ear.push(i, sent[i], first=100)
    for i in range(10):
        ear.intake.push(40_000 + i, 9_000_000 + i * FRAME, sent[i])
    assert len(ear.frames) == 20


def test_a_pause_in_transmission_keeps_the_time():
    ear, sent = Ear(), packets(2)
    ear.intake.push(1, 0, sent[0])
    ear.intake.push(2, 20 * FRAME, sent[1])
    assert ear.seconds == pytest.approx(21 * 0.02)


def test_broken_packets_are_harmless():
    ear = Ear()
    generator = np.random.default_rng(1)
    for i in range(200):
        ear.push(i, generator.bytes(int(generator.integers(0, 60))))
    ear.push(200, packets(1)[0])
    assert ear.frames


def test_silence_costs_nothing_and_is_silent():
    encoder = OpusEncoder()
    silence = np.zeros(FRAME, np.int16)
    assert encoder.encode(silence) is SILENT_PACKET
    encoder.encode(tone(1))
    settling = [encoder.encode(silence) for _ in range(20)]
    assert settling[0] is not SILENT_PACKET
    assert settling[-1] is SILENT_PACKET
    decoder = av.CodecContext.create("libopus", "r")
    decoder.format, decoder.layout, decoder.sample_rate = "s16", "mono", RATE
    (frame,) = decoder.decode(av.Packet(SILENT_PACKET))
    assert frame.samples == FRAME
    assert not frame.to_ndarray().any()


def test_the_pace_does_not_drift():
    pace, now = Pace(), 100.003
    start = None
    for i in range(5000):
        now += pace.wait(now)
        start = now if start is None else start
        assert now - start == pytest.approx(i * 0.02, abs=1e-6)
        now += 0.004


def test_a_delay_is_caught_up_without_a_burst():
    pace, now, sent = Pace(), 10.0, []
    for i in range(100):
        now += pace.wait(now)
        sent.append(now)
        now += 0.13 if i == 20 else 0.001
    gaps = np.diff(sent)[21:]
    assert gaps.min() >= 0.0099
    assert sent[-1] - sent[0] == pytest.approx(99 * 0.02, abs=0.001)


def test_a_long_delay_starts_a_new_schedule():
    pace, now, sent = Pace(), 10.0, []
    for i in range(50):
        now += pace.wait(now)
        sent.append(now)
        now += 3.0 if i == 20 else 0.001
    assert np.diff(sent)[21:].min() == pytest.approx(0.02, abs=0.001)
