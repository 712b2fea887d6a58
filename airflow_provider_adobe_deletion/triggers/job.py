"""The trigger that waits for jobs of any kind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_adobe_deletion.adobe.errors import AdobeConfigError
from airflow_provider_adobe_deletion.adobe.waiting import Outcome, WaitPlan, WaitResult, Watch, utc_now
from airflow_provider_adobe_deletion.task_state import ENDED, current_state
from airflow_provider_adobe_deletion.triggers.deferral import dwell, hook_for

_removals: set[asyncio.Task[None]] = set()


class AdobeJobTrigger(BaseTrigger):
    """Waits for one or many jobs until all have ended or the deadline has come, and fires once.

    The event holds ids, states, counts and times only, because Airflow logs events whole. The deadline is
    absolute, so a restarted triggerer does not prolong the wait. It does not fire in its first seconds
    (option ``[adobe_deletion] minimum_deferral``), since Airflow can then fail the task by mistake.

    :param adobe_conn_id: the connection.
    :param plan: a :class:`~airflow_provider_adobe_deletion.adobe.waiting.WaitPlan`, as JSON-ready values.
    :param place: the organisation, sandbox and company that the jobs are in, by the connection's field names.
    :param remove_on_kill: whether to remove the Profile jobs when somebody ends the task by hand. Airflow
        calls ``on_kill`` also when nobody did, so it is done only for a task that has ended before its
        deadline, and for a job that has not.
    """

    def __init__(
        self,
        adobe_conn_id: str,
        plan: dict[str, Any],
        place: dict[str, str] | None = None,
        remove_on_kill: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.adobe_conn_id = adobe_conn_id
        self.plan = plan
        self.place = place or {}
        self.remove_on_kill = remove_on_kill

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, which Airflow stores as plain text."""
        return (
            "airflow_provider_adobe_deletion.triggers.job.AdobeJobTrigger",
            {
                "adobe_conn_id": self.adobe_conn_id,
                "plan": self.plan,
                "place": self.place,
                "remove_on_kill": self.remove_on_kill,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        started = time.monotonic()
        result = await self._wait(WaitPlan.from_dict(self.plan))
        await dwell(started)
        yield TriggerEvent(result.to_event())  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Leave the jobs alone and log them, or remove them where that was asked for."""
        if not self.remove_on_kill:
            self.log.info("No longer waiting; at Adobe nothing was cancelled: %s.", self._ids)
            return
        removal = asyncio.ensure_future(self._remove())
        _removals.add(removal)
        removal.add_done_callback(_removals.discard)
        # The triggerer cancels this coroutine after about a second; the removal goes on.
        await asyncio.shield(removal)

    @property
    def _ids(self) -> str:
        return ", ".join(ref.id for ref in WaitPlan.from_dict(self.plan).refs)

    async def _wait(self, plan: WaitPlan) -> WaitResult:
        hook = await hook_for(self.adobe_conn_id)
        watch, unusable = Watch(plan), 0
        while True:
            try:
                async with hook.aclient(self.place) as client:
                    result = await client.arun(watch.run())
            except (AdobeConfigError, AirflowException) as error:
                unusable += 1
                await asyncio.to_thread(
                    self.log.warning, "Connection %s cannot be used now: %s", self.adobe_conn_id, error
                )
                if unusable >= plan.max_poll_failures or utc_now() >= plan.deadline:
                    return WaitResult(Outcome.REFUSED, tuple(ref.to_dict() for ref in plan.refs), str(error)[:200])
                left = max(0.0, (plan.deadline - utc_now()).total_seconds())
                await asyncio.sleep(min(plan.interval(utc_now()), left))
            else:
                if result is not None:
                    return result
            # Somebody may be changing the connection, or have rotated its credential.
            hook.forget_connection()

    async def _remove(self) -> None:
        from airflow_provider_adobe_deletion.adobe import profile

        try:
            state = await asyncio.to_thread(current_state, self.task_instance)
        except Exception as error:
            self.log.warning("The task's state is unknown (%s), so %s stays.", type(error).__name__, self._ids)
            return
        if state not in ENDED:
            self.log.info("The task is %s, so at Adobe nothing is removed: %s.", state, self._ids)
            return
        plan = WaitPlan.from_dict(self.plan)
        if utc_now() >= plan.deadline:
            self.log.info("The wait was over by itself, so at Adobe nothing is removed: %s.", self._ids)
            return
        hook = await hook_for(self.adobe_conn_id)
        async with hook.aclient(self.place) as client:
            for ref in plan.refs:
                removed = await client.arun(profile.remove_active(ref.id))
                self.log.info("Profile job %s %s.", ref.id, "was removed" if removed else "had ended")
