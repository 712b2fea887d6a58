"""The work orders of one task: what they are made of, which exist already, and which fit into the quota."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from airflow_provider_adobe_deletion.adobe.calls import Flow
from airflow_provider_adobe_deletion.adobe.errors import AdobeError
from airflow_provider_adobe_deletion.adobe.hygiene import (
    WorkOrderRequest,
    check_dataset,
    check_target_services,
    create_work_order,
    deletes_from,
    display_name_with_marker,
    find,
    list_since,
    marker_of,
)
from airflow_provider_adobe_deletion.adobe.identities import Chunk, IdentitySource, Plan
from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobKind, JobRef, JobState, newest
from airflow_provider_adobe_deletion.adobe.lookup import known
from airflow_provider_adobe_deletion.adobe.quota import Shortage
from airflow_provider_adobe_deletion.submission import Found
from airflow_provider_adobe_deletion.submission_record import Identity, Record, Records, StateStore, SubmissionError

if TYPE_CHECKING:
    from airflow_provider_adobe_deletion.adobe.config import AdobeConfig

_EVENT_VERSION = 1
_MARKER = re.compile(r"adp-([0-9a-f]+)-([0-9]+)")
_ENDED_BADLY = (JobState.FAILED, JobState.GONE)


class QuotaError(SubmissionError):
    """Adobe's quota has no room for what is still to be submitted. Nothing was submitted now."""


class IdentitiesUnreadableError(AdobeError):
    """The identities' file cannot be opened or read now."""


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Keep what a storage library says out of the log: it may quote the path, and with it a credential."""
    try:
        yield
    except Exception as error:
        reason = type(error).__name__
        if isinstance(error, OSError) and error.errno is not None:
            reason += f": {os.strerror(error.errno)}"
        # Where the address itself is wrong (no such protocol, for one), a retry finds it as wrong.
        hopeless = what == "opened" and type(error) is ValueError
        kind = ValueError if hopeless else IdentitiesUnreadableError
        advice = (
            " What reads such an address (for s3, the Amazon provider and s3fs) may be missing." if hopeless else ""
        )
        raise kind(f"identities_path cannot be {what} ({reason}). Nothing was submitted now.{advice}") from None


class GuardedStream:
    """A binary stream whose errors are ours."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes."""
        with guarded("read"):
            return self._stream.read(size)

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class QuotaSpent(Exception):
    """The next work order does not fit before the quota's reset.

    :param renewed_at: when that is.
    """

    def __init__(self, lack: Shortage, renewed_at: datetime) -> None:
        super().__init__(str(lack))
        self.renewed_at = renewed_at


@dataclass(frozen=True)
class Progress:
    """What a task has submitted before it paused for the quota; it travels through the trigger.

    :param stamp: the :attr:`Orders.stamp` of the work, so that other work is not taken for it.
    :param orders: by number, each work order's id and when it was submitted.
    """

    stamp: str = ""
    orders: Mapping[int, tuple[str, datetime]] = field(default_factory=dict)

    def to_event(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        orders = {str(number): [order, at.isoformat()] for number, (order, at) in self.orders.items()}
        return {"version": _EVENT_VERSION, "stamp": self.stamp, "workorders": orders}

    @classmethod
    def from_event(cls, event: Any) -> Progress:
        """Read what :meth:`to_event` wrote.

        :raises ValueError: it is not that.
        """
        try:
            if event["version"] != _EVENT_VERSION:
                raise ValueError
            orders = {
                int(number): (str(order), datetime.fromisoformat(at))
                for number, (order, at) in event["workorders"].items()
            }
            return cls(str(event["stamp"]), orders)
        except (TypeError, LookupError, ValueError, AttributeError):
            raise ValueError("The trigger's event is not one that this version of the provider understands.") from None


class _Chunks:
    """Hands out chunks by their number, reading the list no more often than needed."""

    def __init__(self, source: IdentitySource, plan: Plan) -> None:
        self._source = source
        self._plan = plan
        self._rest: Iterator[Chunk] = iter(())
        self._current: Chunk | None = None

    def __getitem__(self, number: int) -> Chunk:
        if self._current is None or self._current.number > number:
            self._rest = self._source.chunks(self._plan, number)
            self._current = next(self._rest)
        while self._current.number < number:
            self._current = next(self._rest)
        return self._current


class Orders:
    """All work orders of one task. They are numbered from 1, and the same input always gives the same orders.

    :param request: what they have in common; its display name is without the marker.
    :param source: the identities.
    :param plan: what a scan of them found.
    :param identity: whose they are.
    :param config: where they go.
    :param adobe_conn_id: the connection.
    """

    def __init__(
        self,
        request: WorkOrderRequest,
        source: IdentitySource,
        plan: Plan,
        *,
        identity: Identity,
        config: AdobeConfig,
        adobe_conn_id: str,
    ) -> None:
        self.request = request
        self.plan = plan
        self.config = config
        self._identity = identity
        self._adobe_conn_id = adobe_conn_id
        self._chunks = _Chunks(source, plan)

    @property
    def numbers(self) -> range:
        """The orders' numbers."""
        return range(1, len(self.plan.chunks) + 1)

    def count(self, numbers: Collection[int]) -> int:
        """Return how many identities some orders hold."""
        return sum(self.plan.chunks[number - 1].count for number in numbers)

    def marker(self, number: int) -> str:
        """Return what tells an order from all others: the same for every try, and no personal data."""
        return f"adp-{self._identity.marker}-{number}"

    def number_of(self, job: DeletionJob) -> int | None:
        """Return a work order's number, if it is one of these by its marker and its datasets."""
        found = _MARKER.fullmatch(marker_of(job) or "")
        if found is None or found[1] != self._identity.marker or not deletes_from(job, self.dataset):
            return None
        return int(found[2])

    @property
    def dataset(self) -> str:
        """The datasets as Adobe is told them."""
        return check_dataset(
            self.request.dataset_id,
            allow_all_datasets=self.request.allow_all_datasets,
            target_services=self.request.target_services,
            namespaces=self.plan.namespaces,
        )

    @property
    def fingerprint(self) -> dict[str, str]:
        """What all orders have in common, as ids and digests."""
        return {
            "identities": f"sha256 {self.plan.digest[:16]}",
            "dataset": self.dataset,
            "target services": ", ".join(check_target_services(self.request.target_services) or ("all",)),
            "connection": self._adobe_conn_id,
            "organisation": self.config.org_id,
            "sandbox": self.config.sandbox_name or self.config.sandbox_id,
        }

    @property
    def stamp(self) -> str:
        """A short digest of the fingerprint and the way the identities are cut into orders."""
        text = json.dumps([self.fingerprint, [chunk.digest for chunk in self.plan.chunks]])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def work(self, number: int, admit: Callable[[int], None]) -> OrderWork:
        """Return the submission of one order.

        :param admit: called with the count of identities before the request; may raise :class:`QuotaSpent`.
        """
        from dataclasses import replace

        name = display_name_with_marker(self.request.display_name, self.marker(number))
        return OrderWork(self, number, replace(self.request, display_name=name), admit)

    def chunk(self, number: int) -> Chunk:
        """Return an order's identities."""
        return self._chunks[number - 1]


class OrderWork:
    """The submission of one work order.

    :param orders: which it is one of.
    :param number: its number.
    :param request: with the marker in its display name.
    :param admit: see :meth:`Orders.work`.
    """

    def __init__(self, orders: Orders, number: int, request: WorkOrderRequest, admit: Callable[[int], None]) -> None:
        self._orders = orders
        self._number = number
        self._request = request
        self._admit = admit
        self.asked = False
        """Whether Adobe was asked for the order now."""
        self.seen = False
        """Whether a search has seen the order, now or of an earlier try."""

    @property
    def what(self) -> str:
        """What is submitted, for messages."""
        plan = self._orders.plan
        return (
            f"work order {self._number} of {len(plan.chunks)} ({plan.chunks[self._number - 1].count:,} identities, "
            f"dataset {self._orders.dataset}, marker {self._orders.marker(self._number)})"
        )

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """What is deleted, and where."""
        chunk = self._orders.plan.chunks[self._number - 1]
        return {
            **self._orders.fingerprint,
            "namespaces": ", ".join(chunk.namespaces),
            "this order's identities": f"{chunk.count:,}, sha256 {chunk.digest[:16]}",
        }

    def prepare(self) -> Flow[None]:
        """Read the identities, and make sure that they fit into the quota."""
        self._admit(self._orders.chunk(self._number).count)
        yield from ()

    def refused(self, error: AdobeError) -> Flow[None]:
        """Do nothing: the task looks at the quota."""
        yield from ()

    def create(self, since: datetime, secret: str | None) -> Flow[DeletionJob]:
        """Ask for the order."""
        self.asked = True
        job: DeletionJob = yield create_work_order(self._request, self._orders.chunk(self._number))
        return job

    def find(self, since: datetime) -> Flow[Found]:
        """Search for orders with this one's marker that are not older than ``since``."""
        found = yield from find(
            self._request.display_name,
            dataset_id=self._orders.dataset,
            since=since,
            sandbox_name=self._orders.config.sandbox_name or None,
        )
        self.seen = self.seen or bool(found.jobs)
        return Found(found.jobs, found.trusted)

    def is_of(self, job: DeletionJob) -> bool:
        """Whether the order deletes from these datasets; somebody may have renamed it."""
        return deletes_from(job, self._orders.dataset)


@dataclass(frozen=True)
class Survey:
    """What is known of the orders before anything is submitted.

    :param jobs: the orders that this task knows to be its own, by number.
    :param listed: those that only Adobe's list shows, by number; ``None`` where the list was not needed.
    :param pending: the numbers of those that are still to be submitted.
    :param unclear: those of the pending that an earlier try may have submitted; their quota may be used already.
    """

    jobs: Mapping[int, DeletionJob]
    listed: Mapping[int, DeletionJob] | None
    pending: tuple[int, ...]
    unclear: frozenset[int]

    def is_untried(self, number: int, absent: bool) -> bool:
        """Whether no earlier try can have attempted an order, as they are posted one after the other.

        :param absent: whether one before it was certainly never posted until now.
        """
        return self.listed is not None and absent and number > max([*self.listed, *self.jobs], default=0)


def survey(
    orders: Orders, identity: Identity, store: StateStore | None, progress: Progress, *, adopt: bool
) -> Flow[Survey]:
    """Find out which orders exist, with as few requests as possible: none on a task's first try.

    :param adopt: whether the orders of an earlier generation count, or are submitted anew.
    """
    records = {number: Records(store, str(number), identity.submission_key) for number in orders.numbers}
    ids = {number: order for number, (order, _) in progress.orders.items()}
    unclear: set[int] = set()
    for number, entry in records.items():
        record = entry.load()
        if record is None or record.refused or not _counts(orders, number, record, identity, adopt):
            continue
        if record.job is None:
            unclear.add(number)
        else:
            ids.setdefault(number, record.job.id)
    jobs: Mapping[int, DeletionJob] = {}
    if ids:
        found = yield from known([JobRef(JobKind.WORK_ORDER, order) for order in ids.values()], identity.since)
        jobs = {number: found[order] for number, order in ids.items() if order in found}
    listed = None
    # A store that a Clear has emptied is as good as none.
    if not identity.first_try and (store is None or identity.cleared) and any(not e.any() for e in records.values()):
        by_marker = yield from _listed(orders, identity.since)
        listed = {number: job for number, job in by_marker.items() if number not in ids}
    adopted = listed if listed and (adopt or not identity.first_of_generation) else {}
    there = {number for number, job in {**adopted, **jobs}.items() if job.state not in _ENDED_BADLY}
    there.update(progress.orders)
    pending = tuple(number for number in orders.numbers if number not in there)
    return Survey(jobs, listed, pending, frozenset(unclear.intersection(pending)))


def _counts(orders: Orders, number: int, record: Record, identity: Identity, adopt: bool) -> bool:
    if record.generation == identity.generation:
        return True
    mine = dict(orders.work(number, lambda count: None).fingerprint)
    # A connection may be renamed, and still lead to the same place.
    return adopt and {**record.fingerprint, "connection": ""} == {**mine, "connection": ""}


def _listed(orders: Orders, since: datetime) -> Flow[dict[int, DeletionJob]]:
    """Return the orders with this task's marker, by number: what runs or succeeded rather than what failed."""
    found: dict[int, list[DeletionJob]] = {}
    for job in (yield from list_since(since)).jobs:
        number = orders.number_of(job)
        if number is not None:
            found.setdefault(number, []).append(job)
    return {number: _best(jobs) for number, jobs in found.items()}


def _best(jobs: Sequence[DeletionJob]) -> DeletionJob:
    return newest([job for job in jobs if job.state not in _ENDED_BADLY] or jobs)
