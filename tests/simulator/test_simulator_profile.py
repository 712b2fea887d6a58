from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

import httpx
import pytest

from airflow_provider_adobe_deletion.simulator import AdobeSimulator

PATH = "/data/core/ups/system/jobs"
DATASET = "5c802d3cd83fc114b741c4b5"
BATCH = "8d075b5a178e48389126b9289dcfd0ac"
ClientFactory = Callable[..., httpx.Client]


def test_azure_dataset_job(adobe: AdobeSimulator, client: httpx.Client) -> None:
    created = client.post(PATH, json={"dataSetId": DATASET})
    assert created.status_code == 200
    job = created.json()
    assert set(job) == {
        "id",
        "imsOrgId",
        "dataSetId",
        "jobType",
        "status",
        "createEpoch",
        "updateEpoch",
    }
    assert (job["dataSetId"], job["jobType"], job["status"]) == (DATASET, "DELETE", "NEW")
    adobe.advance(2)
    job = client.get(f"{PATH}/{job['id']}").json()
    assert job["status"] == "PROCESSING"
    assert json.loads(job["metrics"])["recordsProcessed"] == 0
    adobe.advance(2)
    job = client.get(f"{PATH}/{job['id']}").json()
    assert job["status"] == "COMPLETED"
    assert set(json.loads(job["metrics"])) == {"recordsProcessed", "timeTakenInSec"}
    assert job["createEpoch"] <= job["updateEpoch"] <= job["createEpoch"] + 4


def test_azure_batch_jobs(client: httpx.Client) -> None:
    job = client.post(PATH, json={"batchId": BATCH}).json()
    assert job["batchId"] == BATCH
    assert "dataSetId" not in job
    newer = client.post(PATH, json={"datasetId": DATASET, "batchId": "b" * 32}).json()
    assert (newer["datasetId"], newer["batchId"]) == (DATASET, "b" * 32)


@pytest.mark.parametrize("shape", ["azure", "unified"])
def test_capital_s_beside_a_batch_truncates_the_dataset(
    adobe: AdobeSimulator, client: httpx.Client, shape: str
) -> None:
    adobe.settings.update({"profile_shape": shape})
    job = client.post(PATH, json={"dataSetId": DATASET, "batchId": BATCH}).json()
    assert BATCH not in json.dumps(job)
    if shape == "unified":
        assert job["requestType"] == "TRUNCATE_DATASET"
    assert adobe.jobs()[0]["target"] == {"datasetId": DATASET, "batchId": None}


@pytest.mark.parametrize("body", [{}, {"datasetId": DATASET}, {"dataSetId": ""}, {"batchId": 7}])
def test_bodies_without_a_target_are_refused(
    adobe: AdobeSimulator, client: httpx.Client, body: dict[str, object]
) -> None:
    assert client.post(PATH, json=body).status_code == 400
    assert adobe.jobs() == []
    assert not adobe.journal[-1].took_effect


def test_batch_of_a_record_dataset(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.record_datasets = {DATASET: "a294e36d382649dab2cc6ad64a41b674"}
    adobe.settings.batches = {BATCH: DATASET}
    answer = client.post(PATH, json={"batchId": BATCH})
    assert answer.status_code == 400
    assert answer.json()["errors"] == {
        "400": [
            {
                "code": "500",
                "message": "Batch can only be specified for EE type 'a294e36d382649dab2cc6ad64a41b674'",
            }
        ]
    }
    assert client.post(PATH, json={"dataSetId": DATASET}).status_code == 200
    adobe.settings.profile_shape = "unified"
    job = client.post(PATH, json={"datasetId": DATASET, "batchId": BATCH}).json()
    adobe.advance(10)
    assert client.get(f"{PATH}/{job['requestId']}").json()["status"] == "FAILED"


def test_azure_remove(adobe: AdobeSimulator, client: httpx.Client) -> None:
    job_id = client.post(PATH, json={"dataSetId": DATASET}).json()["id"]
    answer = client.delete(f"{PATH}/{job_id}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.get(f"{PATH}/{job_id}").status_code == 404
    assert client.delete(f"{PATH}/{job_id}").status_code == 404
    assert client.get(PATH).json()["children"] == []
    assert adobe.jobs()[0]["removed"] is True


@pytest.mark.parametrize("shape", ["aws", "unified"])
def test_no_remove_elsewhere(adobe: AdobeSimulator, client_with: ClientFactory, shape: str) -> None:
    adobe.settings.update({"profile_shape": shape})
    client = client_with(x_sandbox_id=adobe.settings.sandboxes[1].id)
    job_id = client.post(PATH, json={"dataSetId": DATASET}).json()["requestId"]
    answer = client.delete(f"{PATH}/{job_id}")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert client.get(f"{PATH}/{job_id}").status_code == 200


def test_aws(adobe: AdobeSimulator, client_with: ClientFactory) -> None:
    adobe.settings.profile_shape = "aws"
    assert client_with().get(PATH).status_code == 400
    client = client_with(x_sandbox_name=None, x_sandbox_id=adobe.settings.sandboxes[1].id)
    made = [client.post(PATH, json={"dataSetId": f"d{n}"}).json()["requestId"] for n in range(105)]
    listed = client.get(PATH, params={"start": 3, "limit": 2}).json()
    assert [job["requestId"] for job in listed] == made[:4:-1]
    job = listed[0]
    assert set(job) == {
        "requestId",
        "requestType",
        "imsOrgId",
        "sandbox",
        "status",
        "properties",
        "createdAt",
        "updatedAt",
    }
    assert job["sandbox"] == {"sandboxName": "dev", "sandboxId": adobe.settings.sandboxes[1].id}
    assert job["createdAt"].endswith("Z")
    assert datetime.fromisoformat(job["createdAt"]).tzinfo
    repeated = client.post(PATH, json={"dataSetId": "d1"})
    assert repeated.status_code == 200
    batch = client.post(PATH, json={"datasetId": "d1", "batchId": BATCH}).json()
    assert batch["requestType"] == "DELETE_EE_BATCH"
    assert batch["properties"] == {"batchId": BATCH, "datasetId": "d1"}


def test_unified_status_words_and_paging(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.profile_shape = "unified"
    made = [client.post(PATH, json={"dataSetId": f"d{n}"}).json()["requestId"] for n in range(25)]
    page = client.get(PATH, params={"start": 1, "limit": 10}).json()
    assert [job["requestId"] for job in page["children"]] == made[10:20]
    assert page["_page"] == {"pageSize": 10, "start": "1", "totalCount": 25, "next": 2}
    everything = client.get(PATH).json()
    assert everything["_page"] == {"pageSize": 25, "start": "0", "totalCount": 25, "next": 1}
    assert client.get(PATH, params={"start": 1}).json()["children"] == []
    adobe.settings.fail_targets.add("d1")
    adobe.advance(2)
    assert client.get(f"{PATH}/{made[0]}").json()["status"] == "IN-PROGRESS"
    adobe.advance(2)
    assert client.get(f"{PATH}/{made[0]}").json()["status"] == "SUCCESS"
    assert client.get(f"{PATH}/{made[1]}").json()["status"] == "FAILED"


def test_azure_paging_by_cursor_offset_and_page(client: httpx.Client) -> None:
    made = [client.post(PATH, json={"dataSetId": f"d{n}"}).json()["id"] for n in range(5)][::-1]

    def ids(answer: httpx.Response) -> list[str]:
        return [job["id"] for job in answer.json()["children"]]

    first = client.get(PATH, params={"limit": 2})
    assert ids(first) == made[:2]
    second = client.get(f"{PATH}/{first.json()['_page']['next']}")
    assert ids(second) == made[2:4]
    third = client.get(f"{PATH}/{second.json()['_page']['next']}")
    assert ids(third) == made[4:]
    assert "next" not in third.json()["_page"]
    assert ids(client.get(PATH, params={"limit": 2, "page": 1})) == made[2:4]
    assert ids(client.get(PATH, params={"limit": 2, "start": 1})) == made[1:3]
    assert ids(client.get(PATH, params={"limit": 2, "page": 9})) == []
    assert client.get(PATH, params={"limit": 0}).status_code == 400


@pytest.mark.parametrize(
    ("rule", "while_active", "afterwards"),
    [
        ("active", 422, 200),
        ("ever", 422, 422),
        ("never", 200, 200),
    ],
)
def test_duplicates(adobe: AdobeSimulator, client: httpx.Client, rule: str, while_active: int, afterwards: int) -> None:
    adobe.settings.update({"profile_duplicate_422": rule})
    assert client.post(PATH, json={"dataSetId": DATASET}).status_code == 200
    assert client.post(PATH, json={"dataSetId": DATASET}).status_code == while_active
    assert client.post(PATH, json={"datasetId": DATASET, "batchId": BATCH}).status_code == 200
    assert client.post(PATH, json={"batchId": BATCH}).status_code == while_active
    adobe.advance(10)
    assert client.post(PATH, json={"dataSetId": DATASET}).status_code == afterwards


def test_failing_target(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.fail_targets = {BATCH}
    job_id = client.post(PATH, json={"batchId": BATCH}).json()["id"]
    adobe.advance(2)
    assert client.get(f"{PATH}/{job_id}").json()["status"] == "PROCESSING"
    adobe.advance(2)
    assert client.get(f"{PATH}/{job_id}").json()["status"] == "ERROR"


def test_lag(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.list_lag, adobe.settings.lookup_lag = 60, 30
    job_id = client.post(PATH, json={"dataSetId": DATASET}).json()["id"]
    assert client.get(f"{PATH}/{job_id}").status_code == 404
    adobe.advance(31)
    assert client.get(f"{PATH}/{job_id}").status_code == 200
    assert client.get(PATH).json()["children"] == []
    assert client.post(PATH, json={"dataSetId": DATASET}).status_code == 200
    adobe.advance(30)
    assert [job["id"] for job in client.get(PATH).json()["children"]] == [job_id]


def test_speed(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.settings.speed = 1e6
    job_id = client.post(PATH, json={"dataSetId": DATASET}).json()["id"]
    assert client.get(f"{PATH}/{job_id}").json()["status"] == "COMPLETED"
