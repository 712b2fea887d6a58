"""Waits until an organisation's quota has room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_adobe_deletion.adobe.errors import AdobeError
from airflow_provider_adobe_deletion.adobe.lookup import is_outage
from airflow_provider_adobe_deletion.adobe.waiting import utc_now
from airflow_provider_adobe_deletion.triggers.deferral import dwell, hook_for

ROOM = "room"
NEVER = "never"
TIMED_OUT = "timed_out"
REFUSED = "refused"


class AdobeQuotaTrigger(BaseTrigger):
    """Fires once some identities fit into today's and this month's quota, or the deadline has come.

    The event is ``{"outcome", "reason"}``; the reason holds counts, statuses and codes only.

    :param adobe_conn_id: the connection.
    :param identities: how many identities should fit.
    :param deadline: ISO 8601 with a zone; absolute, so a restarted triggerer does not prolong the wait.
    :param poll_interval: seconds between two looks.
    :param max_poll_failures: how many refused looks in a row are tolerated. Outages do not count.
    """

    def __init__(
        self, adobe_conn_id: str, identities: int, deadline: str, poll_interval: float, max_poll_failures: int = 10
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.adobe_conn_id = adobe_conn_id
        self.identities = identities
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.max_poll_failures = max_poll_failures

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, which Airflow stores as plain text."""
        return (
            "airflow_provider_adobe_deletion.triggers.quota.AdobeQuotaTrigger",
            {
                "adobe_conn_id": self.adobe_conn_id,
                "identities": self.identities,
                "deadline": self.deadline,
                "poll_interval": self.poll_interval,
                "max_poll_failures": self.max_poll_failures,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        started = time.monotonic()
        outcome, reason = await self._wait()
        await dwell(started)
        yield TriggerEvent({"outcome": outcome, "reason": reason})  # type: ignore[no-untyped-call]

    async def _wait(self) -> tuple[str, str]:
        hook, refusals = await hook_for(self.adobe_conn_id), 0
        deadline = datetime.fromisoformat(self.deadline)
        while True:
            try:
                async with hook.aclient() as client:
                    outcome, reason = await self._look(client)
                refusals = 0
            except (AdobeError, AirflowException) as error:
                await asyncio.to_thread(self.log.warning, "The quota cannot be looked up now: %s", error)
                outcome, reason = None, type(error).__name__
                refusals += not (isinstance(error, AdobeError) and is_outage(error))
                hook.forget_connection()
            if outcome is not None:
                return outcome, reason
            if refusals >= self.max_poll_failures:
                return REFUSED, reason
            remaining = (deadline - utc_now()).total_seconds()
            if remaining <= 0:
                return TIMED_OUT, reason
            await asyncio.sleep(min(self.poll_interval, remaining))

    async def _look(self, client: Any) -> tuple[str | None, str]:
        from airflow_provider_adobe_deletion.adobe import hygiene, quota

        lack = quota.shortage(await client.asend(hygiene.quota()), self.identities, utc_now())
        if lack is None:
            return ROOM, ""
        return (NEVER if lack.renewed_at is None else None), str(lack)
