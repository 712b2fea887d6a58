from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from airflow_provider_adobe_deletion.simulator import AdobeSimulator, Fault

PATH = "/data/core/hygiene/workorder"
QUOTA = "/data/core/hygiene/quota"
JOBS = "/data/core/hygiene/jobs"
DATASET = "c48b51623ec641a2949d339bad69cb15"
PEOPLE = ["poul.anderson@example.com", "cordwainer.smith@gmail.com", "cyril.kornbluth@yahoo.com"]
ClientFactory = Callable[..., httpx.Client]


def single(ids: list[str] = PEOPLE, **fields: Any) -> dict[str, Any]:
    identities = [{"namespace": {"code": "email"}, "id": value} for value in ids]
    return {"action": "delete_identity", "datasetId": DATASET, "identities": identities, **fields}


def grouped(spelling: str, ids: list[str] = PEOPLE, **fields: Any) -> dict[str, Any]:
    groups = [{"namespace": {"code": "email"}, spelling: ids}]
    return {"action": "delete_identity", "datasetId": DATASET, "namespacesIdentities": groups, **fields}


def many(count: int) -> list[str]:
    return [f"person-{n}@example.com" for n in range(count)]


@pytest.fixture(autouse=True)
def small_orders_allowed(adobe: AdobeSimulator) -> None:
    adobe.settings.small_order_limit = None


def test_generation_1(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.hygiene_generation = 1
    answer = client.post(PATH, json=single(displayName="kept but not shown"))
    assert answer.status_code == 201
    order = answer.json()
    assert set(order) == {
        "workorderId",
        "orgId",
        "batchId",
        "bundleOrdinal",
        "payloadByteSize",
        "operationCount",
        "createdAt",
        "responseMessage",
        "status",
        "createdBy",
    }
    assert isinstance(order["createdAt"], int)
    assert order["operationCount"] == 3
    assert (order["status"], order["responseMessage"]) == ("received", "received")
    assert client.get(f"{PATH}/{order['workorderId']}").json()["workorderId"] == order["workorderId"]
    created = order["createdAt"]
    window = {"start": created - 1000, "end": created + 1000}
    assert client.get(PATH, params=window).json()["total"] == 1
    assert client.get(PATH, params={"start": created + 1000, "end": created + 2000}).json()["total"] == 0
    assert client.post(PATH, json=grouped("ids")).status_code == 400
    adobe.settings.fail_targets = {DATASET}
    adobe.advance(10)
    failed = client.get(f"{PATH}/{order['workorderId']}").json()
    assert failed["status"] == "failed"
    assert json.loads(failed["responseMessage"])


@pytest.mark.parametrize("body", [single, lambda **fields: grouped("ids", **fields)])
def test_generation_3(adobe: AdobeSimulator, client: httpx.Client, body: Callable[..., dict[str, Any]]) -> None:
    answer = client.post(PATH, json=body(displayName="Leavers", description="May"))
    assert answer.status_code == 200
    order = answer.json()
    assert order["workorderId"].startswith("DI-")
    assert order["bundleId"].startswith("BN-")
    assert order["action"] == "identity-delete"
    assert (order["datasetId"], order["displayName"], order["description"]) == (DATASET, "Leavers", "May")
    assert sorted(order["targetServices"]) == ["ajo", "datalake", "identity", "profile"]
    assert datetime.fromisoformat(order["createdAt"]).tzinfo
    assert "productStatusDetails" not in order
    (job,) = adobe.jobs()
    assert job["service"] == "workorder"
    assert job["target"]["identities"] == 3
    assert job["target"]["namespaces"] == ["email"]
    text = "\n".join(["email"] * 3) + "\0" + "\n".join(PEOPLE)
    assert job["target"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()


def test_status_goes_through_all_stages(adobe: AdobeSimulator, client: httpx.Client) -> None:
    path = f"{PATH}/{client.post(PATH, json=single()).json()['workorderId']}"
    seen = [client.get(path).json()]
    for step in (0.6, 0.5, 0.5, 3.0):
        adobe.advance(step)
        seen.append(client.get(path).json())
    assert [order["status"] for order in seen] == ["received", "validated", "submitted", "ingested", "completed"]
    assert ["productStatusDetails" in order for order in seen] == [False, False, True, True, True]
    assert {p["productName"]: p["productStatus"] for p in seen[2]["productStatusDetails"]} == {
        "Data Management": "waiting",
        "Identity Service": "waiting",
        "Profile Service": "waiting",
        "Journey Orchestrator": "waiting",
    }
    assert {p["productStatus"] for p in seen[4]["productStatusDetails"]} == {"success"}
    assert seen[4]["updatedAt"] > seen[4]["createdAt"]


@pytest.mark.parametrize("target", [DATASET, "Leavers"])
def test_failure(adobe: AdobeSimulator, client: httpx.Client, target: str) -> None:
    adobe.settings.fail_targets = {target}
    order_id = client.post(PATH, json=single(displayName="Leavers")).json()["workorderId"]
    adobe.advance(10)
    assert client.get(f"{PATH}/{order_id}").json()["status"] == "failed"


@pytest.mark.parametrize(
    ("generation", "body", "status"),
    [
        (2, grouped("IDs"), 200),
        (2, grouped("ids"), 400),
        (2, single(), 200),
        (3, grouped("IDs"), 400),
        (3, grouped("ids"), 200),
        (2, single(datasetId="a,b"), 400),
        (3, single(datasetId="a,b"), 200),
        (3, single(datasetId="a,ALL"), 400),
        (3, single(datasetId="a,,b"), 400),
        (3, single(datasetId=""), 400),
        (3, single(datasetId="ALL"), 200),
        (3, single(action="delete-identity"), 400),
        (3, single(action="identity-delete"), 400),
        (3, single(targetServices=["ajo", "identity", "profile"], datasetId="ALL"), 200),
        (3, single(targetServices=["ajo", "identity", "profile"]), 400),
        (3, single(targetServices=["datalake"], datasetId="ALL"), 400),
        (3, single(targetServices=["profile"], datasetId="ALL"), 400),
        (3, single(displayName="x" * 256), 400),
        (3, single(description="x" * 1001), 400),
        (3, single(["x", 5]), 400),  # type: ignore[list-item]
        (3, {**single(), "identities": [{"id": "x"}]}, 400),
        (3, {**single(), "identities": "text"}, 400),
        (3, grouped("ids", "text"), 400),  # type: ignore[arg-type]
    ],
)
def test_what_is_accepted(
    adobe: AdobeSimulator, client: httpx.Client, generation: int, body: dict[str, Any], status: int
) -> None:
    adobe.settings.update({"hygiene_generation": generation})
    answer = client.post(PATH, json=body)
    assert answer.status_code == status
    assert len(adobe.jobs()) == (1 if status == 200 else 0)
    if status == 400:
        assert set(answer.json()) == {"error_code", "message"}


def test_cja_only_organization(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.cja_only = True
    assert client.post(PATH, json=single(targetServices=["datalake"])).json()["targetServices"] == ["datalake"]
    profile_only = single(targetServices=["ajo", "identity", "profile"], datasetId="ALL")
    assert client.post(PATH, json=profile_only).status_code == 400


def test_both_spellings_where_asked_for(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.accept_both_id_spellings = True
    assert client.post(PATH, json=grouped("IDs")).status_code == 200
    assert client.post(PATH, json=grouped("ids")).status_code == 200


def test_documented_messages(client: httpx.Client) -> None:
    both = {**single(), **grouped("ids")}
    assert (
        client.post(PATH, json=both).json()["message"]
        == "Identities and NamespacesIdentities are not allowed at the same time"
    )
    for empty in (["identities"], ["identities", "namespacesIdentities"]):
        body = {"action": "delete_identity", "datasetId": DATASET, **{name: [] for name in empty}}
        assert client.post(PATH, json=body).json()["message"] == "Identities are Empty for Delete Identity request."


def test_at_most_100000_identities(adobe: AdobeSimulator, client: httpx.Client) -> None:
    assert client.post(PATH, json=grouped("ids", many(100_001))).status_code == 400
    body = json.dumps(single(many(100_000))).encode()
    began = time.perf_counter()
    json.loads(body)
    parse = time.perf_counter() - began
    headers = {"content-type": "application/json"}
    began = time.perf_counter()
    assert client.post(PATH, content=body, headers=headers).status_code == 200
    took = time.perf_counter() - began
    assert took < 10 * parse + 0.5
    entry = adobe.journal[-1]
    assert entry.body_size == len(body)
    assert entry.body["identities"] == 100_000


@pytest.mark.parametrize("faulted", [False, True])
def test_journal_counts_and_forgets_people(adobe: AdobeSimulator, client: httpx.Client, faulted: bool) -> None:
    if faulted:
        adobe.faults.add(Fault("POST", status=503, times=None))
    client.post(PATH, json=single(displayName="Leavers"))
    expected = {
        "action": "delete_identity",
        "datasetId": DATASET,
        "displayName": "Leavers",
        "identities": 3,
        "namespaces": ["email"],
    }
    assert adobe.journal[-1].body == expected
    client.post(PATH, json=grouped("ids", displayName="Leavers"))
    assert adobe.journal[-1].body == expected
    client.post(PATH, json=single(action="wrong", misspelt=PEOPLE))
    client.post(f"{PATH}/", json=single())
    client.post(PATH, json=[single()])
    client.post(JOBS, json=alpha(adobe))
    assert adobe.journal[-1].body == {"users": 2, "userIDs": 3, "namespaces": ["ECID", "Loyalty ID", "email"]}
    text = repr(list(adobe.journal))
    for secret in (*PEOPLE, "John Doe", "30583967185734"):
        assert secret not in text


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200
    return [item["displayName"] for item in answer.json()["results"]]


def test_list_filters(adobe: AdobeSimulator, client: httpx.Client, client_with: ClientFactory) -> None:
    for name in ("alpha", "Beta", "beta two"):
        client.post(PATH, json=single(displayName=name, description=f"about {name}"))
    made = client.get(PATH, params={"limit": 100}).json()["results"]
    assert [item["displayName"] for item in made] == ["beta two", "Beta", "alpha"]
    today = datetime.now(UTC).date()

    def listed(**params: Any) -> list[str]:
        return names(client.get(PATH, params=params))

    assert listed(displayName="beta") == ["beta two", "Beta"]
    adobe.settings.display_name_match = "exact"
    assert listed(displayName="BETA") == ["Beta"]
    assert listed(description="about alpha") == ["alpha"]
    assert listed(workorderId=made[0]["workorderId"]) == ["beta two"]
    assert listed(search="TWO") == ["beta two"]
    assert listed(orderBy="+displayName") == ["Beta", "alpha", "beta two"]
    assert listed(orderBy="createdAt") == ["alpha", "Beta", "beta two"]
    assert listed(type="identity-delete", author="LIKE %Simulator%") == ["beta two", "Beta", "alpha"]
    assert listed(author="nobody") == []
    assert listed(status="completed,failed") == []
    assert len(listed(status="received")) == 3
    assert listed(status="Received") == []
    assert len(listed(fromDate=str(today - timedelta(days=1)), toDate=str(today + timedelta(days=1)))) == 3
    assert listed(fromDate="2020-01-01", toDate="2020-01-02") == []
    assert len(listed(filterDate=str(today))) == 3
    assert len(listed(sandboxName="*")) == 3
    assert listed(sandboxName="prod") == []
    assert len(names(client_with(x_sandbox_name="prod").get(PATH, params={"sandboxName": "dev"}))) == 3
    fields = client.get(PATH, params={"properties": "workorderId,status"}).json()["results"][0]
    assert set(fields) == {"workorderId", "status"}
    for wrong in ({"fromDate": str(today)}, {"limit": 0}, {"limit": 101}, {"page": -1}, {"orderBy": "colour"}):
        assert client.get(PATH, params=wrong).status_code == 400


def test_paging_and_its_traps(adobe: AdobeSimulator, client: httpx.Client) -> None:
    for n in range(30):
        client.post(PATH, json=single(displayName=f"n{n}"))
    first = client.get(PATH).json()
    assert (first["total"], first["count"], len(first["results"])) == (30, 25, 25)
    assert client.get(PATH, params={"page": 1}).json()["count"] == 5
    last = client.get(PATH, params={"page": 1, "limit": 15}).json()
    link = last["_links"]["next"]
    assert link == {"href": f"{adobe.url}/workorder?page=2&limit=15", "templated": False}
    assert client.get(link["href"]).status_code == 404
    assert last["_links"]["page"]["templated"] is True
    assert client.get(PATH, params={"page": 2, "limit": 15}).json()["results"] == []


def test_lag(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.list_lag, adobe.settings.lookup_lag = 60, 30
    order_id = client.post(PATH, json=single()).json()["workorderId"]
    assert client.get(PATH).json()["total"] == 0
    missing = client.get(f"{PATH}/{order_id}")
    assert (missing.status_code, missing.json()["error_code"]) == (404, "404003")
    adobe.advance(31)
    assert client.get(f"{PATH}/{order_id}").status_code == 200
    adobe.advance(30)
    assert client.get(PATH).json()["total"] == 1


def test_rename(adobe: AdobeSimulator, client: httpx.Client) -> None:
    path = f"{PATH}/{client.post(PATH, json=single(displayName='old')).json()['workorderId']}"
    answer = client.put(path, json={"name": "new", "description": "text"})
    assert (answer.json()["displayName"], answer.json()["description"]) == ("new", "text")
    assert client.put(path, json={"displayName": "ignored"}).status_code == 400
    adobe.settings.hygiene_generation = 1
    assert client.put(path, json={"displayName": "newer"}).status_code == 200
    adobe.settings.hygiene_generation = 3
    assert client.get(path).json()["displayName"] == "newer"
    assert client.put(f"{PATH}/DI-none", json={"name": "x"}).status_code == 404
    assert client.delete(path).status_code == 404


def quotas(client: httpx.Client) -> dict[str, tuple[int, int]]:
    items = client.get(QUOTA).json()["quotas"]
    return {item["name"]: (item["consumed"], item["quota"]) for item in items}


def test_quota_is_consumed_and_resets(
    adobe: AdobeSimulator, client: httpx.Client, new_token: Callable[[], str]
) -> None:
    adobe.settings.quota_daily, adobe.settings.quota_monthly = 5, 7
    # The middle of a month, so that the next days stay in it.
    now = datetime.now(UTC)
    middle = (now.replace(day=1) + timedelta(days=32)).replace(day=10, hour=12)
    adobe.advance((middle - now).total_seconds())
    adobe.settings.token_lifetime = 10**9
    client.headers["authorization"] = f"Bearer {new_token()}"
    assert client.post(PATH, json=single()).status_code == 200
    assert quotas(client) == {
        "datasetExpirationQuota": (0, 50),
        "dailyConsumerDeleteIdentitiesQuota": (3, 5),
        "monthlyConsumerDeleteIdentitiesQuota": (3, 7),
    }
    refused = client.post(PATH, json=single())
    assert refused.status_code == 400
    assert "daily quota" in refused.json()["title"]
    assert quotas(client)["dailyConsumerDeleteIdentitiesQuota"] == (3, 5)
    adobe.advance(12 * 3600)
    assert quotas(client)["dailyConsumerDeleteIdentitiesQuota"] == (0, 5)
    assert client.post(PATH, json=single()).status_code == 200
    adobe.advance(24 * 3600)
    assert "monthly quota" in client.post(PATH, json=single()).json()["title"]
    adobe.settings.enforce_quota = False
    assert client.post(PATH, json=single()).status_code == 200
    assert quotas(client)["monthlyConsumerDeleteIdentitiesQuota"] == (9, 7)
    adobe.advance(31 * 24 * 3600)
    assert quotas(client)["monthlyConsumerDeleteIdentitiesQuota"] == (0, 7)


def test_quota_needs_no_sandbox_and_can_be_filtered(client_with: ClientFactory) -> None:
    client = client_with(x_sandbox_name="nowhere")
    (only,) = client.get(QUOTA, params={"quotaType": "datasetExpirationQuota"}).json()["quotas"]
    assert only["name"] == "datasetExpirationQuota"
    assert only["description"]


def test_many_small_orders_are_throttled(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.small_order_limit = 3
    assert [client.post(PATH, json=single()).status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = client.post(PATH, json=single())
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert client.post(PATH, json=single(many(100))).status_code == 200
    adobe.advance(60)
    assert client.post(PATH, json=single()).status_code == 200
    assert len(adobe.jobs()) == 5


def test_dataset_with_an_active_expiration(adobe: AdobeSimulator, client: httpx.Client) -> None:
    expiry = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    ttl = client.post("/data/core/hygiene/ttl", json={"datasetId": DATASET, "expiry": expiry, "displayName": "x"})
    assert client.post(PATH, json=single()).status_code == 400
    assert client.post(PATH, json=single(datasetId=f"other,{DATASET}")).status_code == 400
    assert client.post(PATH, json=single(datasetId="other")).status_code == 200
    assert client.delete(f"/data/core/hygiene/ttl/{ttl.json()['ttlId']}").status_code == 204
    assert client.post(PATH, json=single()).status_code == 200


def alpha(adobe: AdobeSimulator) -> dict[str, Any]:
    return {
        "companyContexts": [{"namespace": "imsOrgID", "value": adobe.settings.org_id}],
        "users": [
            {
                "key": "John Doe",
                "action": ["delete"],
                "userIDs": [
                    {"namespace": "email", "value": "johnd@example.com", "type": "standard"},
                    {"namespace": "ECID", "value": "9cbefef1-dd44-4411-87db-2d387bf882bc", "type": "standard"},
                ],
            },
            {
                "key": "Jane Doe",
                "action": ["delete"],
                "userIDs": [{"namespace": "Loyalty ID", "value": "30583967185734", "type": "custom"}],
            },
        ],
    }


def test_alpha_jobs(adobe: AdobeSimulator, client_with: ClientFactory) -> None:
    client = client_with(x_sandbox_name=None)
    answer = client.post(JOBS, json=alpha(adobe)).json()
    assert answer["requestId"].endswith("RX-334")
    assert answer["totalRecords"] == 2
    john, jane = (job["customer"]["user"] for job in answer["jobs"])
    assert (john["key"], jane["key"]) == ("John Doe", "Jane Doe")
    assert [item["namespaceId"] for item in john["userIDs"]] == [6, 4]
    assert "namespaceId" not in jane["userIDs"][0]
    assert john["userIDs"][0]["isDeletedClientSide"] is False
    assert [job["id"] for job in adobe.jobs()] == [job["jobId"] for job in answer["jobs"]]
    assert client.get(JOBS).status_code == 404


def test_alpha_refusals(adobe: AdobeSimulator, client: httpx.Client) -> None:
    good = alpha(adobe)
    ten = [{"namespace": "email", "value": str(n), "type": "standard"} for n in range(10)]
    john = good["users"][0]
    changes: list[dict[str, Any]] = [
        {"companyContexts": []},
        {"companyContexts": [{"namespace": "imsOrgID", "value": "other@AdobeOrg"}]},
        {"users": []},
        {"users": [john, john]},
        {"users": [{**john, "action": ["access"]}]},
        {"users": [{**john, "userIDs": []}]},
        {"users": [{**john, "userIDs": ten}]},
        {"users": [{**john, "userIDs": [{"namespace": "email", "value": "x"}]}]},
        {"users": [{"action": ["delete"], "userIDs": john["userIDs"]}]},
    ]
    for change in changes:
        assert client.post(JOBS, json={**good, **change}).status_code == 400
    assert adobe.jobs() == []
