"""Operators for Data Hygiene: delete identities' records, and let whole datasets expire."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, cast

from airflow.exceptions import AirflowProviderDeprecationWarning
from airflow.providers.common.compat.sdk import AirflowException, BaseOperator, ObjectStoragePath

from airflow_provider_adobe_deletion import parameters
from airflow_provider_adobe_deletion.adobe.calls import checked_id
from airflow_provider_adobe_deletion.adobe.errors import AdobeAPIError
from airflow_provider_adobe_deletion.adobe.waiting import utc_now
from airflow_provider_adobe_deletion.confidential import held, rendered
from airflow_provider_adobe_deletion.operators.base import AdobeDeletionOperator, place
from airflow_provider_adobe_deletion.outcome import airflow_errors
from airflow_provider_adobe_deletion.submission import ADOPT, Blocked, ChangedInputError, Submitted
from airflow_provider_adobe_deletion.task_state import identity, state_store, tell_if_stateless
from airflow_provider_adobe_deletion.triggers.moment import AdobeMomentTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_adobe_deletion.adobe.client import AdobeClient
    from airflow_provider_adobe_deletion.adobe.hygiene import Quota, WorkOrderRequest
    from airflow_provider_adobe_deletion.adobe.identities import IdentitySource, Plan
    from airflow_provider_adobe_deletion.adobe.quota import Shortage
    from airflow_provider_adobe_deletion.operators.hygiene_orders import Orders, OrderWork, Progress, Survey

FAIL = "fail"
SKIP = "skip"
WARN = "warn"
PACE = "pace"
FILE_FORMATS = ("csv", "jsonl")

# Adobe's clock and ours may differ a little.
_AFTER_RESET = timedelta(seconds=30)
_SLEEP = 60.0
_QUOTA_REFUSALS = (400, 403, 429)
_LONGEST_PATH = 4_096
_FURTHEST = timedelta(days=36_500)


class AdobeHygieneWorkOrderOperator(AdobeDeletionOperator):
    """Delete the records of identities from a dataset, several, or all, in as few work orders as possible.

    The list is read as a stream and checked whole before the first order is posted. Each order takes up to
    100,000 identities and is submitted once, whatever crashes: a retry goes on with the first order that is
    missing, and submits anew only those that failed. A work order cannot be cancelled, and Adobe may take 30 days
    for it. Adobe: *Data Hygiene API*, work orders and quota.

    :param dataset_id: a dataset's id, a list of ids, or ``ALL`` (templated). Identities must be of the dataset's
        primary namespace, so a single dataset takes one namespace.
    :param identities: ``{namespace code: [ids]}`` (templated). Airflow stores its digest only. Give this or
        ``identities_path``.
    :param identities_path: a file of identities, CSV with a header or JSON lines, plain or gzip, behind any path or
        URL that Airflow's ``ObjectStoragePath`` reads (templated).
    :param namespace: the code of all the file's identities' namespace (templated). Leave it out where a column
        says it; it does not go with ``identities``.
    :param id_column: the column, or JSON member, of the ids.
    :param namespace_column: the column, or JSON member, of the namespaces' codes.
    :param file_format: ``csv`` or ``jsonl``, where the file's suffix does not say it.
    :param display_name: the orders' name at Adobe, no personal data; a short marker and the order's number are
        put behind it (templated). Default: the ids of the DAG and the task.
    :param description: the orders' description at Adobe, at most 1,000 characters, no personal data (templated).
    :param target_services: ``None`` for all, ``["identity", "profile", "ajo"]``, which goes with ``ALL`` only, or
        ``["datalake"]``.
    :param payload_format: how the identities are spelled: ``identities``, which every generation of the API takes,
        ``namespaces-ids`` or ``namespaces-IDs``.
    :param allow_all_datasets: must be true for ``dataset_id="ALL"``.
    :param on_bad_row: what to do about malformed rows: ``fail`` before anything is submitted, or ``skip`` them.
        Either way they are reported by line, never with their values.
    :param on_quota: what to do where the identities do not fit into today's and this month's quota: ``fail``
        before anything is submitted, ``warn`` and submit, or ``pace``: submit the orders that fit, wait for the
        quota's reset (00:00 GMT, or of the first), and go on, for as long as it takes.
    :return: the ids of the work orders, in order.

    Further parameters: :class:`AdobeDeletionOperator`. The default ``completion_timeout`` is 45 days from the last
    submission, beyond Adobe's 30; the orders are looked at together, every 30 minutes to 2 hours.
    """

    template_fields: Sequence[str] = (
        *AdobeDeletionOperator.template_fields,
        "dataset_id",
        "identities",
        "identities_path",
        "namespace",
        "display_name",
        "description",
    )
    default_timeout: ClassVar[timedelta] = timedelta(days=45)
    default_poll_interval: ClassVar[float] = 1800.0
    default_max_poll_interval: ClassVar[float] = 7200.0

    def __init__(
        self,
        *,
        dataset_id: str | list[str],
        identities: Mapping[str, Sequence[str]] | None = None,
        identities_path: str | PurePath | None = None,
        namespace: str | None = None,
        id_column: str = "id",
        namespace_column: str = "namespace",
        file_format: str | None = None,
        display_name: str | None = None,
        description: str = "",
        target_services: Sequence[str] | None = None,
        payload_format: str = "identities",
        allow_all_datasets: bool = False,
        on_bad_row: str = FAIL,
        on_quota: str = FAIL,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset_id = dataset_id
        self.identities = held(self, identities, "identities")
        self.identities_path = identities_path
        self.namespace = namespace
        self.id_column = parameters.text(id_column, "id_column")
        self.namespace_column = parameters.text(namespace_column, "namespace_column")
        if id_column == namespace_column:
            raise ValueError("id_column and namespace_column must be two different columns.")
        self.file_format = None if file_format is None else parameters.choice(file_format, "file_format", FILE_FORMATS)
        self.display_name = display_name
        self.description = description
        self.target_services = target_services
        self.payload_format = parameters.choice(
            payload_format, "payload_format", ("identities", "namespaces-ids", "namespaces-IDs")
        )
        self.allow_all_datasets = parameters.flag(allow_all_datasets, "allow_all_datasets")
        self.on_bad_row = parameters.choice(on_bad_row, "on_bad_row", (FAIL, SKIP))
        self.on_quota = parameters.choice(on_quota, "on_quota", (FAIL, WARN, PACE))
        self._work: tuple[WorkOrderRequest, IdentitySource, Plan] | None = None
        self._progress: Progress | None = None
        self._quota: Quota | None = None

    def check(self) -> None:
        """Refuse what cannot be right, and read the whole list of identities."""
        from airflow_provider_adobe_deletion.adobe.hygiene import check_dataset

        super().check()
        request = self._request()
        source = self._source()
        plan = source.scan()
        self.log.info("Read the identities (digest %s): %s.", plan.digest[:12], plan.report)
        if not plan.count:
            raise ValueError(f"There are no identities to delete: {plan.report}. Nothing was submitted.")
        check_dataset(
            self.dataset_id,
            allow_all_datasets=self.allow_all_datasets,
            target_services=self.target_services,
            namespaces=plan.namespaces,
        )
        self._work = request, source, plan

    def result(self, jobs: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the ids."""
        return [job["id"] for job in jobs]

    def execute_renewed(self, context: Context, event: Any = None) -> Any:
        """Go on after the quota's reset, where the task was."""
        from airflow_provider_adobe_deletion.operators.hygiene_orders import Progress

        try:
            progress = Progress.from_event(event)
        except ValueError as error:
            raise AirflowException(f"{error} Nothing was submitted now; a retry goes on.") from None
        return self._proceed(context, progress)

    def _run(self, context: Context) -> Any:
        from airflow_provider_adobe_deletion.operators.hygiene_orders import Progress

        return self._proceed(context, Progress())

    def _proceed(self, context: Context, progress: Progress) -> Any:
        """Submit what has not been submitted, in as many rounds as the quota takes; then wait, defer, or return."""
        from airflow_provider_adobe_deletion.operators.hygiene_orders import QuotaSpent

        self._progress = progress
        while True:
            try:
                return super()._run(context)
            except QuotaSpent as spent:
                reason, moment = str(spent), spent.renewed_at + _AFTER_RESET
            self.log.info(
                "%s. %d work orders have been submitted; going on at %s.",
                reason,
                len(self._progress.orders),
                moment.isoformat(timespec="seconds"),
            )
            self._pause(moment, self._progress)

    def _pause(self, moment: datetime, progress: Progress) -> None:
        if self.deferrable:
            trigger = AdobeMomentTrigger(moment.isoformat(), progress.to_event())
            self.defer(trigger=trigger, method_name="execute_renewed")
        while (remaining := (moment - utc_now()).total_seconds()) > 0:
            time.sleep(min(remaining, _SLEEP))

    def _request(self) -> WorkOrderRequest:
        from airflow_provider_adobe_deletion.adobe.hygiene import DISPLAY_NAME_LIMIT, WorkOrderRequest

        return WorkOrderRequest(
            self.dataset_id,
            # Together the two ids may be longer than what Adobe takes.
            f"{self.dag_id} {self.task_id}"[:DISPLAY_NAME_LIMIT] if self.display_name is None else self.display_name,
            self.description,
            self.target_services,
            self.payload_format,
            self.allow_all_datasets,
        )

    def _source(self) -> IdentitySource:
        from airflow_provider_adobe_deletion.adobe.identities import IdentityFile, IdentityMapping

        if (self.identities is None) == (self.identities_path is None):
            raise ValueError("Give identities or identities_path, and not both.")
        if self.identities is not None:
            if self.namespace is not None:
                raise ValueError("namespace goes with identities_path; in identities each list has its own.")
            assert self._context is not None
            given = rendered(self, self.identities.value, self._context, "identities")
            return IdentityMapping(given, on_bad_row=self.on_bad_row)
        path = _path(self.identities_path)
        return IdentityFile(
            lambda: _opened(path),
            path.name,
            file_format=self.file_format,
            namespace=self.namespace,
            id_column=self.id_column,
            namespace_column=self.namespace_column,
            on_bad_row=self.on_bad_row,
        )

    def _submit(self, context: Context, client: AdobeClient) -> list[Submitted]:
        from airflow_provider_adobe_deletion.operators.hygiene_orders import Orders, survey

        assert self._work is not None
        assert self._progress is not None
        mine = identity(context, self.submission_key, self.retries or 0)
        orders = Orders(*self._work, identity=mine, config=client.config, adobe_conn_id=self.adobe_conn_id)
        self._refuse_change(orders)
        found = client.run(survey(orders, mine, state_store(context), self._progress, adopt=self.on_clear == ADOPT))
        self._log_plan(orders, found, client)
        self._refuse_active(found, mine.cleared and mine.first_of_generation)
        self._quota = self._checked_quota(orders, found, client) if found.pending else None
        return self._submit_all(context, client, orders, found)

    def _submit_all(self, context: Context, client: AdobeClient, orders: Orders, found: Survey) -> list[Submitted]:
        from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobKind, JobRef, JobState
        from airflow_provider_adobe_deletion.operators.hygiene_orders import Progress

        assert self._progress is not None
        submitted: dict[int, Submitted] = {}
        for number, (order, at) in self._progress.orders.items():
            unseen = DeletionJob(JobRef(JobKind.WORK_ORDER, order), JobState.UNKNOWN, "")
            submitted[number] = Submitted(found.jobs.get(number, unseen), at)
        # A pause for the quota comes right before an order that was never posted.
        absent = bool(submitted)
        for number in orders.numbers:
            if number in submitted:
                continue
            work = orders.work(number, self._admit)
            try:
                untried = found.is_untried(number, absent)
                submission = self._submission(context, client, str(number), untried=untried)
                submitted[number] = client.run(submission.obtain(work))
            except AdobeAPIError as error:
                self._wait_if_spent(client, orders, number, error)
                raise
            absent = absent or (work.asked and not work.seen)
            self._count(orders, number, work)
            self.log.info("%s: %s.", submitted[number].job.id, work.what)
            self._progress = Progress(
                orders.stamp, {number: (entry.job.id, entry.at) for number, entry in submitted.items()}
            )
            self._waiting_for = tuple(entry.job.id for entry in submitted.values())
        return [submitted[number] for number in orders.numbers]

    def _refuse_change(self, orders: Orders) -> None:
        assert self._progress is not None
        if self._progress.orders and self._progress.stamp != orders.stamp:
            raise ChangedInputError(
                "The identities, the datasets or the connection have changed while the task waited for the quota. "
                f"{len(self._progress.orders)} work orders had been submitted before; nothing was submitted now. "
                "Restore what changed and clear the task, or set another submission_key to submit what it is now."
            )

    def _refuse_active(self, found: Survey, newly_cleared: bool) -> None:
        """Wait for all earlier orders before the first new one, so that new ones are not taken for them."""
        if newly_cleared and self.on_clear != ADOPT:
            for job in (found.listed or {}).values():
                if not job.state.terminal:
                    raise Blocked(job, "on_clear='resubmit' submits new work orders once the earlier ones have ended")

    def _log_plan(self, orders: Orders, found: Survey, client: AdobeClient) -> None:
        plan = orders.plan
        self.log.info(
            "Plan: %d work orders for dataset %s, %s; %s identities (%s); still to be submitted: %d orders with %s.",
            len(plan.chunks),
            orders.dataset,
            place(client.config),
            f"{plan.count:,}",
            ", ".join(f"{code}: {count:,}" for code, count in plan.namespaces.items()),
            len(found.pending),
            f"{orders.count(found.pending):,}",
        )

    def _checked_quota(self, orders: Orders, found: Survey, client: AdobeClient) -> Quota:
        """Return the quota after deciding by it whether to go on."""
        from airflow_provider_adobe_deletion.adobe import hygiene
        from airflow_provider_adobe_deletion.adobe.quota import described, shortage
        from airflow_provider_adobe_deletion.operators.hygiene_orders import QuotaError

        quota = client.send(hygiene.quota())
        self.log.info("Adobe's quota of identities: %s.", described(quota))
        if None in (quota.left_today, quota.left_this_month):
            self.log.warning("What is unknown of the quota limits nothing here; Adobe may refuse.")
        certain = [number for number in found.pending if number not in found.unclear]
        lack = shortage(quota, orders.count(certain), utc_now())
        if lack is None:
            return quota
        if self.on_quota == FAIL:
            raise QuotaError(
                f"{len(certain)} work orders are still to be submitted, and {lack}. Nothing was submitted now. "
                "Use on_quota='pace' to submit them over several days, or submit fewer."
            )
        if self.on_quota == WARN:
            self.log.warning("%s; submitting all the same.", lack)
        return quota

    def _admit(self, identities: int) -> None:
        """Let an order pass that fits into what is left.

        :raises QuotaSpent: it will fit after the quota's reset.
        :raises QuotaError: it never will.
        """
        from airflow_provider_adobe_deletion.adobe.quota import shortage

        if self.on_quota == PACE and self._quota is not None:
            lack = shortage(self._quota, identities, utc_now())
            if lack is not None:
                raise _paced(lack)

    def _count(self, orders: Orders, number: int, work: OrderWork) -> None:
        """Take an order that was posted now off the quota."""
        from dataclasses import replace

        from airflow_provider_adobe_deletion.adobe.hygiene import Allowance

        if not work.asked or self._quota is None:
            return
        identities = orders.count((number,))

        def less(allowance: Allowance) -> Allowance:
            if allowance.consumed is None:
                return allowance
            return replace(allowance, consumed=allowance.consumed + identities)

        self._quota = replace(self._quota, daily=less(self._quota.daily), monthly=less(self._quota.monthly))

    def _wait_if_spent(self, client: AdobeClient, orders: Orders, number: int, error: AdobeAPIError) -> None:
        """Find out whether an order was refused because others have used the quota up; Adobe has no code for it."""
        from airflow_provider_adobe_deletion.adobe import hygiene
        from airflow_provider_adobe_deletion.adobe.quota import shortage

        if self.on_quota != PACE or error.status not in _QUOTA_REFUSALS:
            return
        lack = shortage(client.send(hygiene.quota()), orders.count((number,)), utc_now())
        if lack is not None:
            self.log.warning("%s", error)
            raise _paced(lack) from error


class AdobeDatasetExpirationOperator(AdobeDeletionOperator):
    """Have a dataset expire at a given time: then Adobe deletes it whole. Creates the expiration, or moves it.

    It may be repeated: an expiration that is there already with this expiry is the one asked for. Until it starts
    it can be cancelled with :class:`AdobeDatasetExpirationCancelOperator`; afterwards it cannot be taken back.
    Adobe: *Data Hygiene API*, dataset expirations.

    :param dataset_id: the dataset (templated).
    :param expiry: ISO 8601 text, a date or a time, at least 24 hours ahead; without a zone it is UTC, a date alone
        is its midnight (templated). It must come out the same on a retry.
    :param display_name: the expiration's name at Adobe, no personal data (templated).
    :param description: at most 1,000 characters, no personal data (templated).
    :param wait_for_completion: whether the task ends only when the dataset has been deleted. By default it ends
        once the expiration is set, since the expiry may be far ahead.
    :return: the expiration's id.

    Further parameters: :class:`AdobeDeletionOperator`, of which ``on_ambiguous``, ``on_clear`` and
    ``submission_key`` have no effect here. ``completion_timeout`` (default: 20 days; Adobe names up to 16) counts
    from the expiry.
    """

    template_fields: Sequence[str] = (
        *AdobeDeletionOperator.template_fields,
        "dataset_id",
        "expiry",
        "display_name",
        "description",
    )
    default_timeout: ClassVar[timedelta] = timedelta(days=20)
    default_poll_interval: ClassVar[float] = 1800.0
    default_max_poll_interval: ClassVar[float] = 7200.0

    def __init__(
        self,
        *,
        dataset_id: str,
        expiry: str | date | datetime,
        display_name: str,
        description: str = "",
        wait_for_completion: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(wait_for_completion=wait_for_completion, **kwargs)
        self.dataset_id = dataset_id
        self.expiry = expiry
        self.display_name = display_name
        self.description = description

    def check(self) -> None:
        """Refuse what cannot be right; the notice of 24 hours is for the first try only, as time goes by."""
        from airflow_provider_adobe_deletion.adobe.dataset_expiration import check_expiry, parse_expiry
        from airflow_provider_adobe_deletion.adobe.hygiene import DESCRIPTION_LIMIT, DISPLAY_NAME_LIMIT, checked_text

        super().check()
        checked_id(self.dataset_id, "dataset_id")
        checked_text(self.display_name, "display_name", DISPLAY_NAME_LIMIT, required=True)
        checked_text(self.description, "description", DESCRIPTION_LIMIT, lines=True)
        expiry = parse_expiry(self.expiry)
        if self.wait_for_completion and expiry - utc_now() > _FURTHEST:
            raise ValueError("expiry is too far ahead to wait for: more than 100 years. Set wait_for_completion=False.")
        if self._context is not None and self._context["ti"].try_number <= 1:
            check_expiry(self.expiry)

    def _submit(self, context: Context, client: AdobeClient) -> list[Submitted]:
        from airflow_provider_adobe_deletion.adobe.dataset_expiration import ensure, parse_expiry

        now, expiry = utc_now(), parse_expiry(self.expiry)
        job = client.run(ensure(self.dataset_id, expiry, self.display_name, self.description, put_by_dataset=True))
        self.log.info(
            "Dataset %s expires at %s (expiration %s, %s), %s.",
            self.dataset_id,
            expiry.isoformat(),
            job.id,
            job.status or "without a status",
            place(client.config),
        )
        self.completion_timeout += max(0.0, (expiry - now).total_seconds())
        return [Submitted(job, now)]


class AdobeDatasetExpirationCancelOperator(BaseOperator):
    """Cancel a dataset's expiration while it is pending, and make sure that it is cancelled. May be repeated.

    Adobe: *Data Hygiene API*, dataset expirations.

    :param dataset_id: the dataset (templated). Give this or ``ttl_id``.
    :param ttl_id: the expiration (templated).
    :param adobe_conn_id: the connection of type ``adobe`` (templated).
    :return: the expiration's id. One that is cancelled already is fine; one that has started, or that does not
        exist, fails the task.
    """

    template_fields: Sequence[str] = ("adobe_conn_id", "dataset_id", "ttl_id")

    def __init__(
        self,
        *,
        dataset_id: str | None = None,
        ttl_id: str | None = None,
        adobe_conn_id: str = "adobe_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset_id = dataset_id
        self.ttl_id = ttl_id
        self.adobe_conn_id = adobe_conn_id

    def execute(self, context: Context) -> str:
        """Cancel it."""
        from airflow_provider_adobe_deletion.adobe.dataset_expiration import cancel
        from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook

        with airflow_errors():
            if (self.dataset_id is None) == (self.ttl_id is None):
                raise ValueError("Give dataset_id or ttl_id, and not both.")
            name = "dataset_id" if self.ttl_id is None else "ttl_id"
            target = checked_id(getattr(self, name), name)
            with AdobeHook(self.adobe_conn_id).client as client:
                job = client.run(cancel(target))
        self.log.info("Expiration %s is cancelled.", job.id)
        return job.id


class AdobeHygieneDeleteJobOperator(BaseOperator):
    """Ask the alpha generation of record deletes to delete the data of some users. Deprecated; submit-only.

    Use :class:`AdobeHygieneWorkOrderOperator` wherever the organisation has it. Here Adobe documents no way to look
    a job up or to list jobs. So the task ends once Adobe has accepted, and wherever it is unknown whether Adobe has
    (a lost answer, a worker that died in between), it and its retries fail and leave it to a person. Adobe:
    *Data Hygiene API* (alpha), ``POST /jobs``.

    :param users: ``[{"key", "userIDs": [{"namespace", "value", "type"}]}]``, with unique keys, 1 to 9 ids a user, and
        the types ``standard`` or ``custom`` (templated). Airflow stores a digest only.
    :param submission_key: change it to submit once more (templated). Needs Airflow 3.3 or later.
    :param adobe_conn_id: the connection of type ``adobe`` (templated).
    :return: ``{"request_id", "jobs": {key: job id}}``. The keys come back in clear text, as everything that a task
        returns is stored: choose keys that are no personal data.
    """

    template_fields: Sequence[str] = ("adobe_conn_id", "users", "submission_key")

    def __init__(
        self,
        *,
        users: Sequence[Mapping[str, Any]],
        submission_key: str | None = None,
        adobe_conn_id: str = "adobe_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        warnings.warn(
            "AdobeHygieneDeleteJobOperator speaks Adobe's alpha API, which work orders have superseded; use "
            "AdobeHygieneWorkOrderOperator.",
            AirflowProviderDeprecationWarning,
            stacklevel=2,
        )
        self.users = held(self, users, "users")
        self.submission_key = submission_key
        self.adobe_conn_id = adobe_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit, unless an earlier try has."""
        from airflow_provider_adobe_deletion.adobe.hygiene_jobs import job_body
        from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook
        from airflow_provider_adobe_deletion.operators.hygiene_users import UserJobs

        tell_if_stateless(context)
        with airflow_errors():
            parameters.optional_text(self.submission_key, "submission_key")
            users: Any = None if self.users is None else rendered(self, self.users.value, context, "users")
            # The organisation comes from the connection; the shape is checked before that is opened.
            job_body("unknown", users)
            mine = identity(context, self.submission_key, self.retries or 0)
            with AdobeHook(self.adobe_conn_id).client as client:
                jobs = UserJobs(users, client.config.org_id, mine, state_store(context))
                receipt = jobs.obtain(client)
        self.log.info("Adobe accepted request %s: %d jobs.", receipt.request_id, len(receipt.jobs))
        return {"request_id": receipt.request_id, "jobs": dict(receipt.jobs)}


def _paced(lack: Shortage) -> Exception:
    from airflow_provider_adobe_deletion.operators.hygiene_orders import QuotaError, QuotaSpent

    if lack.renewed_at is not None:
        return QuotaSpent(lack, lack.renewed_at)
    return QuotaError(f"One work order is larger than all of a day's or month's quota: {lack}. It was not submitted.")


def _path(value: Any) -> ObjectStoragePath:
    if isinstance(value, PurePath):
        value = str(value)
    path = parameters.text(value, "identities_path", _LONGEST_PATH)
    try:
        return ObjectStoragePath(path)
    except Exception as error:
        # What is said may quote the path, and with it a credential.
        raise ValueError(f"identities_path is no path or URL that Airflow can read ({type(error).__name__}).") from None


def _opened(path: ObjectStoragePath) -> BinaryIO:
    from airflow_provider_adobe_deletion.operators.hygiene_orders import GuardedStream, guarded

    with guarded("opened"):
        stream: BinaryIO = path.open("rb")  # type: ignore[no-untyped-call]
    return cast("BinaryIO", GuardedStream(stream))
