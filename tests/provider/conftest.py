"""What tests of operators, sensors and triggers share."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_adobe_deletion.adobe import client as client_module
from airflow_provider_adobe_deletion.adobe import identities
from airflow_provider_adobe_deletion.adobe.client import RetryPolicy

DATASET = "5c802d3cd83fc114b741c4b5"
BATCH = "8d075b5a178e48389126b9289dcfd0ac"


class MemoryStore:
    """A task state store in memory, which keeps what JSON can hold."""

    def __init__(self) -> None:
        try:
            from airflow.sdk import NEVER_EXPIRE  # noqa: F401
        except ImportError:
            pytest.skip("needs Airflow 3.3: before it there is no task state store")
        self.values: dict[str, Any] = {}
        self.retentions: list[Any] = []

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.values[key] = json.loads(json.dumps(value))
        self.retentions.append(retention)

    @property
    def record(self) -> dict[str, Any]:
        """The only record of the task's only submission."""
        (record,) = self.values["adobe_submission"]["records"].values()
        return record


class FakeTaskInstance(SimpleNamespace):
    """The part of a task instance that operators use."""

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make clients that operators create retry quickly."""
    fast = RetryPolicy(backoff=0.01, max_backoff=0.05, rate_limit_wait=0.01, max_retry_after=5.0)
    original = client_module.AdobeClient.__init__
    monkeypatch.setattr(
        client_module.AdobeClient,
        "__init__",
        lambda self, config, *, on_secret=None, policy=None, channel=None: original(
            self, config, on_secret=on_secret, policy=policy or fast, channel=channel
        ),
    )


@pytest.fixture
def make_context() -> Callable[..., dict[str, Any]]:
    """Return a function that makes the context of one try of a task."""

    def make(
        *,
        try_number: int = 1,
        max_tries: int = 0,
        store: MemoryStore | None = None,
        task_id: str = "t",
        run_id: str = "r",
    ) -> dict[str, Any]:
        now = datetime.now(UTC)
        ti = FakeTaskInstance(
            dag_id="d",
            run_id=run_id,
            task_id=task_id,
            map_index=-1,
            try_number=try_number,
            max_tries=max_tries,
            start_date=now,
            xcoms={},
        )
        run = SimpleNamespace(run_after=now, start_date=now)
        return {"ti": ti, "dag_run": run, **({"task_state_store": store} if store is not None else {})}

    return make


@pytest.fixture
def slow_jobs(adobe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make jobs that take a minute of the simulated clock, unlimited rates, and orders of two identities."""
    adobe.settings.profile_seconds = (1.0, 60.0)
    adobe.settings.repair_seconds = 60.0
    adobe.settings.workorder_seconds = (1.0, 2.0, 3.0, 60.0)
    adobe.settings.profile_duplicate_422 = "never"
    adobe.settings.small_order_limit = None
    adobe.settings.analytics_rate_limit = False
    monkeypatch.setattr("airflow_provider_adobe_deletion.adobe.pacing.Pacer.reserve", lambda self: 0.0)
    monkeypatch.setattr(identities.IdentityMapping.__init__, "__kwdefaults__", {"on_bad_row": "fail", "chunk_size": 2})
