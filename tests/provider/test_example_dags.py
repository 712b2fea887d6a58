"""The example DAGs, whole, by ``dag.test()`` against the simulated Adobe."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import airflow
import pytest
from packaging.version import Version

CAN_ASK = Version(airflow.__version__) >= Version("3.1")
EXAMPLES = Path(__file__).parents[2] / "example_dags"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.dag


def states(run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


@pytest.mark.parametrize("shape", ["azure", "unified"])
def test_profile_delete(adobe, run_dag, shape):
    adobe.settings.profile_shape = shape
    adobe.settings.profile_seconds = (0.2, 0.5)
    run = run_dag(load("example_adobe_profile_delete"))
    assert set(states(run).values()) == {"success"}
    assert [job["status"] for job in adobe.jobs()] == ["COMPLETED" if shape == "azure" else "SUCCESS"] * 2
    report = run.get_task_instance("report").xcom_pull(task_ids="report")
    assert {job["id"] for job in report} == {job["id"] for job in adobe.jobs()}


def test_a_run_s_conf_gives_its_params(adobe, run_dag):
    adobe.settings.profile_seconds = (0.2, 0.5)
    run_dag(load("example_adobe_profile_delete"), conf={"dataset_id": "5c802d3cd83fc114b741c4ff"})
    assert "5c802d3cd83fc114b741c4ff" in [job["target"]["datasetId"] for job in adobe.jobs()]


def test_data_repair_rollout(adobe, run_dag, monkeypatch):
    monkeypatch.setenv("EXAMPLE_POLL_SECONDS", "0.1")
    adobe.settings.repair_seconds = 0.2
    run = run_dag(load("example_adobe_data_repair_rollout"))
    assert list(states(run).values()) == ["success"] * 5
    jobs = [(job["target"]["reportSuiteId"], job["target"]["dateRangeEnd"]) for job in adobe.jobs()]
    assert jobs == [
        ("exampledev", "2026-08-01"),
        ("exampledev", "2026-08-31"),
        ("exampleprod", "2026-08-01"),
        ("exampleprod", "2026-08-31"),
        ("exampleprod", "2026-08-31"),
    ]


class TestDataRepairApproval:
    @pytest.fixture
    def dag(self):
        return load("example_adobe_data_repair_approval")

    @pytest.mark.skipif(not CAN_ASK, reason="needs Airflow 3.1, which can ask a person")
    def test_it_cannot_approve_itself(self, dag):
        assert dag.get_task("approve").defaults is None
        assert dag.get_task("approve").retries == 0
        assert dag.get_task("repair").upstream_task_ids == {"approve"}

    @pytest.mark.skipif(CAN_ASK, reason="this Airflow can ask a person")
    def test_it_repairs_nothing_where_airflow_cannot_ask(self, adobe, dag, run_dag, caplog, capfd):
        found = states(run_dag(dag))
        assert [found[name] for name in ("estimate", "approve", "repair")] == ["success", "skipped", "skipped"]
        assert adobe.jobs() == []
        assert "This Airflow cannot ask a person" in caplog.text + capfd.readouterr().out


def test_hygiene_cleanup(adobe, run_dag, monkeypatch, tmp_path):
    path = tmp_path / "identities.csv"
    path.write_text(
        "namespace,id\n"
        + "".join(f"{code},{code.lower()}{n}\n" for code in ("Email", "ECID", "Phone") for n in range(40))
    )
    monkeypatch.setenv("EXAMPLE_POLL_SECONDS", "0.1")
    monkeypatch.setenv("EXAMPLE_IDENTITIES_PATH", str(path))
    adobe.settings.workorder_seconds = (0.1, 0.2, 0.3, 0.4)
    run = run_dag(load("example_adobe_hygiene_cleanup"))
    assert states(run) == {"clean_up": "success", "report": "success"}
    (order,) = adobe.jobs()
    assert order["target"]["namespaces"] == ["ECID", "Email", "Phone"]
    report = run.get_task_instance("report").xcom_pull(task_ids="report")
    assert report == {"work orders": 1, "identities": 120}
