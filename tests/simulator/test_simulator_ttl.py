from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from airflow_provider_adobe_deletion.simulator import AdobeSimulator

PATH = "/data/core/hygiene/ttl"
DATASET = "3e9f815ae1194c65b2a4c5ea"
ClientFactory = Callable[..., httpx.Client]


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def body(**changes: Any) -> dict[str, Any]:
    return {"datasetId": DATASET, "expiry": in_days(3), "displayName": "Expiry rule", **changes}


@pytest.fixture
def client(client_with: ClientFactory, adobe: AdobeSimulator, new_token: Callable[[], str]) -> httpx.Client:
    """A client whose token outlives the days these tests let pass."""
    adobe.settings.token_lifetime = 10**8
    return client_with(authorization=f"Bearer {new_token()}")


def test_life_of_an_expiration(adobe: AdobeSimulator, client: httpx.Client) -> None:
    answer = client.post(PATH, json=body(description="text"))
    assert answer.status_code == 201
    created = answer.json()
    assert created["ttlId"].startswith("SD-")
    assert created["imsOrg"] == adobe.settings.org_id
    assert (created["status"], created["sandboxName"], created["datasetId"]) == ("pending", "dev", DATASET)
    for key in (created["ttlId"], DATASET):
        assert client.get(f"{PATH}/{key}").json() == created
    quota = client.get("/data/core/hygiene/quota").json()["quotas"][0]
    assert (quota["name"], quota["consumed"]) == ("datasetExpirationQuota", 1)
    adobe.advance(3 * 86400)
    assert client.get(f"{PATH}/{DATASET}").json()["status"] == "executing"
    assert client.delete(f"{PATH}/{DATASET}").status_code == 404
    assert client.put(f"{PATH}/{created['ttlId']}", json={"displayName": "late"}).status_code == 400
    adobe.advance(10)
    assert client.get(f"{PATH}/{DATASET}").json()["status"] == "completed"
    (job,) = adobe.jobs()
    assert (job["service"], job["status"]) == ("ttl", "completed")


@pytest.mark.parametrize(
    "changes",
    [
        {"datasetId": None},
        {"displayName": None},
        {"expiry": None},
        {"expiry": "soon"},
        {"expiry": in_days(0.9)},
    ],
)
def test_refusals(adobe: AdobeSimulator, client: httpx.Client, changes: dict[str, Any]) -> None:
    answer = client.post(PATH, json=body(**changes))
    assert answer.status_code == 400
    assert answer.json()["type"] == "http://ns.adobe.com/aep/errors/HYGN-3102-400"
    assert answer.json()["report"]["tenantInfo"]["sandboxName"] == "dev"
    assert adobe.jobs() == []


def test_one_active_expiration_per_dataset(client: httpx.Client, client_with: ClientFactory) -> None:
    assert client.post(PATH, json=body()).status_code == 201
    assert client.post(PATH, json=body()).status_code == 400
    assert client_with(x_sandbox_name="prod").post(PATH, json=body()).status_code == 201
    assert client.delete(f"{PATH}/{DATASET}").status_code == 204
    assert client.post(PATH, json=body()).status_code == 201


def test_dates_without_zone_or_time_are_utc(client: httpx.Client) -> None:
    day = (datetime.now(UTC) + timedelta(days=5)).date().isoformat()
    assert client.post(PATH, json=body(expiry=day)).json()["expiry"] == f"{day}T00:00:00.000Z"
    other = body(datasetId="other", expiry=f"{day}T10:00:00")
    assert client.post(PATH, json=other).json()["expiry"] == f"{day}T10:00:00.000Z"


def test_update_by_ttl_id_only(client: httpx.Client) -> None:
    ttl_id = client.post(PATH, json=body()).json()["ttlId"]
    later = in_days(9)
    answer = client.put(f"{PATH}/{ttl_id}", json={"displayName": "new", "description": "d", "expiry": later})
    assert answer.status_code == 200
    assert (answer.json()["displayName"], answer.json()["description"]) == ("new", "d")
    assert answer.json()["expiry"][:19] == later[:19]
    assert client.put(f"{PATH}/{DATASET}", json={"displayName": "x"}).status_code == 404
    history = client.get(f"{PATH}/{ttl_id}", params={"include": "history"}).json()["history"]
    assert [entry["status"] for entry in history] == ["created", "updated"]
    assert "history" not in client.get(f"{PATH}/{ttl_id}").json()


def test_cancel(adobe: AdobeSimulator, client: httpx.Client) -> None:
    ttl_id = client.post(PATH, json=body()).json()["ttlId"]
    answer = client.delete(f"{PATH}/{ttl_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(f"{PATH}/{ttl_id}").json()["status"] == "cancelled"
    again = client.delete(f"{PATH}/{ttl_id}")
    assert (again.status_code, again.json()["error_code"]) == (404, "404003")
    assert client.get(f"{PATH}/nothing").status_code == 404
    assert adobe.jobs()[0]["status"] == "cancelled"


def test_list(adobe: AdobeSimulator, client: httpx.Client, client_with: ClientFactory) -> None:
    for n in range(5):
        client.post(PATH, json=body(datasetId=f"d{n}", displayName=f"Rule {n}", expiry=in_days(3 + n)))
    client.delete(f"{PATH}/d4")
    listed = client.get(PATH, params={"limit": 2, "page": 1}).json()
    assert [item["datasetId"] for item in listed["results"]] == ["d2", "d1"]
    assert (listed["current_page"], listed["total_pages"], listed["total_count"]) == (1, 3, 5)

    def found(**params: Any) -> list[str]:
        answer = client.get(PATH, params=params)
        assert answer.status_code == 200
        return [item["datasetId"] for item in answer.json()["results"]]

    assert found(datasetId="d1") == ["d1"]
    assert found(status="cancelled") == ["d4"]
    assert found(displayName="rule 3") == ["d3"]
    assert found(search="RULE 2") == ["d2"]
    assert found(orderBy="datasetId", limit=2) == ["d0", "d1"]
    assert found(expiryFromDate=in_days(5.5), expiryToDate=in_days(6.5)) == ["d3"]
    assert found(createdToDate="2020-01-01") == []
    assert found(sandboxName="prod") == []
    assert len(found(sandboxName="*")) == 5
    ttl_id = client.get(f"{PATH}/d0").json()["ttlId"]
    assert found(ttlId=ttl_id) == ["d0"]
    for wrong in ({"limit": 101}, {"limit": 0}, {"orderBy": "colour"}, {"expiryDate": "soon"}):
        assert client.get(PATH, params=wrong).status_code == 400
    adobe.settings.list_lag = 3600
    assert found() == []


def test_quota(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.quota_expirations = 1
    assert client.post(PATH, json=body()).status_code == 201
    assert client.post(PATH, json=body(datasetId="other")).status_code == 400
    client.delete(f"{PATH}/{DATASET}")
    assert client.post(PATH, json=body(datasetId="other")).status_code == 201


def test_middle_generation(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.ttl_generation = "mid"
    post = client.post(PATH, json=body())
    assert post.status_code == 404
    assert post.headers["content-type"].startswith("text/html")
    created = client.put(f"{PATH}/{DATASET}", json={"expiry": in_days(3)})
    assert created.status_code == 201
    updated = client.put(f"{PATH}/{DATASET}", json={"expiry": in_days(4)})
    assert updated.status_code == 200
    assert updated.json()["workorderId"] == created.json()["ttlId"]
    listed = client.get(PATH, params={"size": 10}).json()
    assert (listed["totalRecords"], len(listed["ttlDetails"])) == (1, 1)
    cancelled = client.delete(f"{PATH}/{created.json()['ttlId']}")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    client.put(f"{PATH}/{DATASET}", json={"expiry": in_days(3)})
    adobe.advance(4 * 86400)
    assert client.get(f"{PATH}/{DATASET}").json()["status"] == "executed"
