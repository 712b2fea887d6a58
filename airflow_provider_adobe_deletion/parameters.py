"""Checks of the parameters that operators and sensors share. Cheap to import: DAG files run this."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import timedelta

# Far more than anybody waits for, and far less than the calendar has.
_LONGEST = timedelta(days=36_500)
_MOST = 1_000_000_000
# Airflow's own rule. It allows dots and slashes, but the id becomes part of a path where it is looked up.
_CONNECTION_ID = re.compile(r"(?!.*\.\.)[\w#!()\-.:/\\]{1,250}")


def seconds(value: object, name: str) -> float:
    """Return a duration in seconds.

    :param value: seconds, or a ``timedelta``.
    :raises TypeError: it is neither.
    :raises ValueError: it is not positive, not finite, or more than a hundred years.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds or a timedelta, not {type(value).__name__}.")
    if not 0 < value <= _LONGEST.total_seconds():
        raise ValueError(f"{name} must be a positive, finite time of at most {_LONGEST.days:,} days.")
    return float(value)


def intervals(
    shortest: object, longest: object, defaults: tuple[float, float], name: str = "poll_interval"
) -> tuple[float, float]:
    """Return the shortest and the longest interval between two looks, in seconds.

    :param shortest: seconds, a ``timedelta``, or ``None``.
    :param longest: likewise.
    :param defaults: for what is ``None``; a default gives way to the other one where that is given.
    :param name: the name of the shortest; the longest is ``max_poll_interval``.
    :raises TypeError: one is of the wrong type.
    :raises ValueError: one is not a time as :func:`seconds` has it, or the longest is less than the shortest.
    """
    low = None if shortest is None else seconds(shortest, name)
    high = None if longest is None else seconds(longest, "max_poll_interval")
    if low is not None and high is not None and high < low:
        raise ValueError(f"max_poll_interval ({high:g} s) must not be less than {name} ({low:g} s).")
    if low is None:
        low = min(defaults[0], high or defaults[0])
    return low, max(defaults[1], low) if high is None else high


def flag(value: object, name: str) -> bool:
    """Return a boolean.

    :raises TypeError: it is not one. ``"False"`` is not one either.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {type(value).__name__}.")
    return value


def count(value: object, name: str, least: int = 1, most: int = _MOST) -> int:
    """Return a whole number.

    :raises TypeError: it is not a whole number.
    :raises ValueError: it is out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__}.")
    if not least <= value <= most:
        raise ValueError(f"{name} must be {least:,} to {most:,}.")
    return value


def rendered_count(value: object, name: str, least: int = 1, most: int = _MOST) -> int:
    """Return a whole number, which a template may have rendered to text; otherwise as :func:`count`."""
    if not isinstance(value, str):
        return count(value, name, least, most)
    digits = value.strip()
    # Python converts no text of thousands of digits.
    if not digits.isascii() or not digits.isdecimal() or len(digits) > len(str(most)):
        raise ValueError(f"{name} must be a whole number, {least:,} to {most:,}.")
    return count(int(digits), name, least, most)


def choice(value: object, name: str, allowed: Collection[str]) -> str:
    """Return one of some words.

    :raises ValueError: it is none of them.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be {' or '.join(repr(word) for word in allowed)}.")
    return value


def text(value: object, name: str, limit: int = 255) -> str:
    """Return a text of at most ``limit`` printable characters.

    :raises TypeError: it is not a text.
    :raises ValueError: it is empty, too long, or holds control characters.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, not {type(value).__name__}.")
    if not value.strip() or len(value) > limit or not value.isprintable():
        raise ValueError(f"{name} must be 1 to {limit} printable characters.")
    return value


def optional_text(value: object, name: str, limit: int = 255) -> str | None:
    """Return ``None``, or a text as :func:`text` has it."""
    return None if value is None else text(value, name, limit)


def connection_id(value: object) -> str:
    """Return the id of an Airflow connection, the parameter ``adobe_conn_id``.

    :raises TypeError: it is not a text.
    :raises ValueError: it cannot be one.
    """
    if not isinstance(value, str):
        raise TypeError(f"adobe_conn_id must be the id of an Airflow connection, not {type(value).__name__}.")
    if not _CONNECTION_ID.fullmatch(value):
        raise ValueError(
            "adobe_conn_id must be the id of an Airflow connection: 1 to 250 letters, digits or # ! ( ) - _ . : / \\, "
            "and no two dots in a row."
        )
    return value
