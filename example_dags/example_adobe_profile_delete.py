"""Delete a dataset and a batch from the Real-Time Customer Profile store.

``delete_dataset`` submits the job and gives its worker slot back while it waits. ``request_batch_delete``
only submits; the sensor ``batch_deleted`` waits, so that other tasks can run in between.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_adobe_deletion.operators.profile import AdobeProfileDeleteJobOperator
from airflow_provider_adobe_deletion.sensors.profile import AdobeProfileDeleteJobSensor

with DAG(
    "example_adobe_profile_delete",
    description=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    params={
        "dataset_id": Param("5c802d3cd83fc114b741c4b5", type="string", title="Dataset to delete from Profile"),
        "batch_id": Param("8d075b5a178e48389126b9289dcfd0ac", type="string", title="Batch to delete from Profile"),
        "batch_dataset_id": Param("66a92c5910df2d1767de13f3", type="string", title="Dataset that the batch is in"),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["example", "adobe"],
) as dag:
    delete_dataset = AdobeProfileDeleteJobOperator(
        task_id="delete_dataset",
        dataset_id="{{ params.dataset_id }}",
        deferrable=True,
        poll_interval=timedelta(seconds=5),
        completion_timeout=timedelta(days=1),
    )

    request_batch_delete = AdobeProfileDeleteJobOperator(
        task_id="request_batch_delete",
        batch_id="{{ params.batch_id }}",
        batch_dataset_id="{{ params.batch_dataset_id }}",
        wait_for_completion=False,
    )

    batch_deleted = AdobeProfileDeleteJobSensor(
        task_id="batch_deleted",
        job_id="{{ ti.xcom_pull(task_ids='request_batch_delete') }}",
        deferrable=True,
        poke_interval=5,
    )

    @task
    def report(**context: object) -> list[dict[str, object]]:
        """Collect what was deleted, for whoever has to prove it."""
        ti = context["ti"]
        jobs = [
            job
            for task_id in ("delete_dataset", "batch_deleted")
            for job in ti.xcom_pull(task_ids=task_id, key="jobs")  # type: ignore[attr-defined]
        ]
        for job in jobs:
            print(f"{job['kind']} {job['id']}: {job['status']} for {job['target']}")
        return jobs

    request_batch_delete >> batch_deleted
    [delete_dataset, batch_deleted] >> report()
