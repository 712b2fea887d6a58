"""One task of each service, and what Airflow does to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_adobe_deletion.operators.data_repair import AdobeDataRepairJobOperator
from airflow_provider_adobe_deletion.operators.hygiene import AdobeHygieneWorkOrderOperator
from airflow_provider_adobe_deletion.operators.profile import AdobeProfileDeleteJobOperator

from .conftest import DATASET, MemoryStore

SUITE = "examplersid"
SECONDS = 60.0
"""How long the jobs take with the fixture ``slow_jobs``, which makes orders of two identities, too."""
PEOPLE = {"email": [f"person{number}@example.com" for number in range(6)]}
RETRIES = 3
_COMMON = {"task_id": "t", "retries": RETRIES, "poll_interval": 0.05, "wait_for_completion": False}
_OPERATORS: dict[str, tuple[type, dict[str, Any]]] = {
    "profile": (AdobeProfileDeleteJobOperator, {"dataset_id": DATASET}),
    "repair": (
        AdobeDataRepairJobOperator,
        {
            "report_suite_id": SUITE,
            "date_range_start": "2026-08-01",
            "date_range_end": "2026-08-02",
            "job_definition": {"variables": {"ipaddress": {"action": "delete"}}},
        },
    ),
    "orders": (AdobeHygieneWorkOrderOperator, {"dataset_id": DATASET, "identities": PEOPLE, "display_name": "n"}),
}
every_service = pytest.mark.parametrize("service", _OPERATORS)
every_memory = pytest.mark.parametrize("memory", ["kept", "emptied", "none"])
"""Airflow 3.3 keeps task state over a Clear, later versions may empty it, and earlier ones have none."""


def operator(service: str, **kwargs: Any) -> Any:
    """Return a task of a service."""
    kind, defaults = _OPERATORS[service]
    return kind(**_COMMON | defaults | kwargs)


def posts(adobe: Any) -> list[Any]:
    """Return the creating requests."""
    return [
        entry for entry in adobe.journal.select("POST") if entry.path.endswith(("/system/jobs", "/job", "/workorder"))
    ]


def ids(adobe: Any) -> list[str]:
    """Return the ids of all jobs, oldest first."""
    return [str(job["id"]) for job in adobe.jobs()]


class Task:
    """One task instance over its tries and clears."""

    def __init__(self, make_context: Callable[..., dict[str, Any]], service: str, memory: str) -> None:
        self._make_context = make_context
        self._service = service
        self._memory = memory
        self.store = None if memory == "none" else MemoryStore()
        self.tries, self.max_tries = 0, RETRIES
        self._run: Any = None

    def try_it(self, **kwargs: Any) -> list[str]:
        """Run the next try and return the ids of its jobs."""
        self.tries += 1
        result = operator(self._service, **kwargs).execute(self.context())
        return result if isinstance(result, list) else [result]

    def deferred(self, **kwargs: Any) -> TaskDeferred:
        """Run the next try up to its deferral."""
        with pytest.raises(TaskDeferred) as caught:
            self.try_it(deferrable=True, **kwargs)
        return caught.value

    def resume(self, pause: TaskDeferred, event: Any, **kwargs: Any) -> list[str]:
        """Go on with the try that was deferred."""
        result = getattr(operator(self._service, deferrable=True, **kwargs), pause.method_name)(self.context(), event)
        return result if isinstance(result, list) else [result]

    def context(self) -> dict[str, Any]:
        """Return the try's context."""
        context = self._make_context(store=self.store, try_number=self.tries, max_tries=self.max_tries)
        self._run = context["dag_run"] = self._run or context["dag_run"]
        return context

    def clear(self) -> None:
        """Do to the task what Airflow does when a user clears it; the run's start is set anew, too."""
        self.max_tries = self.tries + RETRIES
        self._run.start_date = datetime.now(UTC)
        if self._memory == "emptied":
            self.store = MemoryStore()
