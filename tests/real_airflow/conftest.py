"""Real Airflows, each of several processes and with a metadata database of its own, and an Adobe for each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from local_airflow import LocalAirflow

from airflow_provider_adobe_deletion.simulator import AdobeSimulator
from tests.real_airflow.confidential_files import write_files
from tests.real_airflow.example_runs import Observed, observe
from tests.real_airflow.postgres import LocalPostgres

CONFIDENTIAL_DAG = Path(__file__).parent / "dags" / "confidential.py"
EXAMPLES = Path(__file__).parents[2] / "example_dags"
DATABASES = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Stand:
    """One Airflow, the Adobe that its example DAGs talk to, and its PostgreSQL, where it has one."""

    airflow: LocalAirflow
    adobe: AdobeSimulator
    postgres: LocalPostgres | None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    from airflow import __version__

    if tuple(map(int, __version__.split(".")[:2])) >= (3, 3):
        return
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.skip(reason="looks at task state, which Airflow has from 3.3 on"))


@pytest.fixture(scope="session")
def stands(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Stand]]:
    """Start an Airflow for each database that a selected test needs, all at the same time."""
    params = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    wanted = [name for name in DATABASES if any(given.get("database") == name for given in params)]
    if os.environ.get("WITHOUT_POSTGRESQL") and "postgresql" in wanted:
        wanted.remove("postgresql")
    with ExitStack() as stack:
        with ThreadPoolExecutor() as pool:
            starting = {name: pool.submit(_started, name, stack, tmp_path_factory.mktemp(name)) for name in wanted}
        yield {name: future.result() for name, future in starting.items()}


@pytest.fixture(scope="session")
def observing(stands: Mapping[str, Stand]) -> Iterator[Mapping[str, Future[Observed]]]:
    """Run the example DAGs on all databases at the same time, and beside whatever else is tested: they mostly wait."""
    with ThreadPoolExecutor() as pool:
        yield {name: pool.submit(observe, stand.airflow, stand.adobe) for name, stand in stands.items()}


@pytest.fixture
def stand(stands: Mapping[str, Stand], database: str) -> Stand:
    """The Airflow on the database that the test is about."""
    if database not in stands:
        pytest.skip("WITHOUT_POSTGRESQL is set")
    return stands[database]


def _started(name: str, stack: ExitStack, folder: Path) -> Stand:
    adobe = stack.enter_context(AdobeSimulator())
    adobe.settings.profile_seconds = (2.0, 40.0)
    adobe.settings.repair_seconds = 5.0
    adobe.settings.workorder_seconds = (1.0, 3.0, 6.0, 40.0)
    postgres = stack.enter_context(LocalPostgres()) if name == "postgresql" else None
    dags = shutil.copytree(EXAMPLES, folder / "dags")
    environment = {
        "AIRFLOW_CONN_ADOBE_DEFAULT": adobe.connection_json(),
        "EXAMPLE_POLL_SECONDS": "3",
        "EXAMPLE_IDENTITIES_PATH": f"file://{_identities(folder)}",
    }
    if postgres is not None:
        shutil.copy(CONFIDENTIAL_DAG, dags)
        environment |= _talkative(folder)
        environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = postgres.url()
    airflow = stack.enter_context(LocalAirflow(dags, environment))
    return Stand(airflow, adobe, postgres)


# Airflow sets this logger to WARNING, whatever its own options say.
_HTTPX_AT_DEBUG = """
import logging

logging.getLogger("httpx").setLevel(logging.DEBUG)
logging.getLogger("httpx").setLevel = lambda level: None
"""


def _talkative(folder: Path) -> dict[str, str]:
    """Return what the test of confidentiality needs: its values, and all that Airflow and the clients can log."""
    confidential = folder / "confidential"
    write_files(confidential)
    (confidential / "sitecustomize.py").write_text(_HTTPX_AT_DEBUG)
    return {
        "CONFIDENTIAL_FOLDER": str(confidential),
        "AIRFLOW__ADOBE_DELETION__SETTLE_TIME": "1",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "httpx=DEBUG httpcore=DEBUG",
        "PYTHONPATH": os.pathsep.join([str(confidential), *filter(None, [os.environ.get("PYTHONPATH")])]),
        # What is printed is in the logs at once.
        "PYTHONUNBUFFERED": "1",
    }


def _identities(folder: Path) -> Path:
    path = folder / "identities.csv"
    rows = [f"{code},{code.lower()}{number}\n" for code in ("Email", "ECID") for number in range(60_000)]
    path.write_text("namespace,id\n" + "".join(rows))
    return path
