"""UUIDv7: identifiers that sort by the time they were made (RFC 9562, section 5.7)."""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last = 0


def uuid7() -> UUID:
    """Return a UUIDv7, strictly increasing within this process.

    Layout: 48 bits of Unix milliseconds, 12 bits of sub-millisecond counter (RFC 9562 method 3),
    62 random bits. The process-wide floor keeps ids ordered when the clock stands still or steps back.
    """
    global _last
    nanoseconds = time.time_ns()
    ticks = (nanoseconds // 1_000_000 << 12) | (nanoseconds % 1_000_000 << 12) // 1_000_000
    with _lock:
        ticks = _last = ticks if ticks > _last else _last + 1
    value = (ticks >> 12 & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64
    return UUID(int=value | 0b10 << 62 | int.from_bytes(os.urandom(8)) >> 2)
