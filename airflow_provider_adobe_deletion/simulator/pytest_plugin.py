"""Fixtures for tests of DAGs that use this provider.

In ``conftest.py``::

    pytest_plugins = ["airflow_provider_adobe_deletion.simulator.pytest_plugin"]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_adobe_deletion.simulator.server import AdobeSimulator


@pytest.fixture(scope="session")
def adobe_server() -> Iterator[AdobeSimulator]:
    """One server for the whole test session; tests use ``adobe``."""
    with AdobeSimulator() as simulator:
        yield simulator


@pytest.fixture
def adobe(adobe_server: AdobeSimulator, monkeypatch: pytest.MonkeyPatch) -> AdobeSimulator:
    """A fresh simulated Adobe, which the connection ``adobe_default`` points at.

    Deferred tasks resume at once, because the tests' Airflow has no race to avoid.
    """
    adobe_server.reset()
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_DEFAULT", adobe_server.connection_json())
    monkeypatch.setenv("AIRFLOW__ADOBE_DELETION__MINIMUM_DEFERRAL", "0")
    return adobe_server


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Bring Airflow's metadata database up to date; nothing in it is removed."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def run_dag(airflow_db: None) -> Callable[..., Any]:
    """Return a function that runs a DAG object with ``dag.test()`` and returns the run; ``conf`` are its params.

    Airflow 3 runs only DAGs that it has serialized, which this does; the DAG need not be in the DAGs folder.
    """

    def run(dag: Any, conf: dict[str, Any] | None = None) -> Any:
        _serialize(dag)
        return dag.test(run_conf=conf)

    return run


def _serialize(dag: Any) -> None:
    try:
        from airflow.models.dagbundle import DagBundleModel
        from airflow.serialization.definitions.dag import SerializedDAG
        from airflow.serialization.serialized_objects import LazyDeserializedDAG
    except ImportError:
        # Airflow before 3.1 runs any DAG object.
        return
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        if not session.get(DagBundleModel, "testing"):
            session.add(DagBundleModel(name="testing"))
            session.flush()
        lazy = LazyDeserializedDAG.from_dag(dag)
        SerializedDAG.bulk_write_to_db("testing", None, [lazy], session=session)
        SerializedDagModel.write_dag(lazy, bundle_name="testing", session=session)
