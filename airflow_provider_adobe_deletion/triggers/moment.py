"""Waits for a moment in the wall clock's time, such as the reset of a quota."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_adobe_deletion.adobe.waiting import utc_now
from airflow_provider_adobe_deletion.triggers.deferral import dwell

_SLICE = 60.0


class AdobeMomentTrigger(BaseTrigger):
    """Fires once, at a moment, and passes on what the task needs to go on.

    :param moment: ISO 8601 with a zone. Being absolute, it holds whatever restarts happen.
    :param payload: what the event holds, as JSON-ready values: ids, counts, digests, times. Airflow stores and
        logs it as plain text.
    """

    def __init__(self, moment: str, payload: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moment = moment
        self.payload = payload

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            "airflow_provider_adobe_deletion.triggers.moment.AdobeMomentTrigger",
            {"moment": self.moment, "payload": self.payload},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        started, moment = time.monotonic(), datetime.fromisoformat(self.moment)
        # In slices, since the wall clock may be set, and a machine may sleep.
        while (remaining := (moment - utc_now()).total_seconds()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(remaining, _SLICE))
        await dwell(started)
        yield TriggerEvent(self.payload)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Log what the task has done so far, none of which this undoes."""
        self.log.info("No longer waiting for %s; at Adobe nothing was cancelled: %s.", self.moment, self.payload)
