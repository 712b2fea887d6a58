"""Data Hygiene: the alpha ``/jobs``, which nothing but a submission is documented of.

Follows the alpha "Data Hygiene API".
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response

from airflow_provider_adobe_deletion.simulator import refusals
from airflow_provider_adobe_deletion.simulator.exchange import Exchange
from airflow_provider_adobe_deletion.simulator.gateway import Gateway, Route
from airflow_provider_adobe_deletion.simulator.state import Moment, State

MAX_USER_IDS = 9
_STANDARD_NAMESPACES = {"ecid": 4, "email": 6}


@dataclass(slots=True)
class AlphaJob:
    """One user of a request; neither key nor identities are kept."""

    id: str
    request: str
    created: Moment
    user_ids: int


class HygieneJobs:
    """``/data/core/hygiene/jobs``."""

    def __init__(self, state: State, gateway: Gateway) -> None:
        self._state = state
        self._jobs: list[AlphaJob] = []
        self.routes = [Route("POST", "/data/core/hygiene/jobs", self.create, gateway.organization)]

    def reset(self) -> None:
        """Forget all jobs."""
        self._jobs.clear()

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs ever created, for the control interface."""
        return [
            {
                "service": "hygiene_jobs",
                "id": job.id,
                "sandbox": None,
                "created": job.created.time,
                "status": "submitted",
                "target": {"requestId": job.request, "userIDs": job.user_ids},
                "removed": False,
            }
            for job in list(self._jobs)
        ]

    async def create(self, exchange: Exchange) -> Response:
        """``POST /jobs``: one job per user, and no way to ask for it later."""
        body = exchange.json_object()
        _check_context(body.get("companyContexts"), self._state.settings.org_id)
        users = body.get("users")
        if not isinstance(users, list) or not users:
            raise _bad("users must hold at least one user.")
        for user in users:
            _check_user(user)
        if len({user["key"] for user in users}) < len(users):
            raise _bad("The key of each user must be unique.")
        request = f"{int(self._state.clock.now() * 1000)}{uuid.uuid4().int % 10**6:06}RX-334"
        jobs = []
        for user in users:
            job = AlphaJob(str(uuid.uuid4()), request, self._state.clock.moment(), len(user["userIDs"]))
            self._jobs.append(job)
            jobs.append({"jobId": job.id, "customer": {"user": _answered(user)}})
        exchange.took_effect()
        return JSONResponse({"requestId": request, "totalRecords": len(jobs), "jobs": jobs})


def _bad(message: str) -> refusals.Refusal:
    return refusals.gateway(400, "400001", message)


def _check_context(contexts: Any, org_id: str) -> None:
    if (
        not isinstance(contexts, list)
        or len(contexts) != 1
        or not isinstance(contexts[0], dict)
        or contexts[0].get("namespace") != "imsOrgID"
        or contexts[0].get("value") != org_id
    ):
        raise _bad("companyContexts must hold exactly the imsOrgID of this organization.")


def _check_user(user: Any) -> None:
    if not isinstance(user, dict) or not isinstance(user.get("key"), str) or not user["key"]:
        raise _bad("Each user needs a key.")
    if user.get("action") != ["delete"]:
        raise _bad("The action of each user must be [delete].")
    ids = user.get("userIDs")
    if not isinstance(ids, list) or not 1 <= len(ids) <= MAX_USER_IDS:
        raise _bad(f"Each user needs 1 to {MAX_USER_IDS} userIDs.")
    for item in ids:
        if (
            not isinstance(item, dict)
            or not isinstance(item.get("namespace"), str)
            or not isinstance(item.get("value"), str)
            or item.get("type") not in ("standard", "custom")
        ):
            raise _bad("A user id needs a namespace, a value and a type of standard or custom.")


def _answered(user: dict[str, Any]) -> dict[str, Any]:
    ids = []
    for item in user["userIDs"]:
        answer = {name: item[name] for name in ("namespace", "value", "type")}
        if item["type"] == "standard":
            answer["namespaceId"] = _STANDARD_NAMESPACES.get(item["namespace"].lower(), 0)
        ids.append({**answer, "isDeletedClientSide": False})
    return {"key": user["key"], "action": user["action"], "userIDs": ids}
