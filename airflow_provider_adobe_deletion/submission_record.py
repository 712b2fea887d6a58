"""What a task remembers of its submissions, and where: small, plain, readable by every viewer of the task."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from airflow_provider_adobe_deletion.adobe.errors import AdobeError
from airflow_provider_adobe_deletion.adobe.jobs import JobRef

_VERSION = 1
_KEY = "adobe_submission"


class SubmissionError(AdobeError):
    """Nothing was submitted, and a retry would not change that; the message says how to go on."""


class IndeterminateError(SubmissionError):
    """It cannot be told whether Adobe has the job, so a person must decide."""


class StateStore(Protocol):
    """Where records live: Airflow's task state store, or nothing on Airflow before 3.3."""

    def get(self, key: str) -> Any:
        """Return the value, or ``None``."""

    def set(self, key: str, value: dict[str, Any]) -> None:
        """Keep the value until it is replaced."""


@dataclass(frozen=True)
class Identity:
    """Whose submission it is.

    :param submission_key: what the user added to tell one submission of a task from another.
    :param generation: ``ti.max_tries``: constant over retries, raised only when a user clears the task.
    :param first_try: whether this task has never run before, retries and clears included.
    :param first_of_generation: whether it has not run since the last clear, if there was one.
    :param cleared: whether a user has cleared the task before.
    :param since: a time before which this task cannot have submitted anything.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    submission_key: str | None
    generation: int
    first_try: bool
    first_of_generation: bool
    cleared: bool
    since: datetime

    @property
    def marker(self) -> str:
        """A short digest that tells this task's submissions from all others, the same for every try."""
        parts = (self.dag_id, self.run_id, self.task_id, str(self.map_index), self.submission_key or "")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Record:
    """One submission of one generation.

    :param fingerprint: what the job is made of.
    :param at: when it was first attempted.
    :param sent_at: when the request left last.
    :param known: ids of jobs like it that existed before.
    :param job: the job, once it is known.
    :param ours: whether this task made the job, rather than found it running.
    :param previous: ids of earlier jobs of the same submission, which failed.
    :param sealed: the secret of the request, encrypted.
    :param refused: whether Adobe refused the request for certain.
    """

    generation: int
    fingerprint: Mapping[str, str]
    at: datetime
    sent_at: datetime
    known: tuple[str, ...] = ()
    job: JobRef | None = None
    ours: bool = True
    previous: tuple[str, ...] = ()
    sealed: str | None = field(default=None, repr=False)
    refused: bool = False

    @property
    def ids(self) -> tuple[str, ...]:
        """All jobs of the submission so far."""
        return (*self.previous, self.job.id) if self.job else self.previous

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {
            "generation": self.generation,
            "fingerprint": dict(self.fingerprint),
            "at": self.at.isoformat(),
            "sent_at": self.sent_at.isoformat(),
            "known": list(self.known),
            "job": self.job.to_dict() if self.job else None,
            "ours": self.ours,
            "previous": list(self.previous),
            "sealed": self.sealed,
            "refused": self.refused,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """Read what :meth:`to_dict` wrote."""
        return cls(
            generation=int(data["generation"]),
            fingerprint=dict(data["fingerprint"]),
            at=datetime.fromisoformat(data["at"]),
            sent_at=datetime.fromisoformat(data["sent_at"]),
            known=tuple(data["known"]),
            job=JobRef.from_dict(data["job"]) if data["job"] else None,
            ours=data["ours"],
            previous=tuple(data["previous"]),
            sealed=data["sealed"],
            refused=data["refused"],
        )


class Records:
    """The records of one task (or of one slot of it), by ``submission_key``.

    :param store: where they are kept, or ``None``: then nothing is remembered.
    :param slot: tells several submissions of one task apart.
    """

    def __init__(self, store: StateStore | None, slot: str, submission_key: str | None) -> None:
        self._store = store
        self._key = f"{_KEY}.{slot}" if slot else _KEY
        self._name = hashlib.sha256((submission_key or "").encode()).hexdigest()[:16]

    @property
    def durable(self) -> bool:
        """Whether there is a store."""
        return self._store is not None

    def any(self) -> bool:
        """Whether there is a record under any ``submission_key``, so that the store has not been emptied."""
        return bool(self._all())

    def load(self) -> Record | None:
        """Return the record of this ``submission_key``.

        :raises IndeterminateError: there is something, and it cannot be read.
        """
        data = self._all().get(self._name)
        try:
            return None if data is None else Record.from_dict(data)
        except (TypeError, LookupError, ValueError):
            raise _unreadable() from None

    def save(self, record: Record) -> None:
        """Keep the record. A stale attempt's write fails in Airflow, which keeps it from submitting."""
        if self._store is not None:
            records = {**self._all(), self._name: record.to_dict()}
            self._store.set(self._key, {"version": _VERSION, "records": records})

    def _all(self) -> dict[str, Any]:
        data = self._store.get(self._key) if self._store is not None else None
        if data is None:
            return {}
        if not isinstance(data, dict) or data.get("version") != _VERSION or not isinstance(data.get("records"), dict):
            raise _unreadable()
        return dict(data["records"])


def _unreadable() -> IndeterminateError:
    return IndeterminateError(
        "This task's submission record (task state) cannot be read, so it is unknown whether a job exists, and nothing "
        "was submitted. Look for one at Adobe; to submit a new one, delete the record."
    )
