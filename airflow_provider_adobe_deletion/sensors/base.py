"""What all sensors for jobs at Adobe share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, BaseSensorOperator, conf

from airflow_provider_adobe_deletion import options, parameters
from airflow_provider_adobe_deletion.adobe.jobs import JobState
from airflow_provider_adobe_deletion.adobe.waiting import Outcome, WaitPlan, WaitResult, Watch, look, utc_now
from airflow_provider_adobe_deletion.outcome import DEFERRAL_GRACE, JOBS_XCOM, airflow_errors, check_outcome, understood
from airflow_provider_adobe_deletion.triggers.job import AdobeJobTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_adobe_deletion.adobe.jobs import JobRef


def given(kwargs: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """Return what the task, or else the DAG's ``default_args``, say of one of Airflow's own parameters."""
    value = kwargs.get(name, (kwargs.get("default_args") or {}).get(name))
    return default if value is None else value


class AdobeJobSensor(BaseSensorOperator):
    """Base of the sensors that wait for a job at Adobe. A sensor never cancels a job.

    A job that fails, or that somebody removes, fails the sensor without a retry. The normalised jobs are
    pushed as XCom ``jobs`` at the end. Note that ``soft_fail=True`` makes Airflow skip the task for every
    failure, also for one of the deletion.

    :param adobe_conn_id: the connection of type ``adobe`` (templated).
    :param deferrable: whether it waits in the triggerer. Default: ``[operators] default_deferrable``.
    :param max_poll_interval: when deferred, the longest interval between two looks, in seconds or as a
        timedelta; ``poke_interval`` is the shortest, and not more.
    :param max_poll_failures: how many refused looks in a row are tolerated. Outages are tolerated until
        the ``timeout``. In ``mode="reschedule"`` nothing is counted and the timeout alone ends the wait.
    """

    template_fields: Sequence[str] = ("adobe_conn_id",)
    default_timeout: ClassVar[timedelta] = timedelta(days=1)
    default_poke_interval: ClassVar[float] = 60.0
    default_max_poll_interval: ClassVar[float] = 900.0

    def __init__(
        self,
        *,
        adobe_conn_id: str = "adobe_default",
        deferrable: bool | None = None,
        max_poll_interval: float | timedelta | None = None,
        max_poll_failures: int = 10,
        **kwargs: Any,
    ) -> None:
        shortest, longest = parameters.intervals(
            given(kwargs, "poke_interval"),
            max_poll_interval,
            (self.default_poke_interval, self.default_max_poll_interval),
            "poke_interval",
        )
        timeout = parameters.seconds(given(kwargs, "timeout", self.default_timeout), "timeout")
        super().__init__(**{**kwargs, "poke_interval": shortest, "timeout": timeout})
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.adobe_conn_id = adobe_conn_id
        self.deferrable = parameters.flag(deferrable, "deferrable")
        self.max_poll_interval = longest
        self.max_poll_failures = parameters.count(max_poll_failures, "max_poll_failures")
        self._watch: Watch | None = None

    def refs(self) -> tuple[JobRef, ...]:
        """Return what to look at.

        :raises ValueError: an id cannot be one.
        :raises TypeError: an id is of the wrong type.
        """
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Poke, or look once and defer."""
        if not self.deferrable:
            return super().execute(context)
        from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook

        with airflow_errors():
            options.minimum_deferral()
            plan = self._plan(context)
            with AdobeHook(self.adobe_conn_id).client as client:
                result, place = client.run(look(plan)), client.config.place
        if result is not None:
            return self._finish(context, result)
        return self.defer(
            trigger=AdobeJobTrigger(self.adobe_conn_id, plan.to_dict(), place),
            method_name="execute_complete",
            timeout=plan.deadline - utc_now() + DEFERRAL_GRACE,
        )

    def poke(self, context: Context) -> bool:
        """Look once."""
        from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook

        with airflow_errors():
            if self._watch is None:
                self._watch = Watch(self._plan(context))
            with AdobeHook(self.adobe_conn_id).client as client:
                result = client.run(self._watch.look())
        if result is None or result.outcome is Outcome.TIMED_OUT:
            return False
        self._finish(context, result)
        return True

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """Turn the trigger's event into the result."""
        self._finish(context, understood(event))

    def _plan(self, context: Context) -> WaitPlan:
        started = context["ti"].start_date or utc_now()
        return WaitPlan(
            refs=self.refs(),
            submitted_at=started,
            deadline=started + timedelta(seconds=self.timeout),
            poll_interval=self.poke_interval,
            max_poll_interval=self.max_poll_interval,
            max_poll_failures=self.max_poll_failures,
        )

    def _finish(self, context: Context, result: WaitResult) -> None:
        context["ti"].xcom_push(key=JOBS_XCOM, value=[dict(job) for job in result.jobs])
        if result.outcome is Outcome.TIMED_OUT:
            waiting = ", ".join(job["id"] for job in result.jobs)
            raise AirflowSensorTimeout(f"Still not ended after {self.timeout:.0f} s: {waiting}.")
        if result.outcome is Outcome.FAILED:
            told = ", ".join(f"{job['id']} ({_said(job)})" for job in result.jobs)
            raise AirflowFailException(f"Did not succeed at Adobe: {told}.")
        check_outcome(result)
        self.ended(result.jobs)

    def ended(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """Say what came of the jobs that have succeeded."""


def _said(job: Mapping[str, Any]) -> str:
    gone = job.get("state") == JobState.GONE.value
    return "Adobe does not know it: removed, or never there" if gone else str(job.get("status"))
