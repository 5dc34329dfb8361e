"""How long a translation may wait for the speaker's own voice before it is said in a neutral one.

Waiting costs nothing while those who listen still hear what was said before. Beyond that, a longer
sentence is worth a little more delay, those who are behind already are worth none, and what is not
expected in time is not waited for at all. Pure numbers.
"""

from __future__ import annotations

_SHORT_S, _PER_SECOND, _MOST_S = 0.5, 0.15, 1.2
"""seconds of silence that the own voice is worth: of the shortest sentence, more for each second of
speech, of the longest"""
_BEHIND_S = 4.0
"""who is so far behind, or further, is not kept waiting"""
_USUALLY = 2.5
"""times what is expected: what has not come by then is late"""
_LEAST_S = 0.4


def patience(expected: float | None, seconds: float, free: float, behind: float) -> float:
    """Seconds, 0.0: do not wait.

    expected: until the first clause in the own voice would be there; None: it would not. seconds:
    of speech, all of it. free: until the first listener has heard what comes before. behind: by how
    much the last one is.
    """
    hurry = min(1.0, max(0.0, behind / _BEHIND_S))
    worth = min(_MOST_S, _SHORT_S + _PER_SECOND * seconds) * (1.0 - hurry)
    most = free + worth
    if expected is None or expected > most:
        return 0.0
    return max(free, min(most, max(_LEAST_S, _USUALLY * expected)))
