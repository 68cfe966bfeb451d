"""Whether the kernel says that the machine's clock is kept in step: `adjtimex(2)`, which asks and changes nothing.

An NTP or PTP daemon tells the kernel that it steers the clock; when it stops, the kernel's error estimate grows and
within hours the kernel takes the mark back. Where there is no such call (another system, a sandbox that forbids it),
nobody can say.
"""

import ctypes

from greffier.core.clock import TimeSource

_TIMEX_BYTES = 512  # struct timex has 208; zeros in it ask to change nothing
_ERROR = 5  # TIME_ERROR: STA_UNSYNC, or a hardware fault


def time_source() -> TimeSource:
    """Ask the kernel; takes a microsecond."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return "unknown"
    if state < 0:
        return "unknown"
    return "unsynchronised" if state == _ERROR else "synchronised"
