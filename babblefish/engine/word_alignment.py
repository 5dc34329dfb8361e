"""Where in a clip each token of its text is said, from where a network looks for it.

Pure arithmetic, as in OpenAI's Whisper: attention is sharpened, averaged over heads that are known
to follow the speech, and a path through it is found that never goes back (dynamic time warping).
Knows no model, no text and no sound.
"""

from __future__ import annotations

import numpy as np

_MEDIAN = 7
"""steps of the filter that takes single outliers away"""


def token_edges(attention: np.ndarray) -> np.ndarray:
    """attention: float32 (heads, tokens + 1, steps), rows for each token and one for the end; steps
    of the clip alone. Returns the step in which each token begins, and the last one ends: int64
    (tokens + 1,), never falling; the first is 0."""
    sharp = attention - attention.mean(axis=1, keepdims=True)
    sharp /= attention.std(axis=1, keepdims=True) + 1e-9
    return _path(-_median(sharp).mean(axis=0))


def _median(values: np.ndarray) -> np.ndarray:
    """Of each ``_MEDIAN`` neighbours along the last axis; the edges are mirrored."""
    half = _MEDIAN // 2
    if values.shape[-1] <= half:
        return values
    padded = np.pad(values, [*[(0, 0)] * (values.ndim - 1), (half, half)], mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _MEDIAN, axis=-1)
    return np.partition(windows, half, axis=-1)[..., half]


def _path(cost: np.ndarray) -> np.ndarray:
    """The cheapest way from the first row and column of ``cost`` (rows, columns) to the last, one
    row, one column, or one of both further at a time → the column in which it enters each row."""
    rows, columns = cost.shape
    every = np.arange(columns)
    entered = np.empty((rows, columns), np.int64)
    """the column in which the best way to a place entered its row"""
    from_left = np.zeros((rows, columns), bool)
    """whether it came there from the column before"""
    before = np.full(columns, np.inf)
    for row in range(rows):
        # going on along a row adds up what it costs: the difference of two running sums
        total = np.cumsum(cost[row], dtype=np.float64)
        ahead = np.concatenate([[0.0], total[:-1]])
        if row == 0:
            arrived = np.where(every == 0, 0.0, np.inf)
        else:
            diagonal = np.concatenate([[np.inf], before[:-1]])
            from_left[row] = diagonal <= before
            arrived = np.minimum(diagonal, before)
        offers = arrived - ahead
        best = np.minimum.accumulate(offers)
        entered[row] = np.maximum.accumulate(np.where(offers == best, every, 0))
        before = best + total
    edges = np.empty(rows, np.int64)
    column = columns - 1
    for row in range(rows - 1, -1, -1):
        column = edges[row] = entered[row, column]
        column -= from_left[row, column]
    return edges
