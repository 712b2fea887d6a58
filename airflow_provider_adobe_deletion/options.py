"""The provider's options: section ``[adobe_deletion]`` of Airflow's configuration."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import conf

MINIMUM_DEFERRAL = 10.0
"""The default of ``minimum_deferral``."""

_SETTLE_TIME = 180.0
_LONGEST_SETTLE_TIME = 86_400.0
_LONGEST_DEFERRAL = 3_600.0


def settle_time() -> float:
    """Return how many seconds after an attempt with unknown outcome its job can count as never created.

    :raises ValueError: it is not a number, not positive, or more than a day.
    """
    seconds = _number("settle_time", _SETTLE_TIME)
    if seconds is None or not 0 < seconds <= _LONGEST_SETTLE_TIME:
        raise _wrong("settle_time", "more than 0", _LONGEST_SETTLE_TIME)
    return seconds


def minimum_deferral() -> float:
    """Return how many seconds a trigger does not fire at the least.

    :raises ValueError: it is not a number, negative, or more than an hour.
    """
    seconds = _number("minimum_deferral", MINIMUM_DEFERRAL)
    if seconds is None or not 0 <= seconds <= _LONGEST_DEFERRAL:
        raise _wrong("minimum_deferral", "at least 0", _LONGEST_DEFERRAL)
    return seconds


def check() -> None:
    """Refuse options that cannot be right, before a request is sent that they are needed for.

    :raises ValueError: an option cannot be right.
    """
    settle_time()
    minimum_deferral()


def _number(name: str, default: float) -> float | None:
    try:
        return float(conf.get("adobe_deletion", name, fallback=str(default)))
    except (TypeError, ValueError):
        return None


def _wrong(name: str, least: str, most: float) -> ValueError:
    return ValueError(
        f"The option [adobe_deletion] {name} must be a number of seconds, {least} and at most {most:,.0f}."
    )
