"""Roll a repair out in the stages that Adobe recommends, each only after the one before.

A day and then a month of the development report suite, the same of the production one, and then the full range.
Look at each stage's data before the next one starts: put an approval in between where a person should decide.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param, TaskGroup, chain

from airflow_provider_adobe_deletion.operators.data_repair import AdobeDataRepairJobOperator

# Adobe advises to look every 15 to 30 minutes; the demo's jobs take seconds.
POLL_SECONDS = float(os.environ.get("EXAMPLE_POLL_SECONDS", "900"))

STAGES = (
    # name, report suite, first day, last day, the most that it may cost
    ("development_day", "development_suite", "month_start", "month_start", 1_000_000),
    ("development_month", "development_suite", "month_start", "month_end", 10_000_000),
    ("production_day", "production_suite", "month_start", "month_start", 10_000_000),
    ("production_month", "production_suite", "month_start", "month_end", 100_000_000),
    ("production_full_range", "production_suite", "range_start", "range_end", 1_000_000_000),
)

with (
    DAG(
        "example_adobe_data_repair_rollout",
        description="A repair in five stages",
        doc_md=__doc__,
        schedule=None,
        start_date=datetime(2026, 1, 1),
        catchup=False,
        params={
            "development_suite": Param("exampledev", type="string"),
            "production_suite": Param("exampleprod", type="string"),
            "month_start": Param("2026-08-01", type="string", format="date"),
            "month_end": Param("2026-08-31", type="string", format="date"),
            "range_start": Param("2026-01-01", type="string", format="date"),
            "range_end": Param("2026-08-31", type="string", format="date"),
        },
        default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
        tags=["example", "adobe"],
    ) as dag,
    TaskGroup("rollout"),
):
    chain(
        *(
            AdobeDataRepairJobOperator(
                task_id=name,
                report_suite_id=f"{{{{ params.{suite} }}}}",
                date_range_start=f"{{{{ params.{first} }}}}",
                date_range_end=f"{{{{ params.{last} }}}}",
                job_definition="example_adobe_data_repair.json",
                max_server_calls=cap,
                deferrable=True,
                poll_interval=POLL_SECONDS,
            )
            for name, suite, first, last, cap in STAGES
        )
    )
