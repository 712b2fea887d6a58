"""When requests may start: Adobe's rate limits, kept for all who use a credential in this process."""

from __future__ import annotations

import threading
import time
from collections import deque

_MOST_SPACING = 4.0
_NO_SPACING = 0.001


class Pacer:
    """Hands out the moments at which calls may start: at most ``calls`` in any ``period`` seconds."""

    def __init__(self, calls: int, period: float) -> None:
        self._period = period
        self._starts: deque[float] = deque(maxlen=calls)
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take the next moment and return how many seconds it is away."""
        with self._lock:
            now = time.monotonic()
            full = len(self._starts) == self._starts.maxlen
            start = max(now, self._starts[0] + self._period) if full else now
            self._starts.append(start)
            return start - now


class Brake:
    """Holds every call of a credential after a 429, and then lets them go one by one, ever faster."""

    def __init__(self) -> None:
        self._held_until = 0.0
        self._next = 0.0
        self._spacing = 0.0
        self._lock = threading.Lock()

    @property
    def held(self) -> float:
        """How many seconds no call may start."""
        return max(0.0, self._held_until - time.monotonic())

    def press(self, seconds: float) -> None:
        """Let no call start for some seconds, and make those that follow keep their distance; twice, when repeated."""
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + seconds)
            self._spacing = min(_MOST_SPACING, max(seconds / 20, 2 * self._spacing))

    def reserve(self) -> float:
        """Take the next moment and return how many seconds it is away."""
        with self._lock:
            now = time.monotonic()
            start = max(now, self._held_until, self._next)
            self._next = start + self._spacing
            self._spacing = self._spacing * 0.9 if self._spacing > _NO_SPACING else 0.0
            return start - now
