"""The one request of the alpha delete jobs, which can be neither looked up nor listed: sent once, or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_deletion.adobe.errors import AdobeError, AmbiguousOutcomeError
from airflow_provider_adobe_deletion.adobe.hygiene_jobs import DeleteReceipt, create_jobs
from airflow_provider_adobe_deletion.adobe.waiting import utc_now
from airflow_provider_adobe_deletion.submission import ChangedInputError
from airflow_provider_adobe_deletion.submission_record import Identity, IndeterminateError, StateStore

if TYPE_CHECKING:
    from airflow_provider_adobe_deletion.adobe.client import AdobeClient

_KEY = "adobe_delete_jobs"
_VERSION = 1
_SENT, _DONE, _REFUSED = "sent", "done", "refused"


class UserJobs:
    """The request of one task.

    The record holds ids by position, since the users' keys may be personal data and its readers are many.

    :param users: what is asked for, checked.
    :param org_id: whose data are meant.
    :param identity: whose request it is.
    :param store: where the record is kept, or ``None``: then a retry cannot know, and submits nothing.
    """

    def __init__(
        self, users: Sequence[Mapping[str, Any]], org_id: str, identity: Identity, store: StateStore | None
    ) -> None:
        self._users = users
        self._org_id = org_id
        self._identity = identity
        self._store = store
        name = hashlib.sha256((identity.submission_key or "").encode()).hexdigest()[:16]
        self._slot = f"{_KEY}.{name}"

    def obtain(self, client: AdobeClient) -> DeleteReceipt:
        """Return Adobe's receipt, of an earlier try where there is one.

        :raises ChangedInputError: an earlier try asked for something else.
        :raises IndeterminateError: it is unknown whether Adobe has the request.
        :raises AdobeError: Adobe refused, or could not be asked.
        """
        record = self._store.get(self._slot) if self._store is not None else None
        if record is None:
            self._refuse_unknown()
        elif not isinstance(record, dict) or record.get("version") != _VERSION:
            raise _indeterminate("the record of it (task state) cannot be read")
        elif record["state"] != _REFUSED:
            return self._earlier(record)
        return self._send(client)

    def _refuse_unknown(self) -> None:
        mine = self._identity
        if not mine.first_try and (self._store is None or mine.cleared):
            raise _indeterminate("there is no record of what an earlier try did")

    def _earlier(self, record: Mapping[str, Any]) -> DeleteReceipt:
        if record["fingerprint"] != self._fingerprint:
            raise ChangedInputError(
                "This task has already submitted, or tried to submit, other users or for another organisation. Nothing "
                "was submitted now. Restore what changed, or set another submission_key to submit this as well."
            )
        if record["state"] != _DONE:
            raise _indeterminate(f"it was sent at {record['at']}, and there was no answer")
        keys = [str(user["key"]) for user in self._users]
        return DeleteReceipt(record["request_id"], dict(zip(keys, record["jobs"], strict=True)))

    def _send(self, client: AdobeClient) -> DeleteReceipt:
        at = utc_now().isoformat(timespec="seconds")
        call = create_jobs(self._org_id, self._users)
        call = replace(call, before_send=lambda: self._save(_SENT, at))
        try:
            receipt = client.send(call)
        except AmbiguousOutcomeError as error:
            raise _indeterminate(str(error)) from error
        except AdobeError:
            self._save(_REFUSED, at)
            raise
        self._save(_DONE, at, request_id=receipt.request_id, jobs=list(receipt.jobs.values()))
        return receipt

    def _save(self, state: str, at: str, **answer: Any) -> None:
        if self._store is not None:
            record = {"version": _VERSION, "state": state, "at": at, "fingerprint": self._fingerprint, **answer}
            self._store.set(self._slot, record)

    @property
    def _fingerprint(self) -> str:
        text = json.dumps([self._org_id, list(self._users)], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _indeterminate(why: str) -> IndeterminateError:
    return IndeterminateError(
        f"It is unknown whether Adobe has the delete jobs: {why}. Adobe has no call to look them up, so nothing more "
        "was submitted. Ask Adobe; to submit them again, use another submission_key (Airflow 3.3 or later) or another "
        "task."
    )
