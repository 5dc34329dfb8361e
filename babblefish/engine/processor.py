"""What this processor can do, as far as numbers depend on it. Knows no networks."""

from __future__ import annotations

import functools
import platform
import re
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_EXACT = {"avx512_vnni", "avx_vnni"}


@functools.cache
def adds_bytes_exactly(cpu_info: Path = _CPU_INFO) -> bool:
    """Whether sums of products of 8-bit numbers cannot overflow in onnxruntime's kernels: those of
    x86 before VNNI add two products in 16 bits. What cannot be found out counts as no."""
    if platform.machine() in ("aarch64", "arm64"):
        return True
    try:
        found = re.search(r"^flags\s*:(.*)$", cpu_info.read_text(), re.MULTILINE)
    except OSError:
        return False
    return found is not None and not _EXACT.isdisjoint(found[1].split())
