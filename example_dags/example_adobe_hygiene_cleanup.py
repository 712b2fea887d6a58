"""Delete the records of the identities that a nightly file lists, paced by the organisation's quota.

The file is read as a stream and checked whole before anything is deleted; each 100,000 identities become one work
order. What does not fit into today's quota waits, deferred, for the reset at 00:00 GMT, and for that of the first of
the month. A retry goes on where the try before it was.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_adobe_deletion.operators.hygiene import AdobeHygieneWorkOrderOperator

# Adobe takes days for a work order; the demo's takes seconds.
POLL_SECONDS = float(os.environ.get("EXAMPLE_POLL_SECONDS", "1800"))
IDENTITIES_PATH = os.environ.get(
    "EXAMPLE_IDENTITIES_PATH", "s3://aws_default@example-bucket/to-delete/identities.csv.gz"
)

with DAG(
    "example_adobe_hygiene_cleanup",
    description="Delete the identities that a file lists",
    doc_md=__doc__,
    # Such as "0 1 * * *", once the parameters are yours.
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    # The file of one night is not submitted again by the next while that is still being deleted.
    max_active_runs=1,
    params={
        "identities_path": Param(IDENTITIES_PATH, type="string", title="CSV with the columns namespace and id"),
        "first_dataset": Param("5c802d3cd83fc114b741c4b5", type="string"),
        "second_dataset": Param("66a92c5910df2d1767de13f3", type="string"),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["example", "adobe"],
) as dag:
    clean_up = AdobeHygieneWorkOrderOperator(
        task_id="clean_up",
        # Several datasets, because a single one takes the namespace of its primary identity only.
        dataset_id=["{{ params.first_dataset }}", "{{ params.second_dataset }}"],
        identities_path="{{ params.identities_path }}",
        display_name="Nightly clean-up {{ run_id }}",
        on_quota="pace",
        deferrable=True,
        poll_interval=POLL_SECONDS,
    )

    @task
    def report(**context: object) -> dict[str, int]:
        """Count what was deleted, for whoever has to prove it."""
        jobs = context["ti"].xcom_pull(task_ids="clean_up", key="jobs")  # type: ignore[attr-defined]
        counts = {"work orders": len(jobs), "identities": sum(job["details"].get("operation_count", 0) for job in jobs)}
        print(counts)
        return counts

    clean_up >> report()
