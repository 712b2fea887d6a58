"""The life that all deletions share: validate, submit once, wait, return the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator, conf

from airflow_provider_adobe_deletion import options, parameters
from airflow_provider_adobe_deletion.adobe.waiting import WaitPlan, WaitResult, look, utc_now, wait
from airflow_provider_adobe_deletion.outcome import DEFERRAL_GRACE, JOBS_XCOM, airflow_errors, check_outcome, understood
from airflow_provider_adobe_deletion.submission import (
    ADOPT,
    FAIL,
    RESUBMIT,
    Blocked,
    Submission,
    Submitted,
    Work,
)
from airflow_provider_adobe_deletion.submission_record import Record, Records, SubmissionError
from airflow_provider_adobe_deletion.task_state import identity, state_store, tell_if_stateless
from airflow_provider_adobe_deletion.triggers.job import AdobeJobTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_adobe_deletion.adobe.client import AdobeClient
    from airflow_provider_adobe_deletion.adobe.config import AdobeConfig


class AdobeDeletionOperator(BaseOperator):
    """Base of the operators that create a job at Adobe and wait for it.

    A task never submits what it has submitted already: before it posts, it looks for the job of its own
    earlier tries, in Airflow's task state (3.3 and later) and in Adobe's lists. A failure that a retry
    cannot cure fails the task without one. Killing the task does not cancel the job.

    The normalised jobs are pushed as XCom ``jobs`` as soon as they are submitted, and again at the end.

    :param adobe_conn_id: the connection of type ``adobe`` (templated).
    :param wait_for_completion: whether the task ends only when the job has.
    :param deferrable: whether it waits in the triggerer. Default: ``[operators] default_deferrable``.
    :param poll_interval: the shortest interval between two looks, in seconds or as a timedelta. The
        interval grows with the job's age.
    :param max_poll_interval: the longest interval, likewise; not less than ``poll_interval``.
    :param completion_timeout: how long the job may take, in seconds or as a timedelta. It counts from the
        submission, whatever retries and restarts happen. Default: the operator's ``default_timeout``.
    :param max_poll_failures: how many refused looks in a row are tolerated while waiting. Outages are
        tolerated until the timeout.
    :param on_ambiguous: when it is unknown whether a request took effect and its job stays absent from
        Adobe's lists for the settle time (option ``[adobe_deletion] settle_time``): ``resubmit``, or
        ``fail`` and leave it to a person.
    :param on_clear: what a cleared task does about its earlier job: ``adopt`` waits for it if it runs and
        returns it if it succeeded; ``resubmit`` submits a new one once the earlier one has ended.
    :param submission_key: part of the submission's identity; change it to submit once more (templated).
    :raises ValueError: a parameter cannot be right.
    :raises TypeError: a parameter is of the wrong type.
    """

    template_fields: Sequence[str] = ("adobe_conn_id", "submission_key")
    resubmit_failed: bool = True
    default_timeout: ClassVar[timedelta] = timedelta(days=1)
    default_poll_interval: ClassVar[float] = 60.0
    default_max_poll_interval: ClassVar[float] = 900.0

    def __init__(
        self,
        *,
        adobe_conn_id: str = "adobe_default",
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: float | timedelta | None = None,
        max_poll_interval: float | timedelta | None = None,
        completion_timeout: float | timedelta | None = None,
        max_poll_failures: int = 10,
        on_ambiguous: str = RESUBMIT,
        on_clear: str = ADOPT,
        submission_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.adobe_conn_id = adobe_conn_id
        self.wait_for_completion = parameters.flag(wait_for_completion, "wait_for_completion")
        self.deferrable = parameters.flag(deferrable, "deferrable")
        self.poll_interval, self.max_poll_interval = parameters.intervals(
            poll_interval, max_poll_interval, (self.default_poll_interval, self.default_max_poll_interval)
        )
        self.completion_timeout = parameters.seconds(
            self.default_timeout if completion_timeout is None else completion_timeout, "completion_timeout"
        )
        self.max_poll_failures = parameters.count(max_poll_failures, "max_poll_failures")
        self.on_ambiguous = parameters.choice(on_ambiguous, "on_ambiguous", (RESUBMIT, FAIL))
        self.on_clear = parameters.choice(on_clear, "on_clear", (ADOPT, RESUBMIT))
        self.submission_key = submission_key
        self._waiting_for: tuple[str, ...] = ()
        self._context: Context | None = None

    def check(self) -> None:
        """Refuse what can be known to be wrong without Adobe.

        :raises ValueError: a parameter cannot be right.
        :raises TypeError: a parameter is of the wrong type.
        """
        parameters.optional_text(self.submission_key, "submission_key")
        options.check()

    def work(self, config: AdobeConfig) -> Work:
        """Return what is to be submitted."""
        raise NotImplementedError

    def result(self, jobs: Sequence[Mapping[str, Any]]) -> Any:
        """Return the task's return value, made from the jobs' summaries."""
        return jobs[0]["id"]

    def execute(self, context: Context) -> Any:
        """Submit, unless an earlier try has; then wait, defer, or return."""
        tell_if_stateless(context)
        return self._run(context)

    def _run(self, context: Context) -> Any:
        """Do what :meth:`execute` does; Airflow objects to a resumed task that calls that."""
        from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook

        self._context = context
        with airflow_errors():
            try:
                self.check()
            except (ValueError, TypeError, SubmissionError):
                self._tell_of_earlier_job(context)
                raise
            with AdobeHook(self.adobe_conn_id).client as client:
                try:
                    submitted = self._submit(context, client)
                except Blocked as blocked:
                    return self._wait_first(context, client, blocked)
                return self._wait(context, client, submitted)

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Turn the trigger's event into the result."""
        return self._finish(context, understood(event))

    def execute_again(self, context: Context, event: Any = None) -> Any:
        """Go on once the job has ended that had to end first, however it ended."""
        result = understood(event)
        if any(job.get("state") not in ("succeeded", "failed", "gone") for job in result.jobs):
            raise AirflowFailException(
                f"Job {result.jobs[0]['id']}, which must end first, has not ended within completion_timeout, or could "
                "not be looked up. Nothing of this task's was submitted; clear the task to try again."
            )
        return self._run(context)

    def on_kill(self) -> None:
        """Leave the jobs alone, and say which ones go on."""
        if self._waiting_for:
            self.log.warning(
                "The task was killed; at Adobe these go on: %s. A retry waits for them.", ", ".join(self._waiting_for)
            )

    def _submit(self, context: Context, client: AdobeClient) -> list[Submitted]:
        work = self.work(client.config)
        self.log.info("Submitting %s, %s.", work.what, self.where(client.config))
        submitted = client.run(self._submission(context, client).obtain(work))
        self.log.info("Job %s at Adobe: %s.", submitted.job.id, work.what)
        return [submitted]

    def where(self, config: AdobeConfig) -> str:
        """Say where something is deleted, for the log."""
        return place(config)

    def _submission(
        self, context: Context, client: AdobeClient, slot: str = "", *, untried: bool = False
    ) -> Submission:
        """Return this task's submission, or one of its several, told apart by ``slot``.

        :param untried: whether it is certain that no earlier try has attempted this one.
        """
        from airflow_provider_adobe_deletion.adobe.sealing import CredentialSealer

        mine = identity(context, self.submission_key, self.retries or 0)
        return Submission(
            replace(mine, first_try=True) if untried else mine,
            state_store(context),
            CredentialSealer(client.config),
            slot=slot,
            on_ambiguous=self.on_ambiguous,
            on_clear=self.on_clear,
            settle_time=options.settle_time(),
            resubmit_failed=self.resubmit_failed,
        )

    def _earlier_record(self, context: Context) -> Record | None:
        """Return what an earlier try has left, where Airflow keeps task state."""
        return Records(state_store(context), "", self.submission_key).load()

    def _tell_of_earlier_job(self, context: Context) -> None:
        try:
            parameters.optional_text(self.submission_key, "submission_key")
        except (ValueError, TypeError):
            return
        record = self._earlier_record(context)
        if record is not None and not record.refused:
            what = f"submitted job {record.job.id}" if record.job else "tried to submit a job"
            self.log.warning("An earlier try of this task %s, which this failure does not stop.", what)

    def _wait(self, context: Context, client: AdobeClient, submitted: Sequence[Submitted]) -> Any:
        jobs = [entry.job.summary() for entry in submitted]
        context["ti"].xcom_push(key=JOBS_XCOM, value=jobs)
        if not self.wait_for_completion:
            return self.result(jobs)
        started = min(entry.at for entry in submitted)
        plan = WaitPlan(
            refs=tuple(entry.job.ref for entry in submitted),
            submitted_at=started,
            deadline=max(entry.at for entry in submitted) + timedelta(seconds=self.completion_timeout),
            poll_interval=self.poll_interval,
            max_poll_interval=self.max_poll_interval,
            max_poll_failures=self.max_poll_failures,
        )
        options = self.trigger_options(submitted)
        return self._finish(context, self._waited(client, plan, "execute_complete", **options))

    def _wait_first(self, context: Context, client: AdobeClient, blocked: Blocked) -> Any:
        """Wait for the job in the way, then start over."""
        self.log.info("Job %s is still %s: %s.", blocked.job.id, blocked.job.state.value, blocked.reason)
        now = utc_now()
        # The same for all that this try waits for, one after the other.
        began = context["ti"].start_date or now
        plan = WaitPlan(
            refs=(blocked.job.ref,),
            submitted_at=blocked.job.created_at or now,
            deadline=began + timedelta(seconds=self.completion_timeout),
            poll_interval=self.poll_interval,
            max_poll_interval=self.max_poll_interval,
            max_poll_failures=self.max_poll_failures,
        )
        return self.execute_again(context, self._waited(client, plan, "execute_again").to_event())

    def _waited(self, client: AdobeClient, plan: WaitPlan, resume: str, **options: Any) -> WaitResult:
        """Return how the wait ended; or defer, and come back through the method named ``resume``."""
        self._waiting_for = tuple(ref.id for ref in plan.refs)
        if not self.deferrable:
            return client.run(wait(plan))
        result = client.run(look(plan))
        if result is not None:
            return result
        self.log.info("Deferring until the job ends, or %s.", plan.deadline.isoformat(timespec="seconds"))
        return self.defer(
            trigger=AdobeJobTrigger(self.adobe_conn_id, plan.to_dict(), client.config.place, **options),
            method_name=resume,
            timeout=plan.deadline - utc_now() + DEFERRAL_GRACE,
        )

    def trigger_options(self, submitted: Sequence[Submitted]) -> dict[str, Any]:
        """Return what the trigger of the task's own jobs needs beyond the plan."""
        return {}

    def _finish(self, context: Context, result: WaitResult) -> Any:
        context["ti"].xcom_push(key=JOBS_XCOM, value=[dict(job) for job in result.jobs])
        check_outcome(result, final=not self.resubmit_failed)
        for job in result.jobs:
            self.log.info("Job %s has succeeded (%s): %s", job["id"], job["status"], job.get("details") or "no figures")
        return self.result(result.jobs)


def place(config: AdobeConfig) -> str:
    """Say where something is deleted, for the log."""
    return f"organisation {config.org_id}, sandbox {config.sandbox_name or config.sandbox_id or '(none)'}"
