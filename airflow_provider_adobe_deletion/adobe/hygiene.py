"""Record deletes: work orders, and the quotas that they count against.

Adobe: *Data Hygiene API*, endpoints ``/workorder`` and ``/quota``, in all generations from May 2022 to March
2026. A work order deletes the records of up to 100,000 identities from one dataset, several, or all of them.
It cannot be cancelled, and Adobe may take 30 days for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from airflow_provider_adobe_deletion.adobe.calls import Call, Flow, Reply, Service, checked_id, path_id
from airflow_provider_adobe_deletion.adobe.errors import AdobeAPIError, AdobeProtocolError
from airflow_provider_adobe_deletion.adobe.identities import CHUNK_SIZE, Chunk, PayloadFormat, checked_payload_format
from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobKind, JobRef, JobState, parse_time

ALL_DATASETS = "ALL"
PROFILE_ONLY = ("identity", "profile", "ajo")
DATA_LAKE_ONLY = ("datalake",)
DISPLAY_NAME_LIMIT = 255
DESCRIPTION_LIMIT = 1000
PAGE_SIZE = 100
MAX_PAGES = 50

_STATES = {
    "received": JobState.PENDING,
    "validated": JobState.PENDING,
    "submitted": JobState.RUNNING,
    "ingested": JobState.RUNNING,
    "in-progress": JobState.RUNNING,
    "processing": JobState.RUNNING,
    "completed": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
}
_FAILURE = re.compile("fail|error|abort|cancel|reject|invalid")
_FILTERS = frozenset(
    {
        *("search", "type", "status", "author", "displayName", "description", "workorderId", "sandboxName"),
        *("fromDate", "toDate", "filterDate", "orderBy", "properties", "data", "start", "end"),
    }
)
# Adobe's clock and ours may differ.
_SKEW = timedelta(minutes=5)
_MARKER = re.compile(r"[A-Za-z0-9-]{4,64}", re.ASCII)
_MARKED = re.compile(rf"\[({_MARKER.pattern})\]\s*$", re.ASCII)
# Beside control characters, what would turn the direction of the text around it, and what is no character at all.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_DAILY = ("dailyConsumerDeleteIdentitiesQuota", "IDENTITY_DELETE_DAILY")
_MONTHLY = (
    "monthlyConsumerDeleteIdentitiesQuota",
    "deleteIdentityWorkOrderDatasetQuota",
    "IDENTITY_DELETE_MONTHLY",
)
_EXPIRATIONS = ("datasetExpirationQuota", "expirationDatasetQuota", "EXPIRATION_DATASET")


@dataclass(frozen=True)
class WorkOrderRequest:
    """What a work order is to delete from, and how it is named; the identities come with each chunk.

    :param dataset_id: one dataset's id, a list of them, or ``ALL``; see :func:`check_dataset`.
    :param display_name: its name at Adobe, at most 255 characters. Adobe keeps it: no personal data.
    :param description: at most 1,000 characters. Adobe keeps it, too.
    :param target_services: see :func:`check_target_services`.
    :param payload_format: see :class:`~airflow_provider_adobe_deletion.adobe.identities.PayloadFormat`.
    :param allow_all_datasets: must be true for ``ALL``.
    :raises TypeError: a value is of the wrong type.
    :raises ValueError: Adobe would refuse it, or it is more dangerous than was allowed.
    """

    dataset_id: str | Sequence[str]
    display_name: str
    description: str = ""
    target_services: Sequence[str] | None = None
    payload_format: str = PayloadFormat.IDENTITIES
    allow_all_datasets: bool = False

    def __post_init__(self) -> None:
        checked_text(self.display_name, "display_name", DISPLAY_NAME_LIMIT, required=True)
        checked_text(self.description, "description", DESCRIPTION_LIMIT, lines=True)
        checked_payload_format(self.payload_format)
        self._dataset()

    def body(self, chunk: Chunk) -> bytes:
        """Return the request body that deletes the identities of ``chunk``.

        :raises ValueError: it has none or too many, or namespaces that do not go with the dataset.
        """
        if not 1 <= chunk.count <= CHUNK_SIZE:
            raise ValueError(f"A work order takes 1 to {CHUNK_SIZE:,} identities, not {chunk.count:,}.")
        members: dict[str, Any] = {
            "action": "delete_identity",
            "datasetId": self._dataset(chunk.namespaces),
            "displayName": self.display_name,
        }
        if self.description:
            members["description"] = self.description
        if services := check_target_services(self.target_services):
            members["targetServices"] = list(services)
        # The identities are rendered already, and dumping them again would take longer than all the rest.
        return json.dumps(members).encode()[:-1] + b", " + chunk.payload(self.payload_format) + b"}"

    def _dataset(self, namespaces: Iterable[str] = ()) -> str:
        return check_dataset(
            self.dataset_id,
            allow_all_datasets=self.allow_all_datasets,
            target_services=self.target_services,
            namespaces=namespaces,
        )


class _WorkOrder(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str = Field(validation_alias="workorderId", min_length=1)
    bundle_id: str | None = Field(None, validation_alias=AliasChoices("bundleId", "batchId"))
    dataset_id: str | None = Field(None, validation_alias="datasetId")
    display_name: str | None = Field(None, validation_alias="displayName")
    status: str | None = None
    created: Any = Field(None, validation_alias="createdAt")
    updated: Any = Field(None, validation_alias="updatedAt")
    operation_count: Any = Field(None, validation_alias="operationCount")
    products: Any = Field(None, validation_alias="productStatusDetails")
    message: Any = Field(None, validation_alias="responseMessage")


@dataclass(frozen=True)
class ListPage:
    """One page of a list.

    :param total: how many there are in all, where Adobe says so.
    """

    jobs: tuple[DeletionJob, ...]
    total: int | None


@dataclass(frozen=True)
class Listing:
    """What a walk over a list saw.

    :param complete: ``False`` where the walk ended before what Adobe says is there, so that more may exist.
    """

    jobs: tuple[DeletionJob, ...]
    complete: bool


@dataclass(frozen=True)
class WorkOrderSearch:
    """The work orders that were found for one submission.

    :param trusted: whether finding none means that Adobe shows none now. Adobe promises no read after write, so
        even then one may appear later.
    """

    jobs: tuple[DeletionJob, ...]
    trusted: bool


@dataclass(frozen=True)
class Allowance:
    """One quota. ``None`` means unknown, never zero."""

    consumed: int | None = None
    limit: int | None = None

    @property
    def left(self) -> int | None:
        """What is left of it, or ``None`` if that is unknown."""
        if self.consumed is None or self.limit is None:
            return None
        return max(0, self.limit - self.consumed)


@dataclass(frozen=True)
class Quota:
    """An organisation's quotas.

    :param daily: identities in work orders, until the next 00:00 GMT.
    :param monthly: identities in work orders, until 00:00 GMT of the next first of the month.
    :param expirations: dataset expirations that are active at the same time.
    """

    daily: Allowance = Allowance()
    monthly: Allowance = Allowance()
    expirations: Allowance = Allowance()

    @property
    def left_today(self) -> int | None:
        """How many more identities today's quota takes, or ``None`` if unknown."""
        return self.daily.left

    @property
    def left_this_month(self) -> int | None:
        """How many more identities the month's quota takes, or ``None`` if unknown."""
        return self.monthly.left

    @property
    def left_now(self) -> int | None:
        """How many more identities Adobe takes now, by the quotas that are known; ``None`` if none is."""
        return min((left for left in (self.left_today, self.left_this_month) if left is not None), default=None)


def check_target_services(value: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the target services in Adobe's order.

    :param value: ``None`` for all, ``["identity", "profile", "ajo"]`` in any order for all but the data lake, or
        ``["datalake"]`` for the data lake alone, as organisations with only Customer Journey Analytics need it.
    :raises TypeError: it is not a list of texts.
    :raises ValueError: Adobe documents no such combination.
    """
    if value is None:
        return None
    if not isinstance(value, list | tuple | set | frozenset) or not all(isinstance(name, str) for name in value):
        raise TypeError("target_services must be a list of names.")
    for known in (PROFILE_ONLY, DATA_LAKE_ONLY):
        if sorted(value) == sorted(known):
            return known
    raise ValueError(
        f"target_services must be left out, or be {list(PROFILE_ONLY)} or {list(DATA_LAKE_ONLY)}: Adobe takes no other "
        "combination."
    )


def check_dataset(
    dataset_id: str | Sequence[str],
    *,
    allow_all_datasets: bool = False,
    target_services: Sequence[str] | None = None,
    namespaces: Iterable[str] = (),
) -> str:
    """Return the datasets as the request names them: an id, ids separated by commas, or ``ALL``.

    :param dataset_id: one id, a list of ids, or ``ALL``.
    :param allow_all_datasets: must be true for ``ALL``.
    :param target_services: see :func:`check_target_services`. Without the data lake, Adobe demands ``ALL``.
    :param namespaces: the identities' namespaces, once they are known. A single dataset has one primary
        identity, so identities of another namespace would match nothing.
    :raises TypeError: an id is not a string.
    :raises ValueError: the combination is none of these.
    """
    ids = _dataset_ids(dataset_id)
    profile_only = check_target_services(target_services) == PROFILE_ONLY
    if ALL_DATASETS in ids:
        if len(ids) > 1:
            raise ValueError("dataset_id: ALL cannot be mixed with the ids of datasets.")
        if not allow_all_datasets:
            raise ValueError(
                "dataset_id is ALL, which deletes from every dataset of the sandbox. Set allow_all_datasets=True to "
                "allow that."
            )
        return ALL_DATASETS
    if profile_only:
        raise ValueError(
            f"target_services without the data lake go only with dataset_id='{ALL_DATASETS}' and "
            "allow_all_datasets=True."
        )
    codes = sorted(set(namespaces))
    if len(ids) == 1 and len(codes) > 1:
        raise ValueError(
            f"The identities have {len(codes)} namespaces ({', '.join(codes[:10])}), but a single dataset takes only "
            "that of its primary identity. Submit each namespace with its own dataset_id, or give several datasets."
        )
    return ",".join(ids)


def checked_text(value: object, name: str, limit: int, *, required: bool = False, lines: bool = False) -> str:
    """Return ``value`` if Adobe can keep it as a name or description.

    :param limit: how many characters it may have.
    :param required: whether it must not be empty.
    :param lines: whether it may have several lines.
    :raises TypeError: it is not a string.
    :raises ValueError: it is too long, has control characters, or is empty.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}.")
    if required and not value.strip():
        raise ValueError(f"{name} is empty.")
    if len(value) > limit:
        raise ValueError(f"{name} has {len(value):,} characters; Adobe takes at most {limit:,}.")
    if _CONTROL.search(re.sub(r"[\r\n\t]", " ", value) if lines else value):
        raise ValueError(f"{name} has a control character.")
    return value


def display_name_with_marker(display_name: str, marker: str) -> str:
    """Return ``display_name`` with ``marker`` behind it, as in ``Nightly clean-up [adp-1a2b3c4d]``.

    The marker is kept whole and the name is cut where both do not fit into 255 characters.

    :param marker: 4 to 64 ASCII letters, digits or ``-``, the same whenever the same work is submitted again.
    :raises ValueError: the marker cannot be one.
    """
    if not _MARKER.fullmatch(marker):
        raise ValueError("A marker must be 4 to 64 ASCII letters, digits or -.")
    ending = f" [{marker}]"
    return (display_name[: DISPLAY_NAME_LIMIT - len(ending)].rstrip() + ending).lstrip()


def has_marker(display_name: object, marker: str) -> bool:
    """Whether :func:`display_name_with_marker` put ``marker`` behind this name."""
    return isinstance(display_name, str) and display_name.rstrip().endswith(f"[{marker}]")


def create_work_order(request: WorkOrderRequest, chunk: Chunk) -> Call[DeletionJob]:
    """Ask for a work order that deletes the identities of ``chunk``. It cannot be cancelled."""
    return Call(
        Service.HYGIENE,
        "POST",
        "/workorder",
        f"create a work order for {chunk.count:,} identities",
        _read_work_order,
        body=request.body(chunk),
        repeatable=False,
        confidential=chunk.values,
    )


def get_work_order(workorder_id: str) -> Call[DeletionJob]:
    """Look a work order up by its id."""
    path = f"/workorder/{path_id(workorder_id, 'workorder_id')}"
    return Call(Service.HYGIENE, "GET", path, f"look up work order {workorder_id}", _read_work_order)


def list_work_orders(page: int = 0, filters: Mapping[str, str] | None = None) -> Call[ListPage]:
    """Return one page of the list.

    :param page: its number, from 0.
    :param filters: Adobe's query parameters, such as ``status`` or ``displayName``.
    :raises ValueError: there is no such filter, or only one end of a date range is given.
    """
    chosen = dict(filters or {})
    if unknown := sorted(set(chosen) - _FILTERS):
        raise ValueError(f"Work orders cannot be filtered by {', '.join(unknown)}.")
    if ("fromDate" in chosen) != ("toDate" in chosen):
        raise ValueError("fromDate and toDate go together.")
    # Adobe's documents name two different default page sizes, so it is always sent.
    params = {**chosen, "page": str(page), "limit": str(PAGE_SIZE)}
    return Call(Service.HYGIENE, "GET", "/workorder", "list the work orders", _read_page, params=params)


def list_flow(filters: Mapping[str, str] | None = None, *, max_pages: int = MAX_PAGES) -> Flow[Listing]:
    """Walk the list of work orders; ``filters`` as for :func:`list_work_orders`."""
    return (yield from walk(_pages(filters), max_pages=max_pages))


def orders_since(
    since: datetime, *, max_pages: int, enough: Callable[[Mapping[str, DeletionJob]], bool]
) -> Flow[tuple[DeletionJob, ...]]:
    """Walk the list of the work orders since then until it is enough; for somebody who knows their ids.

    :param max_pages: how many pages to read at the most.
    :param enough: whether what was found so far will do.
    """
    return (yield from walk(_pages(_window(since, None)), max_pages=max_pages, enough=enough)).jobs


def list_since(since: datetime, *, now: datetime | None = None) -> Flow[Listing]:
    """Walk the list of the work orders that were created since then."""
    listing = yield from walk(_pages(_window(since, now)))
    recent = tuple(job for job in listing.jobs if job.created_at is None or job.created_at >= since - _SKEW)
    return Listing(recent, listing.complete)


def find(
    display_name: str,
    *,
    dataset_id: str,
    since: datetime,
    sandbox_name: str | None = None,
    now: datetime | None = None,
) -> Flow[WorkOrderSearch]:
    """Look for a work order that a lost request may have created.

    Adobe's filter by name is asked first. What it matches is not documented, and one service refused it, so where
    it leads to nothing, all work orders since then are walked through. Only an equal name counts,
    or one with the same marker.

    :param display_name: the whole name, with its marker.
    :param dataset_id: the datasets as the request named them, see :func:`check_dataset`.
    :param since: when the request was first sent.
    :param sandbox_name: the sandbox it was sent to.
    :raises AdobeError: Adobe could not be asked. Then nothing is known, and nothing may be submitted.
    """
    by_name = {"displayName": display_name, **({"sandboxName": sandbox_name} if sandbox_name else {})}
    complete = unnamed = False
    for filters in (by_name, _window(since, now)):
        listing = yield from _listed_unless_refused(_pages(filters))
        if listing is None:
            continue
        recent = [job for job in listing.jobs if job.created_at is None or job.created_at >= since - _SKEW]
        if ours := tuple(job for job in recent if _is_meant(job, display_name) and deletes_from(job, dataset_id)):
            return WorkOrderSearch(ours, trusted=True)
        # What the filter by name matches is not documented, so only the window's end proves absence.
        complete = listing.complete and filters is not by_name
        # The first generation has no names. A recent work order without one may be ours.
        unnamed = unnamed or any("display_name" not in job.details for job in recent)
    return WorkOrderSearch((), trusted=complete and not unnamed)


def rename(workorder_id: str, display_name: str, description: str = "") -> Flow[DeletionJob]:
    """Give a work order a new name and description.

    The documents disagree on the member's name, so ``name`` is sent first, and ``displayName`` where that did not help.

    :raises AdobeProtocolError: Adobe accepted both, and still shows the former name.
    """
    checked_text(display_name, "display_name", DISPLAY_NAME_LIMIT, required=True)
    checked_text(description, "description", DESCRIPTION_LIMIT, lines=True)
    for member in ("name", "displayName"):
        try:
            job: DeletionJob = yield _update_work_order(workorder_id, member, display_name, description)
        except AdobeAPIError as error:
            if member == "name" and error.status == 400:
                continue
            raise
        if "display_name" not in job.details:
            job = yield get_work_order(workorder_id)
        if _is_named(job, display_name):
            return job
    raise AdobeProtocolError(
        f"Adobe accepted a new name for work order {workorder_id}, but still shows the former one."
    )


def quota() -> Call[Quota]:
    """Ask for the organisation's quotas. They are the same in all its sandboxes."""
    # Asked without a type, because the documents disagree on the types' names.
    return Call(Service.HYGIENE, "GET", "/quota", "look up the quotas", _read_quota)


def next_daily_reset(now: datetime) -> datetime:
    """Return when the daily quota begins anew: the next 00:00 GMT."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(days=1)


def next_monthly_reset(now: datetime) -> datetime:
    """Return when the monthly quota begins anew: 00:00 GMT of the next first of the month."""
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=31)).replace(day=1)


def walk(
    page_call: Callable[[int], Call[ListPage]],
    *,
    max_pages: int = MAX_PAGES,
    enough: Callable[[Mapping[str, DeletionJob]], bool] = lambda found: False,
) -> Flow[Listing]:
    """Walk a list whose pages are numbered from 0, whatever the server says about what comes next.

    Adobe's link to the next page leads out of the API, and is there on the last page, too. Some servers ignore
    the page size, so a short page ends the list only where the total is unknown.

    :param page_call: returns the call for a page.
    :param enough: whether what was found so far will do.
    """
    found: dict[str, DeletionJob] = {}
    number = 0
    for _ in range(max_pages):
        page: ListPage = yield page_call(number)
        new = {job.id: job for job in page.jobs if job.id not in found}
        found.update(new)
        if enough(found):
            break
        if page.total is not None and len(found) >= page.total:
            return Listing(tuple(found.values()), complete=True)
        if not new and (number == 0 or page.total is None):
            return Listing(tuple(found.values()), complete=page.total is None and not page.jobs)
        if page.total is None and len(page.jobs) < PAGE_SIZE:
            return Listing(tuple(found.values()), complete=True)
        # What was created during the walk is on the first page now, and has moved the others on.
        number = number + 1 if new else 0
    return Listing(tuple(found.values()), complete=False)


def _pages(filters: Mapping[str, str] | None) -> Callable[[int], Call[ListPage]]:
    return lambda page: list_work_orders(page, filters)


def _listed_unless_refused(
    page_call: Callable[[int], Call[ListPage]],
    *,
    max_pages: int = MAX_PAGES,
    enough: Callable[[Mapping[str, DeletionJob]], bool] = lambda found: False,
) -> Flow[Listing | None]:
    """Walk a list; ``None`` where Adobe refuses the filter, which says nothing about what exists."""
    try:
        return (yield from walk(page_call, max_pages=max_pages, enough=enough))
    except AdobeAPIError as error:
        if error.status == 400:
            return None
        raise


def _window(since: datetime, now: datetime | None) -> dict[str, str]:
    """Return the filter for what was created since then; whole days, and one more at both ends."""
    day = timedelta(days=1)
    first, last = since.astimezone(UTC) - day, (now or datetime.now(UTC)).astimezone(UTC) + day
    return {"fromDate": first.date().isoformat(), "toDate": last.date().isoformat()}


def _is_named(job: DeletionJob, display_name: str) -> bool:
    return str(job.details.get("display_name", "")).strip() == display_name.strip()


def _is_meant(job: DeletionJob, display_name: str) -> bool:
    """Whether it is the order of that name; the part before the marker may have come out of a template anew."""
    return _is_named(job, display_name) or (marker_of(job) is not None and marker_of(job) == _marker_in(display_name))


def marker_of(job: DeletionJob) -> str | None:
    """Return the marker that :func:`display_name_with_marker` put behind a work order's name, if it has one."""
    return _marker_in(str(job.details.get("display_name", "")))


def _marker_in(display_name: str) -> str | None:
    found = _MARKED.search(display_name)
    return found[1] if found else None


def deletes_from(job: DeletionJob, dataset_id: str) -> bool:
    """Whether a work order is about these datasets, as far as it says.

    :param dataset_id: the datasets as the request named them, see :func:`check_dataset`.
    """
    shown = job.target.get("dataset_id")
    return shown is None or _id_set(shown) == _id_set(dataset_id)


def _id_set(dataset_id: str) -> set[str]:
    return {part.strip() for part in dataset_id.split(",")}


def _update_work_order(workorder_id: str, member: str, display_name: str, description: str) -> Call[DeletionJob]:
    body = {member: display_name, **({"description": description} if description else {})}
    path = f"/workorder/{path_id(workorder_id, 'workorder_id')}"
    return Call(Service.HYGIENE, "PUT", path, f"rename work order {workorder_id}", _read_work_order, body=body)


def _dataset_ids(dataset_id: str | Sequence[str]) -> list[str]:
    single = isinstance(dataset_id, str)
    if not single and not isinstance(dataset_id, list | tuple):
        raise TypeError("dataset_id must be an id, a list of ids, or 'ALL'.")
    ids = [checked_id(value, "dataset_id") for value in ([dataset_id] if single else dataset_id)]
    if not ids:
        raise ValueError("dataset_id is empty.")
    if len(set(ids)) != len(ids):
        raise ValueError("dataset_id names a dataset twice.")
    if any(value != ALL_DATASETS and value.upper() == ALL_DATASETS for value in ids):
        raise ValueError("dataset_id: write ALL in capitals to delete from every dataset.")
    return ids


def _read_work_order(reply: Reply) -> DeletionJob:
    return _normalised(reply.body)


def _normalised(body: Any) -> DeletionJob:
    if not isinstance(body, dict) or not body.get("workorderId"):
        raise ValueError("no workorderId")
    order = _WorkOrder.model_validate(body)
    target = {"dataset_id": order.dataset_id, "bundle_id": order.bundle_id}
    return DeletionJob(
        ref=JobRef(JobKind.WORK_ORDER, order.id),
        state=_state(order.status or ""),
        status=order.status or "",
        target={name: value for name, value in target.items() if value},
        created_at=parse_time(order.created),
        updated_at=parse_time(order.updated),
        details=_details(order),
    )


def _state(status: str) -> JobState:
    name = status.lower().replace("_", "-")
    return _STATES.get(name) or (JobState.FAILED if _FAILURE.search(name) else JobState.UNKNOWN)


def _details(order: _WorkOrder) -> dict[str, Any]:
    """Return what is worth keeping. A message may echo identities, so only that there is one is kept."""
    details: dict[str, Any] = {}
    if (count := _figure(order.operation_count)) is not None:
        details["operation_count"] = count
    if products := _products(order.products):
        details["products"] = products
    if order.display_name is not None:
        details["display_name"] = order.display_name[:DISPLAY_NAME_LIMIT]
    if order.message:
        details["has_response_message"] = True
    return details


def _products(value: Any) -> dict[str, str]:
    """Return each downstream product's status."""
    entries = [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
    pairs = [(entry.get("productName"), entry.get("productStatus")) for entry in entries[:20]]
    return {name[:64]: status[:64] for name, status in pairs if isinstance(name, str) and isinstance(status, str)}


def _read_page(reply: Reply) -> ListPage:
    entries = reply.body.get("results") if isinstance(reply.body, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a list of work orders")
    return ListPage(tuple(_normalised(entry) for entry in entries), _figure(reply.body.get("total")))


def _figure(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _read_quota(reply: Reply) -> Quota:
    entries = reply.body.get("quotas") if isinstance(reply.body, dict) else None
    if not isinstance(entries, list):
        raise ValueError("no quotas")
    known = {
        str(entry.get("name")).casefold(): Allowance(_figure(entry.get("consumed")), _figure(entry.get("quota")))
        for entry in entries
        if isinstance(entry, dict)
    }
    return Quota(*(_allowance(known, names) for names in (_DAILY, _MONTHLY, _EXPIRATIONS)))


def _allowance(known: Mapping[str, Allowance], names: Iterable[str]) -> Allowance:
    return next((known[name.casefold()] for name in names if name.casefold() in known), Allowance())
