"""Garbage of reference cycles, in a process that owes every phone a frame each 20 ms.

Python looks through everything that has survived for long only after 70,000 objects, or a quarter
of all there are, have come anew. That is thirty phones that have left, each with its megabytes
(connections and their peers refer to one another); and beside the 200,000 objects of imported
libraries each look takes a tenth of a second, in which no sound goes out.
"""

from __future__ import annotations

import gc

_OFTEN = 2
"""looks at what is of middle age for one at everything; Python's is 10"""


def settle() -> None:
    """What there is now stays for good and is not looked through any more; the rest more often.

    Call it when everything is loaded; takes some tenths of a second.
    """
    gc.collect()
    gc.freeze()
    youngest, middle, _ = gc.get_threshold()
    gc.set_threshold(youngest, middle, _OFTEN)
    gc.collect()  # counts from nothing
