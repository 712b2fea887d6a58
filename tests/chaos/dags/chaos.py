"""What is run while everything is killed: each service, deferred and in the worker, with a target of each run's own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
from airflow.sdk import DAG

from airflow_provider_adobe_deletion.adobe import channel
from airflow_provider_adobe_deletion.operators.data_repair import AdobeDataRepairJobOperator
from airflow_provider_adobe_deletion.operators.hygiene import AdobeHygieneWorkOrderOperator
from airflow_provider_adobe_deletion.operators.profile import AdobeProfileDeleteJobOperator

# The simulated Adobe keeps a request waiting for longer than this, so that it really times out.
channel.TIMEOUT = httpx.Timeout(4.5)

COMMON: dict[str, Any] = {
    # A task is killed many times. What is lost must not be lost for want of retries, nor be saved by them.
    "retries": 1000,
    "retry_delay": timedelta(seconds=1),
    "poll_interval": 2,
    "max_poll_interval": 4,
}
REPAIR = {"job_definition": {"variables": {"ipaddress": {"action": "delete"}}}}
DAYS = {"date_range_start": "2026-06-01", "date_range_end": "2026-06-02"}


class FewAnOrder(AdobeHygieneWorkOrderOperator):
    """Two identities in an order instead of 100,000, so that a task has several."""

    def _source(self) -> Any:
        source = super()._source()
        source._chunk_size = 2
        return source


def identities(count: int) -> dict[str, list[str]]:
    return {"email": [f"person{number}@example.com" for number in range(count)]}


with DAG("chaos_profile", schedule=None, max_active_runs=1000, max_active_tasks=1000):
    AdobeProfileDeleteJobOperator(
        task_id="deferred", dataset_id="{{ run_id }}-a", deferrable=True, remove_on_kill=True, **COMMON
    )
    AdobeProfileDeleteJobOperator(task_id="polling", batch_id="{{ run_id }}-b", deferrable=False, **COMMON)

with DAG("chaos_repair", schedule=None, max_active_runs=1000, max_active_tasks=1000):
    AdobeDataRepairJobOperator(
        task_id="deferred", report_suite_id="{{ run_id }}-a", deferrable=True, **DAYS, **REPAIR, **COMMON
    )
    AdobeDataRepairJobOperator(
        task_id="polling", report_suite_id="{{ run_id }}-b", deferrable=False, **DAYS, **REPAIR, **COMMON
    )

with DAG("chaos_orders", schedule=None, max_active_runs=1000, max_active_tasks=1000):
    FewAnOrder(task_id="deferred", dataset_id="{{ run_id }}-a", identities=identities(10), deferrable=True, **COMMON)
    FewAnOrder(task_id="polling", dataset_id="{{ run_id }}-b", identities=identities(5), deferrable=False, **COMMON)
