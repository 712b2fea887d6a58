from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from airflow_provider_adobe_deletion.simulator import AdobeSimulator

PATH = "/data/core/ups/system/jobs"
ClientFactory = Callable[..., httpx.Client]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"authorization": None}, 403, "403010"),
        ({"authorization": "Bearer nonsense"}, 401, "401013"),
        ({"authorization": "Basic bm9ib2R5"}, 401, "401013"),
        ({"x_api_key": None}, 403, "403000"),
        ({"x_api_key": "nobody"}, 403, "403003"),
        ({"x_gw_ims_org_id": None}, 400, "400003"),
        ({"x_gw_ims_org_id": "other@AdobeOrg"}, 403, "403027"),
    ],
)
def test_refusals(client_with: ClientFactory, changes: dict[str, str | None], status: int, code: str) -> None:
    answer = client_with(**changes).get(PATH)
    assert answer.status_code == status
    assert answer.json()["error_code"] == code
    assert set(answer.json()) == {"error_code", "message"}


def test_token_and_api_key_must_belong_together(adobe: AdobeSimulator, client_with: ClientFactory) -> None:
    answer = client_with(x_api_key=adobe.jwt_connection()["login"]).get(PATH)
    assert (answer.status_code, answer.json()["error_code"]) == (403, "403003")


def test_missing_sandbox_header_means_production(adobe: AdobeSimulator, client_with: ClientFactory) -> None:
    answer = client_with(x_sandbox_name=None).post(PATH, json={"dataSetId": "d1"})
    assert answer.status_code == 200
    assert adobe.journal[-1].sandbox == "prod"
    assert adobe.journal[-1].sandbox_name is None
    assert adobe.jobs()[0]["sandbox"] == "prod"


@pytest.mark.parametrize(
    "changes",
    [
        {"x_sandbox_name": "nowhere"},
        {"x_sandbox_name": "Dev"},
        {"x_sandbox_name": None, "x_sandbox_id": "00000000-0000-0000-0000-000000000000"},
        {"x_sandbox_name": "dev", "x_sandbox_id": "8129954b-fa83-43ba-a995-4bfa8373ba2b"},
    ],
)
def test_unknown_sandbox_is_refused(
    adobe: AdobeSimulator, client_with: ClientFactory, changes: dict[str, str | None]
) -> None:
    answer = client_with(**changes).post(PATH, json={"dataSetId": "d1"})
    assert answer.status_code == 400
    assert answer.json()["report"]["tenantInfo"]["imsOrgId"] == adobe.settings.org_id
    assert answer.json()["error-chain"]
    assert adobe.jobs() == []
    assert adobe.journal[-1].sandbox is None


def test_jobs_stay_in_their_sandbox(client_with: ClientFactory) -> None:
    job_id = client_with().post(PATH, json={"dataSetId": "d1"}).json()["id"]
    production = client_with(x_sandbox_name="prod")
    assert production.get(PATH).json()["children"] == []
    assert production.get(f"{PATH}/{job_id}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{PATH}/"),
        ("POST", f"{PATH}/"),
        ("GET", "/data/core/ups/systems/jobs"),
        ("PATCH", PATH),
        ("GET", "/"),
        ("GET", "/ims/token/v3"),
    ],
)
def test_unknown_route_is_a_web_page(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "<html>" in answer.text


def test_body_needs_a_content_type(adobe: AdobeSimulator, client: httpx.Client) -> None:
    answer = client.post(PATH, content=b'{"dataSetId": "d1"}')
    assert answer.status_code == 400
    assert set(answer.json()) == {"type", "status", "title", "detail"}
    answer = client.post(PATH, content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert adobe.jobs() == []


def test_sandbox_management(client_with: ClientFactory) -> None:
    client = client_with(x_sandbox_name=None)
    base = "/data/foundation/sandbox-management"
    sandboxes = client.get(f"{base}/").json()["sandboxes"]
    assert [(s["name"], s["type"], s["isDefault"]) for s in sandboxes] == [
        ("prod", "production", True),
        ("dev", "development", False),
    ]
    dev = client.get(f"{base}/sandboxes/dev").json()
    assert dev == sandboxes[1]
    by_id = client_with(x_sandbox_name=None, x_sandbox_id=dev["id"])
    assert by_id.get(PATH).status_code == 200
    missing = client.get(f"{base}/sandboxes/nowhere")
    assert missing.status_code == 404
    assert set(missing.json()) == {"status", "title", "type"}


def test_request_id_comes_back(adobe: AdobeSimulator, client: httpx.Client) -> None:
    answer = client.get(PATH, headers={"x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
    assert adobe.journal[-1].request_id == "mine"
    assert client.get(PATH).headers["x-request-id"]
