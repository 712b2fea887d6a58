"""How jobs stand: one by one, or many together from Adobe's lists.

A list saves requests, and is trusted only for what it can do no harm with: that a job has not ended yet. A job
that it shows as ended, or does not show, is asked for by itself. A list that shows too few of the wanted jobs for
its pages is left alone for a while, so it never costs much more than asking one by one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from airflow_provider_adobe_deletion.adobe.calls import Call, Flow, Pause, Poll, Reply
from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeAuthError,
    AdobeConfigError,
    AdobeError,
    AdobeInterruptedError,
    AdobeNotFoundError,
    AdobeRateLimitError,
    AdobeServerError,
    AdobeUnreachableError,
)
from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobKind, JobRef

Seen = dict[JobRef, DeletionJob | AdobeError]

_JOBS_PER_PAGE_WORTH_IT = 4
_PAGE_SIZE = 100
_OUTAGES_UNTIL_SHARED = 3
_LEFT_ALONE = 600.0
_LEFT_ALONE_AT_MOST = 86_400.0


def is_outage(error: AdobeError) -> bool:
    """Whether asking failed for a reason that passes by itself."""
    if isinstance(error, AdobeAuthError):
        return error.transient
    return isinstance(error, AdobeUnreachableError | AdobeInterruptedError | AdobeServerError | AdobeRateLimitError)


def shelf(ref: JobRef) -> tuple[str, ...]:
    """Name the list that would show a job."""
    return (ref.kind.value, *ref.scope.values())


@dataclass
class Lists:
    """What one client has learnt about which lists are worth asking."""

    _alone_until: dict[tuple[str, ...], float] = field(default_factory=dict)
    _patience: dict[tuple[str, ...], float] = field(default_factory=dict)
    _useless_for: dict[tuple[str, ...], int] = field(default_factory=dict)

    def worth(self, name: tuple[str, ...], count: int, among: int = 0) -> bool:
        """Whether to ask the list for so many jobs.

        :param among: how many jobs are waited for in all, among which those are likely to be spread.
        """
        if count < 2 or count * _PAGE_SIZE < among * _JOBS_PER_PAGE_WORTH_IT:
            return False
        grown = count >= 2 * self._useless_for.get(name, 0)
        return grown or time.monotonic() >= self._alone_until.get(name, 0.0)

    def learn(self, name: tuple[str, ...], count: int, useful: bool) -> None:
        """Remember whether it was worth it.

        A useless list is left alone for ten minutes, and ever longer, unless it would answer twice as many: thousands
        of waits are not taken up all at once, and the first few may be for jobs on the last page.
        """
        if useful:
            self._patience.pop(name, None)
            self._useless_for.pop(name, None)
            return
        patience = self._patience.get(name, _LEFT_ALONE)
        self._alone_until[name] = time.monotonic() + patience
        self._patience[name] = min(2 * patience, _LEFT_ALONE_AT_MOST)
        self._useless_for[name] = count


@dataclass(frozen=True)
class Listed:
    """What lists say about jobs.

    :param seen: the jobs that have not ended, and those whose list could not be asked.
    :param ended: the jobs that a list shows as ended.
    """

    seen: Seen
    ended: frozenset[JobRef] = frozenset()


def listed(refs: Sequence[JobRef], since: datetime, cloud: str, lists: Lists) -> Flow[Listed]:
    """Ask one list for many jobs.

    :param refs: the jobs, all of one :func:`shelf`.
    :param since: when the first of them was submitted.
    :param cloud: see :func:`~airflow_provider_adobe_deletion.adobe.profile.list_jobs`.
    """
    if not lists.worth(shelf(refs[0]), len(refs)):
        return Listed({})
    try:
        jobs = yield from _list(refs, since, cloud)
    except AdobeConfigError:
        raise
    except AdobeError as error:
        if is_outage(error) or isinstance(error, AdobeAuthError):
            return Listed(dict.fromkeys(refs, error))
        lists.learn(shelf(refs[0]), len(refs), useful=False)
        return Listed({})
    by_id = {job_id: job for job in jobs for job_id in _ids(job)}
    found = {ref: by_id[ref.id.casefold()] for ref in refs if ref.id.casefold() in by_id}
    pages = max(1, -(-len(jobs) // _PAGE_SIZE))
    lists.learn(shelf(refs[0]), len(refs), useful=len(found) >= min(len(refs), _JOBS_PER_PAGE_WORTH_IT * pages))
    ended = frozenset(ref for ref, job in found.items() if job.state.terminal)
    return Listed({ref: job for ref, job in found.items() if ref not in ended}, ended)


def alone(poll: Poll, cloud: str, lists: Lists) -> Flow[Seen]:
    """Answer a poll without regard to other waiters."""
    yield Pause(poll.latest)
    seen: Seen = {}
    for name in dict.fromkeys(map(shelf, poll.refs)):
        together = [ref for ref in poll.refs if shelf(ref) == name]
        seen |= (yield from listed(together, poll.since, cloud, lists)).seen
    outages = Outages()
    for ref in poll.refs:
        if ref not in seen:
            seen[ref] = yield from asked(ref, outages)
    return seen


def known(refs: Sequence[JobRef], since: datetime) -> Flow[dict[str, DeletionJob]]:
    """Return those of the jobs, by id, that Adobe knows.

    :param since: when the first of them was submitted.
    :raises AdobeError: Adobe could not be asked about one of them. Then nothing is known of it.
    """
    answers: Seen = yield Poll(tuple(refs), since)
    found: dict[str, DeletionJob] = {}
    for ref, answer in answers.items():
        if isinstance(answer, DeletionJob):
            found[ref.id] = answer
        elif not isinstance(answer, AdobeNotFoundError):
            raise answer
    return found


@dataclass
class Outages:
    """Counts outages in a row: after some, the rest of a round would only meet the same."""

    count: int = 0
    error: AdobeError | None = None

    def learn(self, answer: DeletionJob | AdobeError) -> None:
        """Take note of one answer."""
        out = isinstance(answer, AdobeError) and is_outage(answer)
        self.count = self.count + 1 if out else 0
        if isinstance(answer, AdobeError) and self.count >= _OUTAGES_UNTIL_SHARED:
            self.error = answer


def asked(ref: JobRef, outages: Outages) -> Flow[DeletionJob | AdobeError]:
    """Ask for one job, unless the outage is plain."""
    if outages.error is not None:
        return outages.error
    answer: DeletionJob | AdobeError
    try:
        answer = yield lookup(ref)
    except AdobeConfigError:
        raise
    except AdobeError as error:
        answer = error
    outages.learn(answer)
    return answer


def lookup(ref: JobRef) -> Call[DeletionJob]:
    """Return the call that looks ``ref`` up, and that takes an answer about another job for none."""
    call = _lookup(ref)

    def read(reply: Reply) -> DeletionJob:
        job = call.read(reply)
        ids = [job.id]
        if ref.kind is JobKind.DATASET_EXPIRATION:
            # Adobe takes the dataset's id as well, since a dataset has one expiration at a time.
            ids.append(job.target.get("dataset_id", ""))
        if ref.id.casefold() not in map(str.casefold, ids):
            raise ValueError("it is about another job")
        return job

    return replace(call, read=read)


def _lookup(ref: JobRef) -> Call[DeletionJob]:
    if ref.kind is JobKind.PROFILE:
        from airflow_provider_adobe_deletion.adobe import profile

        return profile.get_job(ref.id)
    if ref.kind is JobKind.DATA_REPAIR:
        from airflow_provider_adobe_deletion.adobe import data_repair

        return data_repair.get_job(ref.scope["report_suite_id"], ref.id)
    if ref.kind is JobKind.WORK_ORDER:
        from airflow_provider_adobe_deletion.adobe import hygiene

        return hygiene.get_work_order(ref.id)
    if ref.kind is JobKind.DATASET_EXPIRATION:
        from airflow_provider_adobe_deletion.adobe import dataset_expiration

        return dataset_expiration.get_expiration(ref.id)
    raise ValueError(f"There is no look-up for jobs of kind {ref.kind.value}.")


def _ids(job: DeletionJob) -> Iterator[str]:
    """Yield what a job may be asked for by: an active expiration also by its dataset, which has but one."""
    yield job.id.casefold()
    if job.ref.kind is JobKind.DATASET_EXPIRATION and not job.state.terminal:
        yield job.target.get("dataset_id", "").casefold()


def _list(refs: Sequence[JobRef], since: datetime, cloud: str) -> Flow[Sequence[DeletionJob]]:
    """Walk a list, but no further than it can pay, and not after all are found."""
    wanted = {ref.id.casefold() for ref in refs}

    def enough(found: Mapping[str, DeletionJob]) -> bool:
        return len(found) >= len(wanted) and wanted <= {job_id.casefold() for job_id in found}

    pages = max(1, len(refs) // _JOBS_PER_PAGE_WORTH_IT)
    kind = refs[0].kind
    if kind is JobKind.PROFILE:
        from airflow_provider_adobe_deletion.adobe import profile

        return (yield from profile.newest_jobs(cloud, max_pages=pages, enough=enough))
    if kind is JobKind.WORK_ORDER:
        from airflow_provider_adobe_deletion.adobe import hygiene

        return (yield from hygiene.orders_since(since, max_pages=pages, enough=enough))
    if kind is JobKind.DATASET_EXPIRATION:
        from airflow_provider_adobe_deletion.adobe import dataset_expiration

        return (yield from dataset_expiration.list_flow(max_pages=pages)).jobs
    from airflow_provider_adobe_deletion.adobe import data_repair

    jobs: Sequence[DeletionJob] = yield data_repair.list_jobs(refs[0].scope["report_suite_id"])
    return jobs
