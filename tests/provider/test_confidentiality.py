"""What secrets and identities become of in every operator and sensor, however Adobe repeats them.

The same in a real Airflow, with everything that it stores, is in ``tests/real_airflow/test_confidentiality.py``.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_adobe_deletion.adobe import client as client_module
from airflow_provider_adobe_deletion.adobe import profile
from airflow_provider_adobe_deletion.adobe.data_repair_builder import Repair, contains
from airflow_provider_adobe_deletion.adobe.dataset_expiration import ensure
from airflow_provider_adobe_deletion.adobe.profile import ProfileTarget
from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook
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
from airflow_provider_adobe_deletion.simulator import AdobeSimulator
from tests.canaries import Canaries, Hit, number, person
from tests.echoes import NAMES, echo

from .conftest import DATASET, MemoryStore

pytestmark = [
    pytest.mark.usefixtures("short_waits"),
    pytest.mark.filterwarnings("ignore::airflow.exceptions.AirflowProviderDeprecationWarning"),
]

OTHER_DATASET = "66a92c5910df2d1767de13f3"
SECRET = f"p8e-{number()}"
IDENTITIES = {
    "literal email": person("literal"),
    "literal number": number(),
    "email in CSV": person("in.csv"),
    "number in JSON lines": number(),
    "value in a bad row": number(),
    "match value": person("matched"),
    "set value": f"Turtle {number()}",
    "user's value": number(),
}
JOB = {"poll_interval": 0.05, "completion_timeout": 0.5, "max_poll_failures": 2}
SENSOR = {"poke_interval": 0.05, "timeout": 0.2, "max_poll_failures": 2}
RANGE = {"report_suite_id": "examplersid", "date_range_start": "2026-08-01", "date_range_end": "2026-08-10"}
DATASETS = [DATASET, OTHER_DATASET]


@pytest.fixture(autouse=True)
def quick(adobe: AdobeSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    adobe.settings.workorder_seconds = (0.05, 0.1, 0.15, 0.2)
    adobe.settings.small_order_limit = None
    adobe.settings.profile_seconds = (0.05, 0.1)
    adobe.settings.repair_seconds = 0.1
    adobe.settings.analytics_rate_limit = False
    adobe.rotate_secret(SECRET)
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", adobe.connection_json())
    monkeypatch.setenv("AIRFLOW__ADOBE_DELETION__SETTLE_TIME", "0.01")
    monkeypatch.setattr("airflow_provider_adobe_deletion.adobe.client.Pacer.reserve", lambda self: 0.0)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    rows = {"csv": f"namespace,id\nEmail,{IDENTITIES['email in CSV']}\n"}
    rows["bad"] = rows["csv"] + f"Email, {IDENTITIES['value in a bad row']}\n"
    for name, text in rows.items():
        (tmp_path / f"{name}.csv").write_text(text)
    line = json.dumps({"namespace": "ECID", "id": IDENTITIES["number in JSON lines"]})
    (tmp_path / "lines.jsonl.gz").write_bytes(gzip.compress(line.encode()))
    return {path.name.split(".")[0]: str(path) for path in tmp_path.iterdir()}


def literal(files: dict[str, str], **kwargs: Any) -> Any:
    given = {"Email": [IDENTITIES["literal email"]], "ECID": [IDENTITIES["literal number"]]}
    return AdobeHygieneWorkOrderOperator(identities=given, dataset_id=DATASETS, **JOB, **kwargs)


def from_csv(files: dict[str, str], **kwargs: Any) -> Any:
    return AdobeHygieneWorkOrderOperator(identities_path=files["csv"], dataset_id=DATASET, **JOB, **kwargs)


def from_lines(files: dict[str, str], **kwargs: Any) -> Any:
    return AdobeHygieneWorkOrderOperator(identities_path=files["lines"], dataset_id=DATASET, **JOB, **kwargs)


def without_bad_rows(files: dict[str, str], **kwargs: Any) -> Any:
    return AdobeHygieneWorkOrderOperator(
        identities_path=files["bad"], on_bad_row="skip", dataset_id=DATASET, **JOB, **kwargs
    )


def with_bad_rows(files: dict[str, str], **kwargs: Any) -> Any:
    return AdobeHygieneWorkOrderOperator(identities_path=files["bad"], dataset_id=DATASET, **JOB, **kwargs)


def users(files: dict[str, str], **kwargs: Any) -> Any:
    entry = {"namespace": "Email", "value": IDENTITIES["user's value"], "type": "standard"}
    given = [{"key": "first", "userIDs": [entry]}]
    return AdobeHygieneDeleteJobOperator(users=given, **{k: v for k, v in kwargs.items() if k == "task_id"})


def repaired(files: dict[str, str], **kwargs: Any) -> Any:
    definition = Repair().set("evar74", IDENTITIES["set value"], where=contains(IDENTITIES["match value"]))
    return AdobeDataRepairJobOperator(job_definition=definition, **RANGE, **JOB, **kwargs)


def validated(files: dict[str, str], **kwargs: Any) -> Any:
    definition = Repair().set("evar74", IDENTITIES["set value"], where=contains(IDENTITIES["match value"]))
    return AdobeDataRepairJobOperator(job_definition=definition, validate_only=True, **RANGE, **JOB, **kwargs)


def malformed(files: dict[str, str], **kwargs: Any) -> Any:
    value = IDENTITIES["match value"]
    definition = {
        "variables": {
            "evar1": {"action": "set", "setValue": [IDENTITIES["set value"]], "filter": {"condition": value}},
            value: {"action": value, "filter": {"condition": "contains", "matchValue": value, value: value}},
        },
        value: value,
    }
    return AdobeDataRepairJobOperator(job_definition=definition, **RANGE, **JOB, **kwargs)


def estimated(files: dict[str, str], **kwargs: Any) -> Any:
    definition = Repair().set("evar74", IDENTITIES["set value"])
    return AdobeDataRepairEstimateOperator(job_definition=definition, **RANGE, task_id=kwargs["task_id"])


def removal(files: dict[str, str], **kwargs: Any) -> Any:
    with AdobeHook().client as client:
        job = client.run(profile.create(ProfileTarget(DATASET, None, None), cloud="azure", since=datetime.now(UTC)))
    return AdobeProfileDeleteJobRemoveOperator(job_id=job.id, task_id=kwargs["task_id"])


def cancellation(files: dict[str, str], **kwargs: Any) -> Any:
    with AdobeHook().client as client:
        client.run(ensure(DATASET, datetime.now(UTC) + timedelta(days=3), "n", "", put_by_dataset=True))
    return AdobeDatasetExpirationCancelOperator(dataset_id=DATASET, task_id=kwargs["task_id"])


CHANGING: dict[str, Callable[..., Any]] = {
    "orders of literal identities": literal,
    "orders without bad rows": without_bad_rows,
    "users": users,
    "repair": repaired,
    "validation": validated,
    "profile": lambda files, **kw: AdobeProfileDeleteJobOperator(dataset_id=DATASET, **JOB, **kw),
    "profile removal": removal,
    "expiration": lambda files, **kw: AdobeDatasetExpirationOperator(
        dataset_id=DATASET, expiry=datetime.now(UTC) + timedelta(days=3), display_name="n", **JOB, **kw
    ),
    "cancellation": cancellation,
}
LOOKING: dict[str, Callable[..., Any]] = {
    "estimate": estimated,
    "order sensor": lambda files, **kw: AdobeHygieneWorkOrderSensor(workorder_id="DI-1", **SENSOR, **kw),
    "orders sensor": lambda files, **kw: AdobeHygieneWorkOrderSensor(workorder_id=["DI-1", "DI-2"], **SENSOR, **kw),
    "quota sensor": lambda files, **kw: AdobeHygieneQuotaSensor(identities=1, **SENSOR, **kw),
    "expiration sensor": lambda files, **kw: AdobeDatasetExpirationSensor(dataset_id=DATASET, **SENSOR, **kw),
    "repair sensor": lambda files, **kw: AdobeDataRepairJobSensor(
        report_suite_id="examplersid", job_id="1", **SENSOR, **kw
    ),
    "profile sensor": lambda files, **kw: AdobeProfileDeleteJobSensor(job_id="j1", **SENSOR, **kw),
}

OTHERS: dict[str, Callable[..., Any]] = {
    "orders of a CSV file": from_csv,
    "orders of JSON lines": from_lines,
    "orders with bad rows": with_bad_rows,
    "malformed repair": malformed,
}


class Witness:
    """Runs tasks, and collects what Airflow would store or log of them."""

    def __init__(self, adobe: AdobeSimulator, caplog: Any, make_context: Any) -> None:
        self._adobe = adobe
        self._caplog = caplog
        self._make_context = make_context
        self._seen: list[tuple[str, str]] = []
        caplog.set_level(logging.DEBUG)
        for name in ("httpx", "httpcore"):
            caplog.set_level(logging.DEBUG, logger=name)

    def run(self, task: Any, *, tries: int = 1) -> None:
        store = MemoryStore()
        for try_number in range(1, tries + 1):
            context = self._make_context(try_number=try_number, max_tries=tries - 1, store=store)
            try:
                self._finish(task, context)
            except Exception as error:
                self._note("an exception", "".join(traceback.format_exception(error)))
            self._note("an XCom", context["ti"].xcoms)
            self._note("task state", store.values)

    def _finish(self, task: Any, context: Any) -> None:
        try:
            self._note("a result", task.execute(context))
        except TaskDeferred as pause:
            self._note("a trigger", pause.trigger.serialize()[1])
            event = asyncio.run(self._event(pause.trigger))
            self._note("an event", event)
            self._note("a result", getattr(task, pause.method_name)(context, event))

    async def _event(self, trigger: Any) -> Any:
        return (await anext(trigger.run())).payload

    def _note(self, place: str, value: Any) -> None:
        self._seen.append((place, value if isinstance(value, str) else json.dumps(value, default=str)))

    def hits(self, captured: Any) -> set[Hit]:
        secrets = {f"secret {count}": value for count, value in enumerate(self._adobe.secrets())}
        places = [*self._seen, ("the log", self._caplog.text), ("standard output", captured.out + captured.err)]
        return Canaries({**IDENTITIES, **secrets}).search_all(places)


@pytest.fixture
def witness(adobe: AdobeSimulator, caplog: Any, make_context: Any) -> Iterator[Witness]:
    return Witness(adobe, caplog, make_context)


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("name", {**CHANGING, **LOOKING, **OTHERS})
def test_nothing_leaks_from_answers_as_they_should_be(name, deferrable, adobe, witness, files, capfd):
    witness.run({**CHANGING, **LOOKING, **OTHERS}[name](files, task_id="t", deferrable=deferrable))
    assert adobe.secrets()
    assert witness.hits(capfd.readouterr()) == set()


@pytest.mark.parametrize("shape", NAMES)
@pytest.mark.parametrize("name", CHANGING)
def test_nothing_leaks_from_an_answer_to_a_change_that_repeats_it(name, shape, adobe, witness, files, capfd):
    task = CHANGING[name](files, task_id="t", deferrable=False)
    for method in ("POST", "PUT", "DELETE"):
        adobe.faults.add(echo(shape, method, "/data/|/datarepair/"))
    witness.run(task)
    assert any(fault.struck for fault in adobe.faults)
    assert witness.hits(capfd.readouterr()) == set()


@pytest.mark.parametrize("shape", NAMES)
@pytest.mark.parametrize("name", LOOKING)
def test_nothing_leaks_from_an_answer_to_a_look_that_repeats_it(name, shape, adobe, witness, files, capfd):
    adobe.faults.add(echo(shape, "GET", "/data/|/datarepair/", after=1))
    witness.run(LOOKING[name](files, task_id="t", deferrable=True))
    adobe.faults.clear()
    # Another worker, which no 429 holds back.
    client_module._brakes.clear()
    fault = adobe.faults.add(echo(shape, "GET", "/data/|/datarepair/|/discovery"))
    witness.run(LOOKING[name](files, task_id="t", deferrable=False))
    assert fault.struck
    assert witness.hits(capfd.readouterr()) == set()


@pytest.mark.parametrize("name", CHANGING)
def test_nothing_leaks_from_a_search_for_what_may_have_been_lost(name, adobe, witness, files, capfd):
    task = CHANGING[name](files, task_id="t", deferrable=False)
    adobe.faults.add(echo("failing", "POST", "/data/|/datarepair/", when="after"))
    adobe.faults.add(echo("gateway", "GET", "/data/|/datarepair/", after=4))
    witness.run(task, tries=2)
    assert witness.hits(capfd.readouterr()) == set()


@pytest.mark.parametrize("jwt", [False, True])
@pytest.mark.parametrize("shape", ["gateway", "text", "failing", "success"])
def test_nothing_leaks_from_an_ims_that_repeats_what_it_was_sent(shape, jwt, adobe, witness, files, capfd, monkeypatch):
    if jwt:
        monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", json.dumps(adobe.jwt_connection()))
    for times in (None, 1):
        adobe.faults.clear()
        fault = adobe.faults.add(echo(shape, "POST", "/ims/", times=times))
        witness.run(LOOKING["profile sensor"](files, task_id="t", deferrable=False))
        assert fault.struck
    assert witness.hits(capfd.readouterr()) == set()


def test_the_search_would_find_them(adobe, witness, files, capfd):
    """Otherwise the tests above could not fail."""
    identities = AdobeHygieneWorkOrderOperator(
        task_id="t", dataset_id=DATASET, identities={"Email": [IDENTITIES["literal email"]]}, **JOB
    )
    identities.result = lambda jobs: {"found": identities.identities.value}
    witness.run(identities)
    assert witness.hits(capfd.readouterr()) == {Hit("literal email", "as it is", "a result")}
