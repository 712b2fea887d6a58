"""The one normalised view of a job that runs at Adobe, whatever service and generation it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

_EPOCH = datetime.fromtimestamp(0, UTC)


ALREADY_EXISTED = "already_existed"
"""Detail of a job that Adobe had before it was asked for, and that was adopted."""


class JobState(StrEnum):
    """What a remote status means for somebody who waits."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """A status that Adobe's documents do not name: not terminal, bounded by the waiter's deadline."""
    GONE = "gone"
    """Adobe no longer knows the job: somebody removed it."""

    @property
    def terminal(self) -> bool:
        """Whether the job has ended."""
        return self in _TERMINAL


_TERMINAL = {JobState.SUCCEEDED, JobState.FAILED, JobState.GONE}


class JobKind(StrEnum):
    """Which service a job belongs to."""

    PROFILE = "profile_system_job"
    DATA_REPAIR = "data_repair"
    WORK_ORDER = "work_order"
    DATASET_EXPIRATION = "dataset_expiration"


@dataclass(frozen=True)
class JobRef:
    """What it takes to look a job up again: small, and safe to store as plain text.

    :param scope: what the id belongs to, where it does not stand alone, such as the report suite.
    """

    kind: JobKind
    id: str
    scope: Mapping[str, str] = field(default_factory=dict, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {"kind": self.kind.value, "id": self.id, **({"scope": dict(self.scope)} if self.scope else {})}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JobRef:
        """Read what :meth:`to_dict` wrote."""
        return cls(kind=JobKind(data["kind"]), id=str(data["id"]), scope=dict(data.get("scope", {})))


@dataclass(frozen=True)
class DeletionJob:
    """A deletion or repair that runs, or ran, at Adobe.

    :param ref: how to look it up.
    :param state: what its status means.
    :param status: the status as Adobe spells it.
    :param target: what it deletes or repairs, as ids: never identity values.
    :param created_at: when Adobe says it was created.
    :param updated_at: when Adobe says it last changed.
    :param details: figures that Adobe reports about it, such as rows processed.
    """

    ref: JobRef
    state: JobState
    status: str
    target: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The job's id at Adobe."""
        return self.ref.id

    def summary(self) -> dict[str, Any]:
        """Return it as JSON-ready values, for XComs and trigger events: ids, states, counts, times."""
        return {
            **self.ref.to_dict(),
            "state": self.state.value,
            "status": self.status,
            "target": dict(self.target),
            "created_at": _iso(self.created_at),
            "updated_at": _iso(self.updated_at),
            "details": dict(self.details),
        }


def newest(jobs: Iterable[DeletionJob]) -> DeletionJob:
    """Return the job that was created last."""
    return max(jobs, key=lambda job: (job.created_at or _EPOCH, job.id))


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def parse_time(value: Any) -> datetime | None:
    """Read a time as Adobe's generations write it: epoch seconds, epoch milliseconds, or ISO 8601.

    A time without a zone is UTC. What cannot be read is ``None``: a time is never worth failing for.
    """
    if isinstance(value, bool) or value is None:
        return None
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, tz=UTC)
        moment = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
