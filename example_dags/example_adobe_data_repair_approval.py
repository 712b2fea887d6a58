"""Estimate a repair, have a person approve its cost, then repair. Airflow before 3.1 cannot ask, and repairs nothing.

The approver sees the rows, the cap and a digest of the repair (report suite, days, definition), and copies the
digest into the form. The repair compares it with what it is about to submit: if the definition changes after the
approval, or an upstream task is cleared, nothing is submitted. There is no ``defaults``, which would approve by
time-out.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowSkipException, BaseOperator, Param, task

from airflow_provider_adobe_deletion.adobe.data_repair_builder import Repair, contains
from airflow_provider_adobe_deletion.operators.data_repair import (
    AdobeDataRepairEstimateOperator,
    AdobeDataRepairJobOperator,
)

try:
    from airflow.providers.standard.operators.hitl import ApprovalOperator
except (ImportError, AirflowException):

    class ApprovalOperator(BaseOperator):  # type: ignore[no-redef]
        """Stands in before Airflow 3.1: skips itself, and so the repair."""

        def __init__(self, *, subject: str, body: str, response_timeout: timedelta, fail_on_reject: bool, **kwargs):
            super().__init__(**kwargs)

        def execute(self, context: object) -> None:
            """Skip."""
            raise AirflowSkipException("This Airflow cannot ask a person (3.1 and later can); nothing is repaired.")


MAX_SERVER_CALLS = 5_000_000
# Adobe advises to look every 15 to 30 minutes; the demo's jobs take seconds.
POLL_SECONDS = float(os.environ.get("EXAMPLE_POLL_SECONDS", "900"))

RANGE = {
    "report_suite_id": "{{ params.report_suite_id }}",
    "date_range_start": "{{ params.date_range_start }}",
    "date_range_end": "{{ params.date_range_end }}",
}
DEFINITION = (
    Repair()
    .delete("ipaddress")
    .set("evar74", "unknown", where=contains("@"))
    .delete_query_string_parameters("pageurl", ["email"])
)

with DAG(
    "example_adobe_data_repair_approval",
    description="Estimate, approve, repair",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    params={
        "report_suite_id": Param("examplersid", type="string", title="Report suite"),
        "date_range_start": Param("2026-08-01", type="string", format="date", title="First day"),
        "date_range_end": Param("2026-08-31", type="string", format="date", title="Last day, before this month"),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["example", "adobe"],
) as dag:
    estimate = AdobeDataRepairEstimateOperator(task_id="estimate", job_definition=DEFINITION, **RANGE)

    approve = ApprovalOperator(
        task_id="approve",
        subject="Repair {{ params.report_suite_id }} for "
        "{{ '{:,}'.format(ti.xcom_pull(task_ids='estimate')['server_calls']) }} server calls?",
        body=(
            "{% set e = ti.xcom_pull(task_ids='estimate') %}"
            "| | |\n|---|---|\n"
            "| report suite | {{ e['report_suite_id'] }} |\n"
            "| days | {{ e['date_range_start'] }} to {{ e['date_range_end'] }} |\n"
            "| variables | {% for name, action in e['variables'].items() %}{{ name }}: {{ action }}; {% endfor %} |\n"
            "| rows billed | {{ '{:,}'.format(e['server_calls']) }} |\n"
            f"| cap | {MAX_SERVER_CALLS:,} |\n"
            "| digest | `{{ e['digest'] }}` |\n\n"
            "The repair cannot be stopped or undone. To approve, copy the digest into the form."
        ),
        params={"digest": Param("", type="string", title="Digest")},
        response_timeout=timedelta(days=7),
        fail_on_reject=True,
        # A retry would ask again after a "no".
        retries=0,
    )

    repair = AdobeDataRepairJobOperator(
        task_id="repair",
        job_definition=DEFINITION,
        max_server_calls=MAX_SERVER_CALLS,
        approved_digest="{{ ti.xcom_pull(task_ids='approve')['params_input']['digest'] }}",
        deferrable=True,
        poll_interval=POLL_SECONDS,
        **RANGE,
    )

    @task
    def report(**context: object) -> dict[str, object]:
        """Say what was repaired, what it cost, and who approved it."""
        ti = context["ti"]
        (job,) = ti.xcom_pull(task_ids="repair", key="jobs")  # type: ignore[attr-defined]
        approval = ti.xcom_pull(task_ids="approve")  # type: ignore[attr-defined]
        return {
            "job_id": job["id"],
            "status": job["status"],
            "billed_server_calls": job["details"]["server_calls"],
            "approved_by": (approval.get("responded_by_user") or {}).get("name"),
        }

    estimate >> approve >> repair >> report()
