"""Checks of the parameters that operators and sensors share. Cheap to import: DAG files run this."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import timedelta


def seconds(value: object, name: str) -> float:
    """Return a duration in seconds.

    :param value: seconds, or a ``timedelta``.
    :raises TypeError: it is neither.
    :raises ValueError: it is not positive, or not finite.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds or a timedelta, not {type(value).__name__}.")
    if not math.isfinite(value) or value <= 0 or value > timedelta.max.total_seconds() / 1000:
        raise ValueError(f"{name} must be a positive, finite time.")
    return float(value)


def flag(value: object, name: str) -> bool:
    """Return a boolean.

    :raises TypeError: it is not one. ``"False"`` is not one either.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {type(value).__name__}.")
    return value


def count(value: object, name: str) -> int:
    """Return a whole number of at least one.

    :raises TypeError: it is not a whole number.
    :raises ValueError: it is less than one.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__}.")
    if not 1 <= value <= 1_000_000_000:
        raise ValueError(f"{name} must be at least 1.")
    return value


def choice(value: object, name: str, allowed: Collection[str]) -> str:
    """Return one of some words.

    :raises ValueError: it is none of them.
    """
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be {' or '.join(repr(word) for word in allowed)}.")
    return value


def optional_text(value: object, name: str, limit: int = 255) -> str | None:
    """Return a text of at most ``limit`` printable characters, or ``None``.

    :raises TypeError: it is neither a text nor ``None``.
    :raises ValueError: it is empty, too long, or holds control characters.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, not {type(value).__name__}.")
    if not value.strip() or len(value) > limit or not value.isprintable():
        raise ValueError(f"{name} must be 1 to {limit} printable characters.")
    return value
