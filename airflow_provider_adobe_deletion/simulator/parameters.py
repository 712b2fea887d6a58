"""Reading of query parameters and body fields; each service words its own refusal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def whole_number(text: str | None, default: int, least: int, most: int | None = None) -> int:
    """A number in decimal digits within bounds, ``default`` when absent; raises ``ValueError``."""
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("not a number")
    number = int(text)
    if number < least or (most is not None and number > most):
        raise ValueError("out of range")
    return number


def instant(text: str, *, end_of_day: bool = False) -> float:
    """ISO 8601 as seconds since the epoch, without a zone in UTC; raises ``ValueError``.

    A bare date is its midnight, or with ``end_of_day`` its last moment.
    """
    value = datetime.fromisoformat(text)
    value = value if value.tzinfo else value.replace(tzinfo=UTC)
    if end_of_day and len(text) == len("2024-01-31"):
        value += timedelta(days=1, microseconds=-1)
    return value.timestamp()
