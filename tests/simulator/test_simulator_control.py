from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import httpx
import pytest

from airflow_provider_adobe_deletion.simulator import AdobeSimulator, Fault
from airflow_provider_adobe_deletion.simulator.state import Sandbox

PATH = "/data/core/ups/system/jobs"
CONTROL = "/_simulator"


def test_journal(adobe: AdobeSimulator, plain: httpx.Client, client: httpx.Client) -> None:
    client.post(PATH, json={"dataSetId": "d1"}, headers={"user-agent": "tester"})
    client.get(PATH, params={"limit": 5})
    (entry,) = plain.get(f"{CONTROL}/journal", params={"method": "post", "path_contains": "system"}).json()
    assert entry["body"] == {"dataSetId": "d1"}
    assert entry["user_agent"] == "tester"
    assert (entry["status"], entry["sandbox"], entry["took_effect"]) == (200, "dev", True)
    assert entry["body_size"] > 10
    assert plain.get(f"{CONTROL}/journal").json()[-1]["query"] == {"limit": "5"}
    assert plain.delete(f"{CONTROL}/journal").status_code == 204
    assert len(adobe.journal) == 0


def test_control_calls_leave_no_trace_and_never_fail(adobe: AdobeSimulator, plain: httpx.Client) -> None:
    adobe.faults.add(Fault(status=500, times=None))
    assert plain.get(f"{CONTROL}/health").json()["status"] == "ok"
    assert len(adobe.journal) == 0


def test_faults(plain: httpx.Client, client: httpx.Client) -> None:
    fault = {"method": "GET", "path": "/system/jobs", "status": 503, "body": {"a": 1}, "times": None}
    assert plain.post(f"{CONTROL}/faults", json=fault).status_code == 201
    assert client.get(PATH).status_code == 503
    assert plain.get(f"{CONTROL}/faults").json()[0]["struck"] == 1
    plain.delete(f"{CONTROL}/faults")
    assert client.get(PATH).status_code == 200
    assert plain.post(f"{CONTROL}/faults", json={"colour": "red"}).status_code == 400
    assert plain.post(f"{CONTROL}/faults", json={"path": "("}).status_code == 400
    assert plain.post(f"{CONTROL}/faults", json=[]).status_code == 400


def test_settings(adobe: AdobeSimulator, plain: httpx.Client) -> None:
    change = {
        "profile_shape": "aws",
        "speed": 10,
        "fail_targets": ["d1"],
        "profile_seconds": [1, 2],
        "report_suites": ["suite"],
        "small_order_limit": None,
        "sandboxes": [{"name": "only", "id": "1", "type": "production", "is_default": True}],
    }
    answer = plain.patch(f"{CONTROL}/settings", json=change)
    assert answer.status_code == 200
    assert answer.json() == plain.get(f"{CONTROL}/settings").json()
    assert adobe.settings.fail_targets == {"d1"}
    assert adobe.settings.profile_seconds == (1, 2)
    assert adobe.settings.speed == 10.0
    assert adobe.settings.report_suites == {"suite"}
    assert adobe.settings.sandboxes[0].name == "only"


@pytest.mark.parametrize(
    "wrong", [{"profile_shape": "gcp"}, {"colour": "red"}, {"speed": "fast"}, {"speed": 0}, {"fail_targets": "d1"}]
)
def test_wrong_settings(plain: httpx.Client, wrong: dict[str, object]) -> None:
    assert plain.patch(f"{CONTROL}/settings", json=wrong).status_code == 400


def test_misspelt_settings_are_refused_in_python(adobe: AdobeSimulator) -> None:
    with pytest.raises(AttributeError):
        adobe.settings.spede = 3
    with pytest.raises(ValueError, match="profile_shape"):
        adobe.settings.profile_shape = "gcp"  # type: ignore[assignment]


def test_jobs_advance_and_reset(adobe: AdobeSimulator, plain: httpx.Client, client: httpx.Client) -> None:
    client.post(PATH, json={"dataSetId": "d1"})
    (job,) = plain.get(f"{CONTROL}/jobs").json()
    assert (job["service"], job["status"], job["target"]["datasetId"]) == ("profile", "NEW", "d1")
    before = plain.get(f"{CONTROL}/health").json()["time"]
    assert plain.post(f"{CONTROL}/advance", json={"seconds": 60}).json()["time"] >= before + 60
    assert plain.get(f"{CONTROL}/jobs").json()[0]["status"] == "COMPLETED"
    assert plain.post(f"{CONTROL}/advance", json={"seconds": -1}).status_code == 400
    plain.post(f"{CONTROL}/reset")
    assert plain.get(f"{CONTROL}/jobs").json() == []
    assert client.get(PATH).status_code == 200
    plain.post(f"{CONTROL}/revoke-tokens")
    assert client.get(PATH).status_code == 401


def test_secret_and_connection(adobe: AdobeSimulator, plain: httpx.Client) -> None:
    plain.post(f"{CONTROL}/rotate-secret", json={"secret": "changed"})
    connection = plain.get(f"{CONTROL}/connection").json()
    assert connection == adobe.connection()
    assert connection["password"] == "changed"
    jwt_connection = plain.get(f"{CONTROL}/connection", params={"auth": "jwt"}).json()
    assert jwt_connection == adobe.jwt_connection()


def test_connections(adobe: AdobeSimulator) -> None:
    connection = adobe.connection(login="me", sandbox_name=None, cloud="aws")
    assert connection["login"] == "me"
    assert connection["extra"]["cloud"] == "aws"
    assert "sandbox_name" not in connection["extra"]
    assert adobe.connection_extra()["ims_url"] == adobe.url
    assert "BEGIN PRIVATE KEY" in adobe.jwt_connection()["extra"]["private_key"]
    assert json.loads(os.environ["AIRFLOW_CONN_ADOBE_DEFAULT"]) == adobe.connection()
    assert os.environ["AIRFLOW__ADOBE_DELETION__MINIMUM_DEFERRAL"] == "0"


def test_settings_given_at_the_start_survive_a_reset() -> None:
    sandbox = Sandbox("only", "1", "production", True)
    with AdobeSimulator(speed=50, fail_targets={"d1"}, sandboxes=(sandbox,)) as simulator:
        simulator.settings.speed = 1.0
        simulator.settings.fail_targets.clear()
        simulator.reset()
        assert simulator.settings.speed == 50.0
        assert simulator.settings.fail_targets == {"d1"}
        assert simulator.settings.sandboxes == (sandbox,)


def test_start_and_stop() -> None:
    simulator = AdobeSimulator().start()
    url = simulator.url
    assert url.startswith("http://127.0.0.1:")
    with pytest.raises(RuntimeError, match="already running"):
        simulator.start()
    assert httpx.get(f"{url}{CONTROL}/health").status_code == 200
    simulator.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}{CONTROL}/health")
    with simulator:
        assert simulator.url == url
        assert httpx.get(f"{url}{CONTROL}/health").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_line(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_adobe_deletion.simulator", "--speed", "5", "--shape", "aws"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        export = process.stdout.readline()
        assert export.startswith("export AIRFLOW_CONN_ADOBE_DEFAULT='{")
        extra = json.loads(export.split("=", 1)[1].strip().strip("'"))["extra"]
        assert (extra["ims_url"], extra["cloud"]) == (url, "aws")
        assert extra["sandbox_id"], "Profile jobs on AWS are addressed by it"
        settings = httpx.get(f"{url}{CONTROL}/settings").json()
        assert (settings["speed"], settings["profile_shape"]) == (5.0, "aws")
        httpx.post(f"{url}{CONTROL}/reset")
        assert httpx.get(f"{url}{CONTROL}/settings").json() == settings
        process.send_signal(number)
        assert process.wait(timeout=5) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()


def test_a_port_in_use_is_said_in_one_line(adobe: AdobeSimulator) -> None:
    port = adobe.url.rsplit(":", 1)[1]
    done = subprocess.run(
        [sys.executable, "-m", "airflow_provider_adobe_deletion.simulator", "--port", port],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in done.stderr
    assert "Traceback" not in done.stderr
