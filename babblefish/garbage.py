"""Memory that nobody needs any more, in a process that owes every phone a frame each 20 ms.

Python looks through everything that has survived for long only after 70,000 objects, or a quarter
of all there are, have come anew. That is thirty phones that have left, each with its megabytes
(connections and their peers refer to one another); and beside the 200,000 objects of imported
libraries each look takes a tenth of a second, in which no sound goes out.

And what is free again, in many small pieces between what is kept, the C library gives back to the
system only if asked: each visitor would leave some more of it behind.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from concurrent.futures import ThreadPoolExecutor

_OFTEN = 2
"""looks at what is of middle age for one at everything; Python's is 10"""
_TRIM_S = 15.0
"""between two times at which free memory is given back, which takes 1–5 ms"""


def settle() -> None:
    """What there is now stays for good and is not looked through any more; the rest more often.

    Call it when everything is loaded; takes some tenths of a second.
    """
    gc.collect()
    gc.freeze()
    youngest, middle, _ = gc.get_threshold()
    gc.set_threshold(youngest, middle, _OFTEN)
    gc.collect()  # counts from nothing


async def give_back() -> None:
    """Free memory to the system, again and again; returns where the C library is not glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return
    loop = asyncio.get_running_loop()
    # of its own: sound is encoded in the loop's threads
    with ThreadPoolExecutor(1, thread_name_prefix="memory") as thread:
        while True:
            await asyncio.sleep(_TRIM_S)
            await loop.run_in_executor(thread, trim, ctypes.c_size_t(0))
