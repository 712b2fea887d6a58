"""Decides what fits into an organisation's quota of identities, and when more will.

Adobe counts the identities of work orders per day and per month. The day begins anew at 00:00 GMT, the month at
00:00 GMT of the first. What Adobe does not say is unknown, and nothing is decided by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from airflow_provider_adobe_deletion.adobe.hygiene import Allowance, Quota, next_daily_reset, next_monthly_reset


@dataclass(frozen=True)
class Shortage:
    """Why some identities do not fit into the quota now.

    :param identities: how many should fit.
    :param quota: what Adobe said.
    :param renewed_at: when the quota in the way begins anew; ``None`` if all of it is too little.
    """

    identities: int
    quota: Quota
    renewed_at: datetime | None

    def __str__(self) -> str:
        return f"{self.identities:,} identities do not fit into Adobe's quota ({described(self.quota)})"


def shortage(quota: Quota, identities: int, now: datetime) -> Shortage | None:
    """Return why ``identities`` do not fit now, or ``None`` if they do, by all that is known."""
    if not _lacks(quota.monthly, identities) and not _lacks(quota.daily, identities):
        return None
    if any(allowance.limit is not None and allowance.limit < identities for allowance in (quota.daily, quota.monthly)):
        return Shortage(identities, quota, None)
    reset = next_monthly_reset if _lacks(quota.monthly, identities) else next_daily_reset
    return Shortage(identities, quota, reset(now))


def described(quota: Quota) -> str:
    """Say what is left, for messages."""
    return f"left today: {_left(quota.daily)}; left this month: {_left(quota.monthly)}"


def _lacks(allowance: Allowance, identities: int) -> bool:
    return allowance.left is not None and allowance.left < identities


def _left(allowance: Allowance) -> str:
    return "unknown" if allowance.left is None else f"{allowance.left:,} of {allowance.limit:,}"
