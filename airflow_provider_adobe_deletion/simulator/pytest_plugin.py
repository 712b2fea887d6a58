"""Fixtures for tests of DAGs that use this provider.

In ``conftest.py``::

    pytest_plugins = ["airflow_provider_adobe_deletion.simulator.pytest_plugin"]
"""

from __future__ import annotations

from collections.abc import Iterator

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
