from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from airflow_provider_adobe_deletion.simulator import AdobeSimulator
from airflow_provider_adobe_deletion.simulator.pytest_plugin import adobe, adobe_server

__all__ = ["adobe", "adobe_server"]


@pytest.fixture
def plain(adobe: AdobeSimulator) -> Iterator[httpx.Client]:
    """Sends no header of its own that Adobe cares about."""
    with httpx.Client(base_url=adobe.url) as client:
        yield client


@pytest.fixture
def new_token(adobe: AdobeSimulator, plain: httpx.Client) -> Callable[[], str]:
    def fetch() -> str:
        connection = adobe.connection()
        form = {
            "grant_type": "client_credentials",
            "client_id": connection["login"],
            "client_secret": connection["password"],
            "scope": connection["extra"]["scopes"],
        }
        answer = plain.post("/ims/token/v3", data=form)
        assert answer.status_code == 200
        return str(answer.json()["access_token"])

    return fetch


@pytest.fixture
def access_token(new_token: Callable[[], str]) -> str:
    return new_token()


ClientFactory = Callable[..., httpx.Client]


@pytest.fixture
def client_with(adobe: AdobeSimulator, access_token: str) -> Iterator[ClientFactory]:
    """Makes clients whose headers are right except for the changes asked for (None: left out)."""
    clients: list[httpx.Client] = []

    def make(**changes: str | None) -> httpx.Client:
        connection = adobe.connection()
        headers: dict[str, str | None] = {
            "authorization": f"Bearer {access_token}",
            "x-api-key": connection["login"],
            "x-gw-ims-org-id": connection["extra"]["org_id"],
            "x-sandbox-name": "dev",
        }
        headers |= {name.replace("_", "-"): value for name, value in changes.items()}
        client = httpx.Client(
            base_url=adobe.url,
            headers={name: value for name, value in headers.items() if value is not None},
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(client_with: ClientFactory) -> httpx.Client:
    return client_with()
