"""The alpha generation of record deletes: one job for each of some users.

Adobe: *Data Hygiene API*, endpoint ``POST /jobs``, superseded by ``/workorder``. It is submit-only: Adobe documents
no way to look a job up or to list jobs, so a request whose answer is lost cannot be found again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow_provider_adobe_deletion.adobe.calls import Call, Reply, Service, checked_id
from airflow_provider_adobe_deletion.adobe.identities import identity_fault, namespace_fault

MOST_IDS = 9
"""How many ids a user may have."""

_TYPES = ("standard", "custom")
_USER_MEMBERS = {"key", "action", "userIDs"}
_ID_MEMBERS = {"namespace", "value", "type"}


@dataclass(frozen=True)
class DeleteReceipt:
    """What Adobe made of a request.

    :param request_id: Adobe's id of the whole request.
    :param jobs: each user's job id, by the user's key.
    """

    request_id: str
    jobs: Mapping[str, str]


def job_body(org_id: str, users: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the request body.

    :param org_id: the one organisation whose data are meant.
    :param users: in Adobe's shape, ``{"key", "userIDs": [{"namespace", "value", "type"}]}``. The key is unique and
        comes back with the job, also in logs and results, so it should not be a person's name. ``type`` is
        ``standard`` or ``custom``. ``action`` may be left out; the only one is ``["delete"]``.
    :raises TypeError: something is not of that shape.
    :raises ValueError: something is missing, empty, repeated, too much or unknown. Users and ids are named by
        their positions, from 1.
    """
    if not isinstance(users, list | tuple):
        raise TypeError("users must be a list.")
    if not users:
        raise ValueError("users is empty.")
    checked = [_user(user, f"users, number {number}") for number, user in enumerate(users, 1)]
    if len({user["key"] for user in checked}) != len(checked):
        raise ValueError("users: two have the same key.")
    context = {"namespace": "imsOrgID", "value": checked_id(org_id, "org_id")}
    return {"companyContexts": [context], "users": checked}


def create_jobs(org_id: str, users: Sequence[Mapping[str, Any]]) -> Call[DeleteReceipt]:
    """Ask to delete the data of some users; see :func:`job_body`. It cannot be cancelled, nor looked up."""
    body = job_body(org_id, users)
    keys = [user["key"] for user in body["users"]]
    values = [entry["value"] for user in body["users"] for entry in user["userIDs"]]
    return Call(
        Service.HYGIENE,
        "POST",
        "/jobs",
        f"create delete jobs for {len(keys):,} {'user' if len(keys) == 1 else 'users'}",
        partial(_read_receipt, keys),
        body=body,
        repeatable=False,
        confidential=(*values, *keys),
    )


def _user(user: Any, where: str) -> dict[str, Any]:
    _check_members(user, _USER_MEMBERS, where)
    key, ids = user.get("key"), user.get("userIDs")
    if fault := identity_fault(key):
        raise ValueError(f"{where}: the key {fault}.")
    if user.get("action", ["delete"]) != ["delete"]:
        raise ValueError(f"{where}: the action must be ['delete'].")
    if not isinstance(ids, list | tuple):
        raise TypeError(f"{where}: userIDs must be a list.")
    if not 1 <= len(ids) <= MOST_IDS:
        raise ValueError(f"{where}: userIDs must be 1 to {MOST_IDS} ids, not {len(ids)}.")
    checked = [_user_id(entry, f"{where}, id number {number}") for number, entry in enumerate(ids, 1)]
    return {"key": key, "action": ["delete"], "userIDs": checked}


def _user_id(entry: Any, where: str) -> dict[str, str]:
    _check_members(entry, _ID_MEMBERS, where)
    if fault := namespace_fault(entry.get("namespace")):
        raise ValueError(f"{where}: the namespace {fault}.")
    if fault := identity_fault(entry.get("value")):
        raise ValueError(f"{where}: the value {fault}.")
    if entry.get("type") not in _TYPES:
        raise ValueError(f"{where}: the type must be 'standard' or 'custom'.")
    return {name: entry[name] for name in ("namespace", "value", "type")}


def _check_members(value: Any, known: set[str], where: str) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{where}: must be a mapping.")
    if not known.issuperset(value):
        raise ValueError(f"{where}: may have only {', '.join(sorted(known))}.")


def _read_receipt(keys: Sequence[str], reply: Reply) -> DeleteReceipt:
    """Read the jobs, in whatever order they come."""
    body = reply.body
    if not isinstance(body, dict) or not body.get("requestId"):
        raise ValueError("no requestId")
    found = {job["customer"]["user"]["key"]: str(job["jobId"]) for job in body["jobs"]}
    if not found.keys() >= set(keys):
        raise ValueError("not a job for every user")
    return DeleteReceipt(str(body["requestId"]), {key: found[key] for key in keys})
