"""Secrets and identities in a real Airflow on PostgreSQL: where they are after all has been done to them.

The DAG ``confidential_data`` runs every operator and sensor, and makes them fail in every way. Then everything is
searched that Airflow has stored or logged: all tables, all statements that ever changed one (from the server's log,
as much is stored for a while only), and all files under its home. Airflow, the client and its libraries log at DEBUG.

Left out is only what Airflow stores by itself, as the README says: an upstream task's XCom. The literals of the DAG
come from a file at import, so that the DAG file, which Airflow stores too, has none; the serialized DAG and the
rendered view are searched.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from local_airflow import LocalAirflow

from airflow_provider_adobe_deletion import operators, sensors
from airflow_provider_adobe_deletion.simulator import AdobeSimulator
from tests.canaries import Canaries, Hit, number, unpacked
from tests.echoes import echo
from tests.real_airflow.confidential_files import CONTROLS, IDENTITIES
from tests.real_airflow.conftest import Stand

DAG, CONTROL = "confidential_data", "control_data"
SECRET = f"p8e-{number()}"
SERVICES = "/data/|/datarepair/"
REFUSING = (
    *("analytics", "analytics query", "errors", "failing", "failing page", "gateway", "moved", "platform"),
    *("problem", "system job", "text", "unauthorised"),
)

pytestmark = pytest.mark.parametrize("database", ["postgresql"])

_CHANGE = re.compile(rb"(INSERT|UPDATE|DELETE)(?: INTO| FROM)? \"?(\w+)")
_TASK_LOG = re.compile(r"^logs/dag_id=(\w+)/.*task_id=(\w+)/")
_ENTRY = re.compile(rb"\n(?=\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")


class Adobes:
    """One simulated Adobe for each way to answer, by the name of the connection that leads to it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.all: dict[str, AdobeSimulator] = {}
        fine = self._add("fine")
        self.connections = {"adobe_fine": fine.connection(), "adobe_jwt": fine.jwt_connection()}
        for shape in REFUSING:
            adobe = self._connected(shape.replace(" ", "_"))
            for method in ("POST", "PUT", "DELETE"):
                adobe.faults.add(echo(shape, method, SERVICES))
        self._connected("look_gateway").faults.add(echo("gateway", "GET", SERVICES))
        self._connected("ims_gateway").faults.add(echo("gateway", "POST", "/ims/"))
        ims = self._add("ims_text_jwt")
        ims.faults.add(echo("text", "POST", "/ims/"))
        self.connections["adobe_ims_text_jwt"] = ims.jwt_connection()
        self._connected("busy").faults.add(echo("busy", "POST", SERVICES, times=1))
        self._connected("lost").faults.add(echo("failing", "POST", SERVICES, when="after", times=1))
        endless = self._connected("endless")
        endless.settings.profile_seconds = endless.settings.workorder_seconds = (1000.0,) * 4
        self._connected("small_quota").settings.quota_daily = 100_010

    def _add(self, name: str) -> AdobeSimulator:
        adobe = self._stack.enter_context(AdobeSimulator())
        adobe.rotate_secret(SECRET)
        adobe.settings.fail_targets = {"66a92c5910df2d1767de13f3"}
        adobe.settings.profile_seconds = (0.5, 2.0)
        adobe.settings.repair_seconds = 2.0
        adobe.settings.workorder_seconds = (0.5, 1.0, 1.5, 2.0)
        adobe.settings.small_order_limit = None
        self.all[name] = adobe
        return adobe

    def _connected(self, name: str) -> AdobeSimulator:
        if name not in self.all:
            self.connections[f"adobe_{name}"] = self._add(name).connection()
        return self.all[name]

    def secrets(self) -> dict[str, str]:
        """All secrets that they know, by a name."""
        known = {secret for adobe in self.all.values() for secret in adobe.secrets()}
        return {f"secret {count}": secret for count, secret in enumerate(sorted(known))}


@dataclass(frozen=True)
class Searched:
    """What was run, and what was found afterwards.

    :param tasks: the task instances as the REST API shows them.
    :param places: how much was searched: rows, statements and files by their kind.
    :param stored: the serialized DAG.
    :param answers: what the tests of the connections said.
    """

    airflow: LocalAirflow
    run_id: str
    tasks: Sequence[Mapping[str, Any]]
    hits: frozenset[Hit]
    places: Mapping[str, int]
    stored: str
    answers: Mapping[str, str]

    def log(self, task_id: str, try_number: int = 1) -> str:
        return self.airflow.log(DAG, self.run_id, task_id, try_number)


@pytest.fixture(scope="module")
def searching(request: pytest.FixtureRequest, stands: Mapping[str, Stand]) -> Iterator[Mapping[str, Searched]]:
    if any("observing" in getattr(item, "fixturenames", ()) for item in request.session.items):
        # What else is to be run need not wait for this.
        request.getfixturevalue("observing")
    with ExitStack() as stack:
        yield {name: search(stand, Adobes(stack)) for name, stand in stands.items() if stand.postgres is not None}


@pytest.fixture
def searched(stand: Stand, searching: Mapping[str, Searched], database: str) -> Searched:
    return searching[database]


def search(stand: Stand, adobes: Adobes) -> Searched:
    airflow = stand.airflow
    assert stand.postgres is not None
    answers = {name: connect(airflow, name, connection) for name, connection in adobes.connections.items()}
    runs = {dag_id: airflow.trigger(dag_id) for dag_id in (DAG, CONTROL)}
    run_id = runs[DAG]
    end_by_hand(airflow, run_id, "paced", "deferred")
    end_by_hand(airflow, run_id, "killed", "running")
    for dag_id, run in runs.items():
        airflow.wait(dag_id, run)
    clear(airflow, run_id, "cleared")
    airflow.wait(DAG, run_id)
    tasks = airflow.tasks(DAG, run_id)
    stored = rows(stand.postgres.url())
    places = [*stored, *statements(stand.postgres.log), *files(airflow.home)]
    places += [("the answer of a connection's test", text) for text in answers.values()]
    canaries = Canaries({**IDENTITIES, **CONTROLS, **adobes.secrets()})
    return Searched(
        airflow,
        run_id,
        tasks,
        frozenset(canaries.search_all(places)),
        Counter(place for place, _ in places),
        b"\n".join(row for place, row in stored if place == "table serialized_dag").decode(),
        answers,
    )


def connect(airflow: LocalAirflow, name: str, connection: Mapping[str, Any]) -> str:
    """Make a connection as a person does, in the database, and return what its test says."""
    body = {"connection_id": name, **connection, "extra": json.dumps(connection["extra"])}
    airflow.api("POST", "/api/v2/connections", json=body)
    return json.dumps(airflow.api("POST", "/api/v2/connections/test", json=body))


def end_by_hand(airflow: LocalAirflow, run_id: str, task_id: str, state: str) -> None:
    while not airflow.task_is(DAG, run_id, task_id, state):
        time.sleep(0.3)
    path = f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/{task_id}"
    while state == "running" and "Work order DI-" not in airflow.log(DAG, run_id, task_id):
        # It does not wait for its job yet.
        time.sleep(0.3)
    airflow.api("PATCH", path, json={"new_state": "failed"})


def clear(airflow: LocalAirflow, run_id: str, task_id: str) -> None:
    what = {"dag_run_id": run_id, "task_ids": [task_id], "only_failed": False, "dry_run": False}
    airflow.api("POST", f"/api/v2/dags/{DAG}/clearTaskInstances", json=what)


def rows(url: str) -> list[tuple[str, bytes]]:
    """Return all rows of all tables."""
    found = []
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        for table in sqlalchemy.inspect(connection).get_table_names():
            for row in connection.execute(sqlalchemy.text(f'SELECT * FROM "{table}"')).mappings():
                found.append((f"table {table}", b"\n".join(map(as_bytes, row.values()))))
    engine.dispose()
    return found


def as_bytes(value: Any) -> bytes:
    if isinstance(value, bytes | memoryview):
        return bytes(value) + b"\n" + unpacked(bytes(value))
    return (value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)).encode()


def statements(log: Path) -> Iterator[tuple[str, bytes]]:
    """Yield all statements that have changed something, each with its values."""
    for entry in _ENTRY.split(log.read_bytes()):
        kind = _CHANGE.search(entry)
        yield (f"statement {kind[1].decode()} {kind[2].decode()}" if kind else "PostgreSQL's log"), entry


def files(home: Path) -> Iterator[tuple[str, bytes]]:
    """Yield all of Airflow's files. The components' logs quote, at DEBUG, each XCom that a task sets or gets."""
    for path in sorted(home.rglob("*")):
        if not path.is_file():
            continue
        place, data = str(path.relative_to(home)), path.read_bytes()
        if task := _TASK_LOG.search(place):
            yield f"log of {task[1]}.{task[2]}", data
        elif path.suffix == ".log" and path.parent == home:
            lines = data.splitlines(keepends=True)
            yield f"{place} on XComs", b"".join(line for line in lines if b"XCom" in line)
            yield place, b"".join(line for line in lines if b"XCom" not in line)
        else:
            yield f"file {place}", data


FAILED = {
    "orders_refused": "[redacted]",
    "orders_duplicate": "[redacted]",
    "orders_refused_file": "[redacted]",
    "orders_failing": "It is unknown whether Adobe has work order 1 of 1",
    "orders_page": "It is unknown whether Adobe has work order 1 of 1",
    "users_refused": "Adobe refused to create delete jobs for 1 user",
    "users_lost": "It is unknown whether Adobe has the delete jobs",
    "repair_refused": "[redacted]",
    "repair_refused_query": "validationToken=[redacted]",
    "repair_unauthorised": "Adobe answered 401 to a token",
    "repair_moved": "It is unknown whether Adobe has a Data Repair job",
    "estimate_refused": "Bearer [redacted]",
    "profile_refused": "Bearer [redacted]",
    "remove_refused": "Bearer [redacted]",
    "expire_refused": "Adobe refused to create an expiration",
    "cancel_refused": "Bearer [redacted]",
    "no_token": "client_secret=[redacted]",
    "no_token_jwt": "jwt_token=[redacted]",
    "orders_look_refused": "Looking up was refused too often in a row",
    "repair_look_refused": "Looking up was refused too often in a row",
    "quota_refused": "Adobe refused to look up the quotas",
    "expiration_look_refused": "Looking up was refused too often in a row",
    "profile_look_refused": "Looking up was refused too often in a row",
    "bad_rows": "identities_path has malformed rows (line 3: the id has whitespace around it)",
    "swapped_columns": "identities_path has malformed rows (line 2: the namespace",
    "no_such_file": "identities_path cannot be opened",
    "wrong_mapping": "namespace number 1 is not a namespace's code",
    "wrong_users": "users, number 1: may have only",
    "malformed": "(not shown, as it looks like a value)' is not an action",
    "malformed_template": "It is not JSON",
    "profile_failed": "Failed at Adobe",
    "orders_failed": "Failed at Adobe",
    "orders_late": "Not finished in time",
    "orders_never": "Sensor has timed out",
    "paced": "work orders have been submitted; going on at",
    "killed": "The task was killed; at Adobe these go on",
}
"""The tasks that fail, and what their logs say about it, which proves that they failed for the reason they should."""

AIRFLOWS_OWN = {"upstream email": {"table xcom", "statement INSERT xcom", "scheduler.log on XComs"}}
"""Where Airflow puts an upstream task's XCom by itself."""


def test_everything_happens_as_it_should(searched: Searched) -> None:
    states = {(task["task_id"], task["map_index"]): task["state"] for task in searched.tasks}
    wanted = {key: "failed" if key[0] in FAILED else "success" for key in states}
    assert states == wanted
    assert {task_id for task_id, _ in states} >= set(FAILED)
    for task_id, said in FAILED.items():
        assert said in searched.log(task_id), task_id
    assert "HTTP 429" in searched.log("retried")
    assert "1 of 1 (1 identities" in searched.log("retried", 2)
    assert "Looking for it." in searched.log("lost")
    assert "had already succeeded before the task was cleared" in searched.log("cleared", 2)


def test_every_operator_and_sensor_is_run(searched: Searched) -> None:
    used = {task["operator_name"] for task in searched.tasks}
    assert used >= {kind for kind in kinds() if kind not in ("AdobeDeletionOperator", "AdobeJobSensor")}
    assert len(used) >= 13


def kinds() -> Iterator[str]:
    """Yield the names of the package's operators and sensors."""
    for package in (operators, sensors):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, type) and name.startswith("Adobe") and value.__module__ == module.name:
                    yield name if name.endswith(("Operator", "Sensor")) else ""


def test_nothing_is_found_but_what_was_put_there(searched: Searched) -> None:
    found = {(hit.canary, hit.place) for hit in searched.hits if not hit.canary.startswith("control")}
    assert found - {(name, place) for name, places in AIRFLOWS_OWN.items() for place in places} == set()


def test_the_search_finds_what_was_put_there(searched: Searched) -> None:
    log = f"log of {CONTROL}.control"
    assert {
        Hit("control log", "as it is", log),
        Hit("control Base64", "Base64", log),
        Hit("control XCom", "as it is", "table xcom"),
        Hit("control XCom", "as it is", "statement INSERT xcom"),
        Hit("upstream email", "as it is", "table xcom"),
    } <= searched.hits


def test_the_search_goes_everywhere(searched: Searched) -> None:
    tables = ("serialized_dag", "dag_code", "rendered_task_instance_fields", "xcom", "task_state_store", "connection")
    assert {f"table {name}" for name in (*tables, "task_instance", "task_instance_history", "log")} <= set(
        searched.places
    )
    # What a deferred task leaves in the tables is gone by now.
    assert {"statement INSERT trigger", "statement UPDATE task_instance"} <= set(searched.places)
    components = ("api-server", "scheduler", "dag-processor", "triggerer")
    assert {f"{name}.log" for name in components} <= set(searched.places)
    assert searched.places["log of confidential_data.literal"] >= 2, "the worker's, and the triggerer's"


def test_the_clients_log_all_they_can(searched: Searched) -> None:
    for task_id in ("literal", "repair"):
        log = searched.log(task_id)
        assert "HTTP Request: POST" in log
        assert "receive_response_headers.complete" in log
    assert "validationToken=%2A%2A%2A" in searched.log("repair")
    assert "validationToken=***" in searched.log("repair_moved"), "in the header of a redirect"


def test_literals_are_a_count_and_a_digest(searched: Searched) -> None:
    shown = {task["task_id"]: task["rendered_fields"] for task in searched.tasks}
    described = {
        "identities, 3 entries": shown["literal"]["identities"],
        "users, 1 entry": shown["users"]["users"],
        "job_definition": shown["repair"]["job_definition"],
    }
    for words, text in described.items():
        assert re.fullmatch(f"<{words}, sha256 [0-9a-f]{{12}}>", text)
        assert text in searched.stored


def test_tests_of_connections_say_what_is_wrong_and_no_secret(searched: Searched) -> None:
    wrong = {name for name, answer in searched.answers.items() if '"status": false' in answer}
    assert wrong == {"adobe_ims_gateway", "adobe_ims_text_jwt", "adobe_look_gateway"}
    assert all("[redacted]" in searched.answers[name] for name in wrong)
