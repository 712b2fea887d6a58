"""Airflow with a home of its own, and a simulated Adobe."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

# Airflow reads its home when it is first imported.
_HOME = tempfile.TemporaryDirectory(prefix="adobe-deletion-tests-")
os.environ["AIRFLOW_HOME"] = _HOME.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
os.environ["AIRFLOW__ADOBE_DELETION__SETTLE_TIME"] = "0.3"

import pytest

from airflow_provider_adobe_deletion.adobe import auth, client
from airflow_provider_adobe_deletion.adobe.client import AdobeClient, RetryPolicy
from airflow_provider_adobe_deletion.adobe.config import AdobeConfig
from airflow_provider_adobe_deletion.simulator import AdobeSimulator

pytest_plugins = ["airflow_provider_adobe_deletion.simulator.pytest_plugin"]

FAST = RetryPolicy(backoff=0.01, max_backoff=0.05, rate_limit_wait=0.01, max_retry_after=5.0)


@pytest.fixture(autouse=True)
def fresh_process_caches() -> None:
    """Each test starts without tokens and pacing, as a new process does."""
    auth._caches.clear()
    client._pacers.clear()
    client._brakes.clear()


@pytest.fixture
def connect(adobe: AdobeSimulator) -> Iterator[Callable[..., AdobeClient]]:
    """Return a function that makes clients for the simulated Adobe, with short waits."""
    clients: list[AdobeClient] = []

    def make(*, policy: RetryPolicy = FAST, jwt: bool = False, on_secret: Any = None, **overrides: Any) -> AdobeClient:
        connection = adobe.jwt_connection(**overrides) if jwt else adobe.connection(**overrides)
        config = AdobeConfig.from_connection(connection["login"], connection["password"], connection["extra"])
        clients.append(AdobeClient(config, policy=policy, on_secret=on_secret))
        return clients[-1]

    yield make
    for made in clients:
        made.close()
