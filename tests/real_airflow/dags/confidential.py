"""Every operator and sensor, and every way in which they fail, on values that must not turn up anywhere.

The values come from a file at import, as this file's text is stored by Airflow. Connections are named after the
Adobe behind them, which answers as it should (``adobe_fine``) or repeats what it was sent.
"""

from __future__ import annotations

import base64
import json
import os
import warnings
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_adobe_deletion.adobe.data_repair_builder import Repair, contains
from airflow_provider_adobe_deletion.operators.data_repair import (
    AdobeDataRepairEstimateOperator,
    AdobeDataRepairJobOperator,
)
from airflow_provider_adobe_deletion.operators.hygiene import (
    AdobeDatasetExpirationCancelOperator,
    AdobeDatasetExpirationOperator,
    AdobeHygieneDeleteJobOperator,
    AdobeHygieneWorkOrderOperator,
)
from airflow_provider_adobe_deletion.operators.profile import (
    AdobeProfileDeleteJobOperator,
    AdobeProfileDeleteJobRemoveOperator,
)
from airflow_provider_adobe_deletion.sensors.data_repair import AdobeDataRepairJobSensor
from airflow_provider_adobe_deletion.sensors.hygiene import (
    AdobeDatasetExpirationSensor,
    AdobeHygieneQuotaSensor,
    AdobeHygieneWorkOrderSensor,
)
from airflow_provider_adobe_deletion.sensors.profile import AdobeProfileDeleteJobSensor

warnings.filterwarnings("ignore", message=".*alpha API.*")

FOLDER = Path(os.environ["CONFIDENTIAL_FOLDER"])
CANARY: dict[str, str] = json.loads((FOLDER / "canaries.json").read_text())

DATASETS = [f"5c802d3cd83fc114b741c4{number:02}" for number in range(30)]
FAILING = "66a92c5910df2d1767de13f3"
JOB = {"poll_interval": 1, "deferrable": False}
SENSOR = {"poke_interval": 1, "deferrable": False}
RANGE = {"date_range_start": "2026-08-01", "date_range_end": "2026-08-10"}
DEFINITION = Repair().set("evar74", CANARY["set value"], where=contains(CANARY["match value"]))
EXPIRY = "{{ dag_run.run_after + macros.timedelta(days=3) }}"
ORDER = {"dataset_id": DATASETS[:2], "description": "", **JOB}


def orders(task_id: str, conn: str = "fine", **kwargs: Any) -> AdobeHygieneWorkOrderOperator:
    given = {} if "identities_path" in kwargs else {"identities": {"Email": [CANARY["literal email"]]}}
    return AdobeHygieneWorkOrderOperator(task_id=task_id, adobe_conn_id=f"adobe_{conn}", **{**ORDER, **given, **kwargs})


def repair(task_id: str, conn: str = "jwt", suite: str = "suite", **kwargs: Any) -> AdobeDataRepairJobOperator:
    given = {"job_definition": DEFINITION, "report_suite_id": suite, **RANGE, **JOB}
    return AdobeDataRepairJobOperator(task_id=task_id, adobe_conn_id=f"adobe_{conn}", **{**given, **kwargs})


def profile(task_id: str, dataset: str, conn: str = "fine", **kwargs: Any) -> AdobeProfileDeleteJobOperator:
    return AdobeProfileDeleteJobOperator(
        task_id=task_id, dataset_id=dataset, adobe_conn_id=f"adobe_{conn}", **{**JOB, **kwargs}
    )


def path(name: str) -> str:
    return f"file://{FOLDER / name}"


def user(name: str) -> dict[str, Any]:
    ids = [{"namespace": "Email", "value": CANARY["user's email"], "type": "standard"}]
    ids.append({"namespace": "Loyalty", "value": CANARY["user's number"], "type": "custom"})
    return {"key": name, "userIDs": ids}


with DAG("confidential_data", schedule=None, start_date=datetime(2026, 1, 1), template_searchpath=[str(FOLDER)]):
    # Data Hygiene, as it should be.
    both = {"Email": [CANARY["literal email"], "someone@example.com"], "ECID": [CANARY["literal number"]]}
    literal = orders("literal", identities=both, deferrable=True)
    literal >> AdobeHygieneWorkOrderSensor(
        task_id="orders_done", workorder_id=literal.output, adobe_conn_id="adobe_fine", **SENSOR
    )
    # An upstream task's XCom is stored by Airflow; what comes of it must not be.
    people = task(task_id="people", show_return_value_in_logs=False)(lambda: {"Email": [CANARY["upstream email"]]})()
    orders("from_xcom", identities=people)
    orders("csv", identities_path=path("people.csv"))
    AdobeHygieneWorkOrderOperator.partial(task_id="mapped", adobe_conn_id="adobe_fine", **ORDER).expand(
        identities_path=[path("people.jsonl"), path("people.jsonl.gz")]
    )
    orders("bad_rows_skipped", identities_path=path("bad.csv"), on_bad_row="skip")
    AdobeHygieneDeleteJobOperator(task_id="users", adobe_conn_id="adobe_fine", users=[user("one")])
    AdobeHygieneQuotaSensor(task_id="quota", identities=10, adobe_conn_id="adobe_fine", **SENSOR)
    expire = AdobeDatasetExpirationOperator(
        task_id="expire",
        dataset_id=DATASETS[2],
        expiry=EXPIRY,
        display_name="Expire",
        adobe_conn_id="adobe_fine",
    )
    expire >> AdobeDatasetExpirationCancelOperator(
        task_id="expire_cancel", dataset_id=DATASETS[2], adobe_conn_id="adobe_fine"
    )

    # Data Repair, with a JWT credential.
    AdobeDataRepairEstimateOperator(
        task_id="estimate", report_suite_id="suite", job_definition=DEFINITION, adobe_conn_id="adobe_jwt", **RANGE
    )
    repaired = repair("repair", deferrable=True)
    repaired >> AdobeDataRepairJobSensor(
        task_id="repair_done", report_suite_id="suite", job_id=repaired.output, adobe_conn_id="adobe_jwt", **SENSOR
    )
    repair("repair_template", suite="template", job_definition="definition.json")
    repair("repair_validated", suite="validated", validate_only=True)

    # Profile.
    deleted = profile("profile", DATASETS[3], deferrable=True)
    deleted >> AdobeProfileDeleteJobSensor(
        task_id="profile_done", job_id=deleted.output, adobe_conn_id="adobe_fine", **SENSOR
    )
    stuck = profile("profile_stuck", DATASETS[4], conn="endless", wait_for_completion=False)
    stuck >> AdobeProfileDeleteJobRemoveOperator(
        task_id="profile_remove", job_id=stuck.output, adobe_conn_id="adobe_endless"
    )

    # What Adobe refuses, and repeats.
    orders("orders_refused", conn="platform")
    orders("orders_duplicate", conn="system_job")
    orders("orders_refused_file", conn="text", identities_path=path("people.csv"))
    orders("orders_failing", conn="failing", on_ambiguous="fail")
    orders("orders_page", conn="failing_page", on_ambiguous="fail", identities_path=path("people.jsonl.gz"))
    AdobeHygieneDeleteJobOperator(task_id="users_refused", adobe_conn_id="adobe_errors", users=[user("two")])
    AdobeHygieneDeleteJobOperator(task_id="users_lost", adobe_conn_id="adobe_failing", users=[user("three")])
    repair("repair_refused", conn="analytics")
    repair("repair_refused_query", conn="analytics_query")
    repair("repair_unauthorised", conn="unauthorised")
    repair("repair_moved", conn="moved", on_ambiguous="fail")
    AdobeDataRepairEstimateOperator(
        task_id="estimate_refused", report_suite_id="suite", adobe_conn_id="adobe_look_gateway", **RANGE
    )
    profile("profile_refused", DATASETS[5], conn="gateway")
    AdobeProfileDeleteJobRemoveOperator(task_id="remove_refused", job_id="j", adobe_conn_id="adobe_look_gateway")
    AdobeDatasetExpirationOperator(
        task_id="expire_refused",
        dataset_id=DATASETS[6],
        expiry=EXPIRY,
        display_name="Expire",
        adobe_conn_id="adobe_problem",
    )
    AdobeDatasetExpirationCancelOperator(
        task_id="cancel_refused", dataset_id=DATASETS[6], adobe_conn_id="adobe_look_gateway"
    )
    profile("no_token", DATASETS[7], conn="ims_gateway")
    repair("no_token_jwt", conn="ims_text_jwt")

    # Looking, refused.
    refused = {"adobe_conn_id": "adobe_look_gateway", "max_poll_failures": 2, **SENSOR}
    AdobeHygieneWorkOrderSensor(task_id="orders_look_refused", workorder_id=["DI-1", "DI-2"], **refused)
    AdobeDataRepairJobSensor(task_id="repair_look_refused", report_suite_id="s", job_id="1", **refused)
    AdobeHygieneQuotaSensor(task_id="quota_refused", identities=10, **refused)
    AdobeDatasetExpirationSensor(task_id="expiration_look_refused", dataset_id=DATASETS[2], **refused)
    AdobeProfileDeleteJobSensor(task_id="profile_look_refused", job_id="j", **{**refused, "deferrable": True})

    # What is wrong before anything is sent.
    orders("bad_rows", identities_path=path("bad.csv"))
    orders("swapped_columns", identities_path=path("swapped.csv"))
    orders("no_such_file", identities_path=path("missing.csv"))
    orders("wrong_mapping", identities={CANARY["literal email"]: "x"})
    AdobeHygieneDeleteJobOperator(
        task_id="wrong_users", adobe_conn_id="adobe_fine", users=[{**user("four"), CANARY["user's email"]: 1}]
    )
    repair("malformed", job_definition={"variables": {"evar1": {"action": CANARY["match value"]}}})
    repair("malformed_template", job_definition="broken.json")

    # What fails, comes too late, is tried again, or is ended by somebody.
    profile("profile_failed", FAILING)
    orders("orders_failed", dataset_id=FAILING)
    orders("orders_late", conn="endless", completion_timeout=3)
    AdobeHygieneWorkOrderSensor(
        task_id="orders_never", workorder_id="DI-1", adobe_conn_id="adobe_endless", **{**SENSOR, "timeout": 3}
    )
    orders("retried", conn="busy", retries=1, retry_delay=timedelta(seconds=1))
    orders("lost", conn="lost")
    orders("cleared", dataset_id=DATASETS[8:10])
    orders("paced", conn="small_quota", identities_path=path("many.csv"), on_quota="pace", deferrable=True)
    orders("killed", conn="endless", dataset_id=DATASETS[10:12])

with DAG("control_data", schedule=None, start_date=datetime(2026, 1, 1)):

    @task
    def control() -> dict[str, str]:
        """Put values where the search must find them."""
        print("printed", CANARY["control log"])
        print("encoded", base64.b64encode(f"({CANARY['control Base64']})".encode()).decode())
        return {"pushed": CANARY["control XCom"]}

    control()
