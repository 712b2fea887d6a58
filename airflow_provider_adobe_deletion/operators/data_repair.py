"""Operators for Data Repair: estimate the cost, then repair or delete Adobe Analytics data."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_adobe_deletion import parameters
from airflow_provider_adobe_deletion.adobe.calls import checked_id
from airflow_provider_adobe_deletion.adobe.errors import AdobeError
from airflow_provider_adobe_deletion.adobe.jobs import JobState
from airflow_provider_adobe_deletion.confidential import Confidential, held, rendered
from airflow_provider_adobe_deletion.operators.base import AdobeDeletionOperator
from airflow_provider_adobe_deletion.outcome import JOBS_XCOM, airflow_errors, all_problems
from airflow_provider_adobe_deletion.submission import AlreadyCreated, Blocked, Found
from airflow_provider_adobe_deletion.submission_record import SubmissionError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_adobe_deletion.adobe.calls import Flow
    from airflow_provider_adobe_deletion.adobe.client import AdobeClient
    from airflow_provider_adobe_deletion.adobe.config import AdobeConfig
    from airflow_provider_adobe_deletion.adobe.data_repair import Estimate
    from airflow_provider_adobe_deletion.adobe.data_repair_builder import Repair
    from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob

log = logging.getLogger(__name__)

LOCAL = "local"
SERVER = "server"
WAIT = "wait"
FAIL = "fail"

_DIGEST = re.compile(r"[0-9a-f]{16}")
# No limit at all would be None.
_MOST_SERVER_CALLS = 10**15


class CostLimitError(SubmissionError):
    """The job is larger than allowed. Nothing was submitted."""


class ApprovalError(SubmissionError):
    """What is about to be submitted is not what was approved. Nothing was submitted."""


class BusyError(AdobeError):
    """The report suite has a running job, and Adobe takes one at a time. Nothing was submitted."""


class Definition(Protocol):
    """A job definition that can be sent."""

    def to_request(self) -> dict[str, Any]:
        """Return the JSON that Adobe takes."""

    def digest(self) -> str:
        """Return the SHA-256 of what it means."""


def repair_digest(report_suite_id: str, start: date, end: date, definition: Definition) -> str:
    """Return 16 hexadecimal digits that stand for one repair: suite, days and definition."""
    text = f"{report_suite_id.lower()}|{start}|{end}|{definition.digest()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _RepairParameters(BaseOperator):
    """The parameters that say what is to be repaired, and how they are read."""

    report_suite_id: str
    date_range_start: str | date
    date_range_end: str | date
    job_definition: Confidential | None
    definition_checks: str

    def _days(self, now: datetime | None = None) -> tuple[date, date]:
        from airflow_provider_adobe_deletion.adobe.data_repair import check_dates

        checked_id(self.report_suite_id, "report_suite_id")
        return check_dates(self.date_range_start, self.date_range_end, now=now)

    def _definition(self, context: Context) -> Definition:
        """Render and check the job definition."""
        from airflow_provider_adobe_deletion.adobe.data_repair_builder import Repair
        from airflow_provider_adobe_deletion.adobe.data_repair_definition import parse_definition, unchecked_definition

        if self.job_definition is None:
            raise ValueError("job_definition is missing.")
        raw = self.job_definition.value
        raw = rendered(self, raw.to_request() if isinstance(raw, Repair) else raw, context, "job_definition")
        if not isinstance(raw, Mapping | str | Repair):
            raise TypeError(f"job_definition must be a dict, a JSON file or a Repair, not {type(raw).__name__}.")
        return parse_definition(raw) if self.definition_checks == LOCAL else unchecked_definition(raw)


class AdobeDataRepairEstimateOperator(_RepairParameters):
    """Ask what a Data Repair job would cost, for a human or a branch to decide on.

    Adobe bills the rows of the whole range, whatever the filters. Adobe: *Data Repair API*, server call
    estimate.

    :param report_suite_id: the report suite (templated).
    :param date_range_start: the first day, ``YYYY-MM-DD`` or a date, in the report suite's time zone
        (templated).
    :param date_range_end: the last day, inclusive, before the current month (templated).
    :param job_definition: what is going to be done, as for :class:`AdobeDataRepairJobOperator`. It makes no
        difference to the cost, but is checked, and adds ``digest`` and ``variables`` to the result.
    :param definition_checks: as for :class:`AdobeDataRepairJobOperator`.
    :param adobe_conn_id: the connection of type ``adobe`` (templated).
    :return: ``{"report_suite_id", "date_range_start", "date_range_end", "server_calls"}``, and with a job
        definition also ``digest``, which stands for suite, days and definition, and ``variables``, the
        actions by variable. Never the validation token.
    """

    template_fields: Sequence[str] = (
        "adobe_conn_id",
        "report_suite_id",
        "date_range_start",
        "date_range_end",
        "job_definition",
    )
    template_ext: Sequence[str] = (".json",)

    def __init__(
        self,
        *,
        report_suite_id: str,
        date_range_start: str | date,
        date_range_end: str | date,
        job_definition: Mapping[str, Any] | str | Repair | None = None,
        definition_checks: str = LOCAL,
        adobe_conn_id: str = "adobe_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.report_suite_id = report_suite_id
        self.date_range_start = date_range_start
        self.date_range_end = date_range_end
        self.job_definition = held(self, job_definition, "job_definition")
        self.definition_checks = parameters.choice(definition_checks, "definition_checks", (LOCAL, SERVER))
        self.adobe_conn_id = adobe_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask for the estimate."""
        from airflow_provider_adobe_deletion.adobe import data_repair
        from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook

        with airflow_errors():
            with all_problems() as problem:
                with problem:
                    start, end = self._days()
                with problem:
                    definition = None if self.job_definition is None else self._definition(context)
            with AdobeHook(self.adobe_conn_id).client as client:
                estimate = client.send(data_repair.estimate(self.report_suite_id, start, end))
        result: dict[str, Any] = {
            "report_suite_id": self.report_suite_id,
            "date_range_start": str(start),
            "date_range_end": str(end),
            "server_calls": estimate.server_calls,
        }
        if definition is not None:
            result["digest"] = repair_digest(self.report_suite_id, start, end, definition)
            result["variables"] = _actions(definition)
        self.log.info(
            "Repairing %s from %s to %s would take %d server calls.",
            self.report_suite_id,
            start,
            end,
            estimate.server_calls,
        )
        return result


class AdobeDataRepairJobOperator(AdobeDeletionOperator, _RepairParameters):
    """Repair or delete Adobe Analytics data, once, and within a cost limit.

    It checks the definition and the days locally, waits for a running job of the same report suite, takes
    its own estimate right before the request, and refuses a job that is larger than allowed. A repair cannot
    be stopped or taken back. Adobe: *Data Repair API*.

    :param report_suite_id: the report suite (templated).
    :param date_range_start: the first day, ``YYYY-MM-DD`` or a date, in the report suite's time zone
        (templated).
    :param date_range_end: the last day, inclusive, before the current month (templated).
    :param job_definition: what to do, as a dict, a JSON text, the path of a ``.json`` template, or a
        :class:`~airflow_provider_adobe_deletion.adobe.data_repair_builder.Repair` (templated). Airflow
        stores its digest only, because it may hold personal data.
    :param max_server_calls: the most that the job may cost, in server calls (rows scanned). Adobe's estimate
        right before the request is compared with it; a larger job fails without a retry (templated).
    :param approved_digest: the ``digest`` that :class:`AdobeDataRepairEstimateOperator` returned and somebody
        approved. Anything else than what was approved fails before any request (templated).
    :param validate_only: ask Adobe to check the definition, and end without a job.
    :param definition_checks: ``local`` checks the definition against all that Adobe documents; ``server``
        has Adobe check it, with ``validateOnly``, before the job is created.
    :param if_busy: what to do while the report suite has a running job, of which Adobe takes one at a time:
        ``wait`` for it to end, at most for ``completion_timeout``, or ``fail``.
    :param resubmit_failed: whether an Airflow retry submits a failed job anew, which is billed again. Otherwise
        a failed job fails the task without a retry, and only clearing it submits anew.
    :return: the job's id; ``None`` with ``validate_only``. XCom ``jobs`` holds the job with the billed
        ``server_calls``.

    Further parameters: :class:`AdobeDeletionOperator`. The default ``completion_timeout`` is 14 days; Adobe
    advises to look every 15 to 30 minutes, which are the defaults of the poll intervals.
    """

    template_fields: Sequence[str] = (
        *AdobeDeletionOperator.template_fields,
        "report_suite_id",
        "date_range_start",
        "date_range_end",
        "job_definition",
        "max_server_calls",
        "approved_digest",
    )
    template_ext: Sequence[str] = (".json",)
    default_timeout: ClassVar[timedelta] = timedelta(days=14)
    default_poll_interval: ClassVar[float] = 900.0
    default_max_poll_interval: ClassVar[float] = 1800.0

    def __init__(
        self,
        *,
        report_suite_id: str,
        date_range_start: str | date,
        date_range_end: str | date,
        job_definition: Mapping[str, Any] | str | Repair,
        max_server_calls: int | str | None = None,
        approved_digest: str | None = None,
        validate_only: bool = False,
        definition_checks: str = LOCAL,
        if_busy: str = WAIT,
        resubmit_failed: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.report_suite_id = report_suite_id
        self.date_range_start = date_range_start
        self.date_range_end = date_range_end
        self.job_definition = held(self, job_definition, "job_definition")
        self.max_server_calls = max_server_calls
        self.approved_digest = approved_digest
        guards = {"max_server_calls": max_server_calls, "approved_digest": approved_digest}
        self._guards = frozenset(name for name, value in guards.items() if value is not None)
        self.resubmit_failed = parameters.flag(resubmit_failed, "resubmit_failed")
        self.validate_only = parameters.flag(validate_only, "validate_only")
        self.definition_checks = parameters.choice(definition_checks, "definition_checks", (LOCAL, SERVER))
        self.if_busy = parameters.choice(if_busy, "if_busy", (WAIT, FAIL))
        self._work: RepairWork | None = None

    def check(self) -> None:
        """Refuse suites, days, definitions and limits that cannot be right, and what was not approved."""
        super().check()
        if self._context is None:
            raise ValueError("The job definition can be checked while the task runs only.")
        earlier = self._earlier_record(self._context)
        with all_problems() as problem:
            with problem:
                # What could be repaired when this task first asked for it is not too old when it asks again.
                start, end = self._days(earlier.at if earlier else None)
            with problem:
                definition = self._definition(self._context)
            with problem:
                limit = _limit(self._given(self.max_server_calls, "max_server_calls"))
            with problem:
                approved = _approved(self._given(self.approved_digest, "approved_digest"))
        digest = repair_digest(self.report_suite_id, start, end, definition)
        _compare_approval(approved, digest)
        self._work = RepairWork(
            report_suite_id=self.report_suite_id,
            start=start,
            end=end,
            definition=definition,
            digest=digest,
            max_server_calls=limit,
            ask_server=self.definition_checks == SERVER,
            wait_if_busy=self.if_busy == WAIT,
            adobe_conn_id=self.adobe_conn_id,
        )

    def _given(self, value: Any, name: str) -> Any:
        """Refuse a guard that was asked for, and whose template rendered to nothing."""
        if name in self._guards and (value is None or value == ""):
            raise ValueError(f"{name} is set, but there is no value in it: its template rendered to nothing.")
        return value

    def where(self, config: AdobeConfig) -> str:
        """Say whose data is repaired, for the log; Analytics has no sandboxes."""
        return f"organisation {config.org_id}, company {config.global_company_id or 'to be discovered'}"

    def work(self, config: AdobeConfig) -> RepairWork:
        """Return the repair to submit."""
        if self._work is None:
            self.check()
        assert self._work is not None
        return self._work.at(config)

    def execute(self, context: Context) -> Any:
        """Repair, or have the definition checked."""
        if not self.validate_only:
            return super().execute(context)
        from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook

        self._context = context
        with airflow_errors():
            self.check()
            with AdobeHook(self.adobe_conn_id).client as client:
                return self._validate(context, client)

    def _validate(self, context: Context, client: AdobeClient) -> None:
        work = self.work(client.config)
        try:
            client.run(work.validate())
        except AlreadyCreated as created:
            context["ti"].xcom_push(key=JOBS_XCOM, value=[created.job.summary()])
            raise AirflowFailException(
                f"Adobe was asked only to validate, and created job {created.job.id} all the same. "
                "It cannot be stopped; wait for it with AdobeDataRepairJobSensor."
            ) from None
        self.log.info("Adobe accepts the definition (digest %s). No job was created.", work.digest)

    def result(self, jobs: Sequence[Mapping[str, Any]]) -> Any:
        """Log what was billed, and return the job's id."""
        (job,) = jobs
        if job.get("state") == JobState.SUCCEEDED.value:
            self.log.info("Adobe billed %s server calls for job %s.", job["details"].get("server_calls"), job["id"])
        return job["id"]


@dataclass
class RepairWork:
    """The submission of one Data Repair job."""

    report_suite_id: str
    start: date
    end: date
    definition: Definition
    digest: str
    max_server_calls: int | None
    ask_server: bool
    wait_if_busy: bool
    adobe_conn_id: str
    organisation: str = ""
    ended_before: frozenset[str] | None = None
    """The jobs that had ended when this run found the suite free; ``None`` if it did not look."""

    def at(self, config: AdobeConfig) -> RepairWork:
        """Return the same work for the organisation of a connection."""
        from dataclasses import replace

        return replace(self, organisation=config.org_id)

    @property
    def what(self) -> str:
        """What is submitted, for messages."""
        return f"a Data Repair job for report suite {self.report_suite_id}, {self.start} to {self.end}"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """What is repaired, and where."""
        return {
            "report suite": self.report_suite_id,
            "first day": str(self.start),
            "last day": str(self.end),
            "definition": self.definition.digest()[:16],
            "connection": self.adobe_conn_id,
            "organisation": self.organisation,
        }

    def prepare(self) -> Flow[str | None]:
        """Make sure that the cost is allowed and the suite is free, and return a fresh estimate's token."""
        estimate = yield from self._estimated()
        jobs = yield from self._suite_jobs()
        self._refuse_if_busy(jobs, JobState.PENDING, JobState.RUNNING)
        self.ended_before = frozenset(job.id for job in jobs if job.state.terminal)
        if self.ask_server:
            yield from self._validate(estimate)
            # Whether the validation used the token up is not documented.
            estimate = yield from self._estimated()
        return json.dumps([estimate.server_calls, estimate.validation_token])

    def refused(self, error: AdobeError) -> Flow[None]:
        """Find out whether another job is the reason: one that runs, or has ended since the suite was found free.

        A status that Adobe does not document counts as running here.
        """
        jobs = yield from self._suite_jobs()
        self._refuse_if_busy(jobs, JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN)
        if self.ended_before is not None:
            self._refuse_if_busy([job for job in jobs if job.id not in self.ended_before], *JobState)

    def create(self, since: datetime, secret: str | None) -> Flow[DeletionJob]:
        """Create the job with the token of the estimate."""
        from airflow_provider_adobe_deletion.adobe import data_repair

        assert secret is not None
        server_calls, token = json.loads(secret)
        # A token of an earlier try may stand for an estimate that is not allowed any more.
        self._refuse_cost(server_calls)
        job: DeletionJob = yield data_repair.create_job(
            self.report_suite_id, self.start, self.end, self.definition.to_request(), token
        )
        return job

    def find(self, since: datetime) -> Flow[Found]:
        """Look through the suite's 20 most recent jobs, more than can run in the meantime."""
        from airflow_provider_adobe_deletion.adobe import data_repair

        jobs = yield from data_repair.find(
            self.report_suite_id, self.start, self.end, self.definition.to_request(), since
        )
        return Found(jobs, complete=True)

    def is_of(self, job: DeletionJob) -> bool:
        """Whether the job is of this suite and these days; its definition is not in the look-up's result."""
        days = {"date_range_start": str(self.start), "date_range_end": str(self.end)}
        return job.target.get("report_suite_id", "").lower() == self.report_suite_id.lower() and all(
            job.target.get(name, day) == day for name, day in days.items()
        )

    def validate(self) -> Flow[None]:
        """Have Adobe check the definition.

        :raises AlreadyCreated: Adobe created the job all the same.
        """
        yield from self._validate((yield from self._estimated()))

    def _validate(self, estimate: Estimate) -> Flow[None]:
        from airflow_provider_adobe_deletion.adobe import data_repair

        job: DeletionJob | None = yield data_repair.validate_only(
            self.report_suite_id, self.start, self.end, self.definition.to_request(), estimate.validation_token
        )
        if job is not None:
            raise AlreadyCreated(job)

    def _estimated(self) -> Flow[Estimate]:
        from airflow_provider_adobe_deletion.adobe import data_repair

        estimate: Estimate = yield data_repair.estimate(self.report_suite_id, self.start, self.end)
        self._refuse_cost(estimate.server_calls)
        allowed = "any number" if self.max_server_calls is None else f"at most {self.max_server_calls}"
        log.info(
            "Adobe estimates %d server calls (%s allowed), digest %s.", estimate.server_calls, allowed, self.digest
        )
        return estimate

    def _refuse_cost(self, server_calls: int) -> None:
        if self.max_server_calls is not None and server_calls > self.max_server_calls:
            raise CostLimitError(
                f"The repair of {self.report_suite_id} from {self.start} to {self.end} would take "
                f"{server_calls} server calls, more than max_server_calls allows ({self.max_server_calls}). "
                "Nothing was submitted."
            )

    def _suite_jobs(self) -> Flow[tuple[DeletionJob, ...]]:
        from airflow_provider_adobe_deletion.adobe import data_repair

        jobs: tuple[DeletionJob, ...] = yield data_repair.list_jobs(self.report_suite_id)
        return jobs

    def _refuse_if_busy(self, jobs: Sequence[DeletionJob], *states: JobState) -> None:
        running = [job for job in jobs if job.state in states]
        if not running:
            return
        if self.wait_if_busy:
            raise Blocked(running[0], f"Adobe repairs a report suite ({self.report_suite_id}) one job at a time")
        raise BusyError(
            f"Report suite {self.report_suite_id} is busy with job {running[0].id} ({running[0].status}), and Adobe "
            "takes one at a time. Nothing was submitted."
        )


def _limit(value: Any) -> int | None:
    return None if value is None else parameters.rendered_count(value, "max_server_calls", 0, _MOST_SERVER_CALLS)


def _approved(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"approved_digest must be a text, not {type(value).__name__}.")
    if not _DIGEST.fullmatch(value.strip()):
        raise ValueError(
            "approved_digest must be the digest that AdobeDataRepairEstimateOperator returned, 16 hexadecimal digits."
        )
    return value.strip()


def _compare_approval(approved: str | None, digest: str) -> None:
    if approved not in (None, digest):
        raise ApprovalError(
            "What is about to be submitted is not what was approved: its digest (report suite, days, definition) "
            f"is {digest}, and approved_digest is {approved}. Nothing was submitted now."
        )


def _actions(definition: Definition) -> dict[str, str]:
    variables = definition.to_request()["variables"]
    return {str(name): str(entry.get("action", "")) for name, entry in variables.items() if isinstance(entry, dict)}
