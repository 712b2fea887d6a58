"""Profile system jobs in every generation: what is asked, what is taken for an answer, and that lists end."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from airflow_provider_adobe_deletion.adobe import profile
from airflow_provider_adobe_deletion.adobe.calls import Reply
from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeAPIError,
    AdobeDuplicateError,
    AdobeError,
    AdobeNotFoundError,
    AdobeProtocolError,
    AmbiguousOutcomeError,
    WrongTargetError,
)
from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobState
from airflow_provider_adobe_deletion.adobe.profile import ProfileTarget, RecordBatchError
from airflow_provider_adobe_deletion.simulator import Fault
from airflow_provider_adobe_deletion.simulator.profile import SystemJob
from airflow_provider_adobe_deletion.simulator.state import DEV

from .driving import Driver, Heard, stranger

DATASET = "5c802d3cd83fc114b741c4b5"
OTHER = "66a92c5910df2d1767de13f3"
BATCH = "8d075b5a178e48389126b9289dcfd0ac"
PATH = "/system/jobs"
SHAPES = {"azure": "azure", "aws": "aws", "unified": "azure"}

WHOLE = ProfileTarget(dataset_id=DATASET)
ONE_BATCH = ProfileTarget(batch_id=BATCH)
BATCH_OF = ProfileTarget(batch_id=BATCH, batch_dataset_id=DATASET)


@pytest.fixture(params=SHAPES)
def cloud(request: pytest.FixtureRequest, adobe: Any) -> str:
    """Set the simulated Adobe to one of its generations."""
    adobe.settings.profile_shape = request.param
    return SHAPES[request.param]


def client_for(connect: Any, cloud: str) -> Any:
    return connect(cloud=cloud, sandbox_id=DEV.id) if cloud == "aws" else connect()


def bodies(adobe: Any) -> list[Any]:
    return [entry.body for entry in adobe.journal.select("POST", PATH)]


class TestRequests:
    @pytest.mark.parametrize(
        ("target", "body"),
        [
            (WHOLE, {"dataSetId": DATASET}),
            (ONE_BATCH, {"batchId": BATCH}),
            (BATCH_OF, {"datasetId": DATASET, "batchId": BATCH}),
        ],
        ids=str,
    )
    def test_the_body_is_what_the_documents_print(
        self, drive: Driver, adobe: Any, connect: Any, cloud: str, target: ProfileTarget, body: dict[str, str]
    ) -> None:
        job = drive.run(client_for(connect, cloud), profile.create(target, cloud=cloud))
        assert bodies(adobe) == [body]
        (entry,) = adobe.journal.select("POST")[1:]
        assert (entry.path, entry.query, entry.sandbox) == ("/data/core/ups/system/jobs", {}, "dev")
        assert len(adobe.jobs()) == 1
        assert adobe.jobs()[0]["target"] == {
            "datasetId": body.get("dataSetId", body.get("datasetId")),
            "batchId": body.get("batchId"),
        }
        assert job.id == adobe.jobs()[0]["id"]
        assert job.target.get("batch_id") == body.get("batchId")

    def test_a_batch_never_comes_with_the_field_that_truncates(self) -> None:
        for target in (ONE_BATCH, BATCH_OF):
            assert "dataSetId" not in target.body()
        assert "batchId" not in WHOLE.body()

    def test_look_up_and_removal(self, drive: Driver, adobe: Any, connect: Any) -> None:
        client = connect()
        job = drive.run(client, profile.create(WHOLE, cloud="azure"))
        assert drive.send(client, profile.get_job(job.id)) == job
        assert drive.run(client, profile.remove(job.id)) is True
        asked = [(entry.method, entry.path) for entry in adobe.journal.select(path_contains=PATH)]
        one = f"/data/core/ups/system/jobs/{job.id}"
        assert asked[1:] == [("GET", one), ("GET", one), ("DELETE", one), ("GET", one)]


class TestTarget:
    @pytest.mark.parametrize(
        "given",
        [
            {},
            {"dataset_id": DATASET, "batch_id": BATCH},
            {"batch_dataset_id": DATASET},
            {"dataset_id": DATASET, "batch_dataset_id": DATASET},
            {"dataset_id": "", "batch_id": BATCH},
            {"dataset_id": DATASET, "batch_id": ""},
            {"dataset_id": DATASET, "batch_id": BATCH, "batch_dataset_id": DATASET},
        ],
        ids=str,
    )
    def test_exactly_one_target(self, given: dict[str, str]) -> None:
        with pytest.raises(ValueError, match=r"batch_id"):
            ProfileTarget(**given)

    @pytest.mark.parametrize(
        "bad",
        [
            "",
            " ",
            "\n",
            "a b",
            " a",
            "a ",
            "a\n",
            "..",
            "../x",
            "a/../b",
            "a..b",
            "/a",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "a%2fb",
            "%2e%2e",
            "a;b",
            "a&b=c",
            "a\x00b",
            "a\x7f",
            "a\r\nx-sandbox-name: prod",
            ".",
            ".a",
            "-a",
            "_a",
            "\u0435c802d",
            "a\u200b",
            "\u0661\u0662",
            "\uff41",
            "a\ud800",
            "{{ ds }}",
            "*",
            "'a'",
            '"a"',
            "<a>",
            "a,b",
            "a" * 256,
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("where", ["dataset_id", "batch_id", "batch_dataset_id", "get", "remove", "removal flow"])
    def test_what_cannot_be_an_id_is_refused_without_a_request(
        self, drive: Driver, adobe: Any, connect: Any, where: str, bad: str
    ) -> None:
        attempts: dict[str, Callable[[], Any]] = {
            "dataset_id": lambda: ProfileTarget(dataset_id=bad),
            "batch_id": lambda: ProfileTarget(batch_id=bad),
            "batch_dataset_id": lambda: ProfileTarget(batch_id=BATCH, batch_dataset_id=bad),
            "get": lambda: profile.get_job(bad),
            "remove": lambda: profile.remove_job(bad),
            "removal flow": lambda: drive.run(connect(), profile.remove(bad)),
        }
        name = where if where.endswith("_id") else "job_id"
        with pytest.raises(ValueError, match=rf"^{name} is (empty|not an id of Adobe's)") as refused:
            attempts[where]()
        assert len(bad) < 3 or bad not in str(refused.value)
        assert len(adobe.journal) == 0

    @pytest.mark.parametrize("bad", [5, 0, True, b"abc", ["abc"], {"id": "abc"}, 1.5, object()], ids=repr)
    @pytest.mark.parametrize("name", ["dataset_id", "batch_id", "batch_dataset_id", "job_id"])
    def test_an_id_of_another_type_is_refused(self, name: str, bad: Any) -> None:
        make: Callable[..., Any] = profile.get_job if name == "job_id" else ProfileTarget
        with_batch = {"batch_id": BATCH} if name == "batch_dataset_id" else {}
        with pytest.raises(TypeError, match=f"{name} must be a string, not {type(bad).__name__}"):
            make(**with_batch, **{name: bad})

    @pytest.mark.parametrize("good", ["a", BATCH, "01JFSYFDFW9JAAEKHX672JMPSB", "a.b_c:d@e-f", "9" * 255])
    def test_what_can_be_an_id_is_kept(self, good: str) -> None:
        assert ProfileTarget(dataset_id=good).body() == {"dataSetId": good}


AZURE_JOB = {
    "id": "3f225e7e-ac8c-4904-b1d5-0ce79e03c2ec",
    "imsOrgId": "{ORG_ID}",
    "dataSetId": DATASET,
    "jobType": "DELETE",
    "status": "PROCESSING",
    "metrics": '{"recordsProcessed":0,"timeTakenInSec":15}',
    "createEpoch": 1559025404,
    "updateEpoch": 1559025406,
}
AZURE_BATCH_JOB = {
    "id": "9c2018e2-cd04-46a4-b38e-89ef7b1fcdf4",
    "imsOrgId": "{ORG_ID}",
    "batchId": BATCH,
    "jobType": "DELETE",
    "status": "COMPLETED",
    "metrics": '{"recordsProcessed":5,"timeTakenInSec":1}',
    "createEpoch": 1559026134,
    "updateEpoch": 1559026137,
}
UNIFIED_JOB = {
    "requestId": "80a9405a-21ca-4278-aedf-99367f90c055",
    "requestType": "DELETE_EE_BATCH",
    "imsOrgId": "{ORG_ID}",
    "sandbox": {"sandboxName": "prod", "sandboxId": "8129954b-fa83-43ba-a995-4bfa8373ba2b"},
    "status": "SUCCESS",
    "properties": {"batchId": "01JFSYFDFW9JAAEKHX672JMPSB", "datasetId": OTHER},
    "createdAt": "2024-12-22T19:44:50.250006Z",
    "updatedAt": "2024-12-22T19:52:13.380706Z",
}


class TestAnswers:
    def look(self, drive: Driver, adobe: Any, connect: Any, body: dict[str, Any]) -> DeletionJob:
        adobe.faults.add(Fault("GET", PATH, status=200, body=body))
        found = drive.send(connect(), profile.get_job(str(body.get("requestId", body.get("id")))))
        assert isinstance(found, DeletionJob)
        json.dumps(found.summary(), allow_nan=False)
        return found

    def test_azure(self, drive: Driver, adobe: Any, connect: Any) -> None:
        job = self.look(drive, adobe, connect, AZURE_JOB)
        assert (job.id, job.state, job.status) == (AZURE_JOB["id"], JobState.RUNNING, "PROCESSING")
        assert job.target == {"dataset_id": DATASET}
        assert job.created_at == datetime(2019, 5, 28, 6, 36, 44, tzinfo=UTC)
        assert job.updated_at == datetime(2019, 5, 28, 6, 36, 46, tzinfo=UTC)
        assert job.details == {"type": "DELETE", "metrics": {"recordsProcessed": 0, "timeTakenInSec": 15}}

    def test_azure_batch(self, drive: Driver, adobe: Any, connect: Any) -> None:
        job = self.look(drive, adobe, connect, AZURE_BATCH_JOB)
        assert (job.state, job.target) == (JobState.SUCCEEDED, {"batch_id": BATCH})
        assert ONE_BATCH.is_of(job)
        assert BATCH_OF.is_of(job)
        assert not WHOLE.is_of(job)

    def test_unified(self, drive: Driver, adobe: Any, connect: Any) -> None:
        job = self.look(drive, adobe, connect, UNIFIED_JOB)
        assert (job.id, job.state, job.status) == (UNIFIED_JOB["requestId"], JobState.SUCCEEDED, "SUCCESS")
        assert job.target == {"dataset_id": OTHER, "batch_id": "01JFSYFDFW9JAAEKHX672JMPSB"}
        assert job.created_at == datetime(2024, 12, 22, 19, 44, 50, 250006, tzinfo=UTC)
        assert job.details == {"type": "DELETE_EE_BATCH"}

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("NEW", JobState.PENDING),
            ("new", JobState.PENDING),
            ("PROCESSING", JobState.RUNNING),
            ("IN-PROGRESS", JobState.RUNNING),
            ("IN_PROGRESS", JobState.RUNNING),
            ("in-progress", JobState.RUNNING),
            ("COMPLETED", JobState.SUCCEEDED),
            ("SUCCESS", JobState.SUCCEEDED),
            ("success", JobState.SUCCEEDED),
            ("ERROR", JobState.FAILED),
            ("FAILED", JobState.FAILED),
            ("Failed", JobState.FAILED),
            ("CANCELLED", JobState.UNKNOWN),
            ("COMPLETED_WITH_ERRORS", JobState.UNKNOWN),
            ("SUCCESSFUL", JobState.UNKNOWN),
            ("SUCCESS ", JobState.UNKNOWN),
            ("NOT-SUCCESS", JobState.UNKNOWN),
            ("", JobState.UNKNOWN),
            (5, JobState.UNKNOWN),
            (None, JobState.UNKNOWN),
        ],
    )
    def test_statuses(self, adobe: Any, connect: Any, status: Any, state: JobState) -> None:
        job = self.look(Driver("sync"), adobe, connect, AZURE_JOB | {"status": status})
        assert job.state is state
        assert job.state.terminal == (state in (JobState.SUCCEEDED, JobState.FAILED))
        assert job.status == ("" if status is None else str(status))

    @pytest.mark.parametrize(
        ("metrics", "read"),
        [
            ('{"recordsProcessed":5}', {"recordsProcessed": 5}),
            ({"recordsProcessed": 5, "rate": 1.5}, {"recordsProcessed": 5, "rate": 1.5}),
            ({"user": "poul@example.com", "recordsProcessed": 5}, {"recordsProcessed": 5}),
            ({"ok": True, "n": None, "d": {"a": 1}}, None),
            ('{"a": NaN, "b": Infinity, "c": 1e400, "d": 1}', {"d": 1}),
            ("garbage", None),
            ("", None),
            ("[1]", None),
            ("5", None),
            ("null", None),
            ([{"recordsProcessed": 5}], None),
            ([], None),
            ({}, None),
            (None, None),
            (5, None),
            ("[" * 100_000, None),
            ({"big": 10**400}, {"big": 10**400}),
        ],
        ids=range(17),
    )
    def test_metrics(self, adobe: Any, connect: Any, metrics: Any, read: Any) -> None:
        job = self.look(Driver("sync"), adobe, connect, AZURE_JOB | {"metrics": metrics})
        assert job.details.get("metrics") == read

    @pytest.mark.parametrize(
        "change",
        [
            {"createEpoch": None},
            {"createEpoch": "soon"},
            {"createEpoch": 10**400},
            {"createEpoch": -(10**30)},
            {"createEpoch": [1]},
            {"createEpoch": True},
            {"createEpoch": ""},
        ],
        ids=str,
    )
    def test_a_time_that_is_none_is_no_reason_to_fail(self, adobe: Any, connect: Any, change: Any) -> None:
        assert self.look(Driver("sync"), adobe, connect, AZURE_JOB | change).created_at is None

    @pytest.mark.parametrize(
        "change",
        [
            {"dataSetId": None, "batchId": None},
            {"dataSetId": ""},
            {"properties": None, "dataSetId": None},
            {"properties": "x", "sandbox": 5},
            {"properties": [], "unknown": {"deep": [1]}},
            {"jobType": None},
            {"imsOrgId": 5},
        ],
        ids=str,
    )
    def test_missing_and_unknown_fields_are_borne(self, adobe: Any, connect: Any, change: Any) -> None:
        assert self.look(Driver("sync"), adobe, connect, AZURE_JOB | change).state is JobState.RUNNING

    def test_a_job_without_a_status_is_looked_at_again(self, adobe: Any, connect: Any) -> None:
        assert not self.look(Driver("sync"), adobe, connect, {"id": "j-1"}).state.terminal

    def test_an_id_that_could_not_be_looked_up_is_no_answer(self, drive: Driver, adobe: Any, connect: Any) -> None:
        adobe.faults.add(Fault("POST", PATH, status=200, body=AZURE_JOB | {"id": "../../x"}))
        with pytest.raises(AmbiguousOutcomeError):
            drive.run(connect(), profile.create(WHOLE, cloud="azure"))
        assert len(adobe.journal.select("POST", PATH)) == 1


RIGHT = [
    (WHOLE, {"id": "j-1", "dataSetId": DATASET, "jobType": "DELETE", "status": "NEW"}),
    (WHOLE, {"id": "j-1", "datasetId": DATASET, "jobType": "DELETE", "status": "NEW"}),
    (WHOLE, {"requestId": "j-1", "requestType": "TRUNCATE_DATASET", "properties": {"datasetId": DATASET}}),
    (WHOLE, {"requestId": "j-1", "requestType": "DELETE_EE_BATCH", "properties": {"datasetId": DATASET}}),
    (WHOLE, {"requestId": "j-1", "status": "SUCCESS"}),
    (ONE_BATCH, {"id": "j-1", "batchId": BATCH, "jobType": "DELETE", "status": "NEW"}),
    (ONE_BATCH, {"id": "j-1", "batchId": BATCH, "datasetId": DATASET}),
    (ONE_BATCH, {"requestId": "j-1", "requestType": "DELETE_EE_BATCH", "properties": {"batchId": BATCH}}),
    (BATCH_OF, {"requestId": "j-1", "properties": {"batchId": BATCH, "datasetId": DATASET}}),
    (BATCH_OF, {"requestId": "j-1", "properties": {"batchId": BATCH}}),
]
WRONG = [
    (WHOLE, {"id": "j-1", "dataSetId": OTHER, "jobType": "DELETE"}),
    (WHOLE, {"id": "j-1", "dataSetId": DATASET, "batchId": BATCH}),
    (WHOLE, {"id": "j-1", "batchId": BATCH}),
    (WHOLE, {"requestId": "j-1", "requestType": "TRUNCATE_DATASET", "properties": {"datasetId": OTHER}}),
    (ONE_BATCH, {"id": "j-1", "dataSetId": DATASET, "jobType": "DELETE"}),
    (ONE_BATCH, {"id": "j-1", "batchId": BATCH[:-1]}),
    (ONE_BATCH, {"id": "j-1", "jobType": "DELETE", "status": "NEW"}),
    (ONE_BATCH, {"requestId": "j-1", "requestType": "TRUNCATE_DATASET", "properties": {"batchId": BATCH}}),
    (ONE_BATCH, {"requestId": "j-1", "requestType": "TRUNCATE_DATASET", "properties": {"datasetId": DATASET}}),
    (BATCH_OF, {"requestId": "j-1", "requestType": "TRUNCATE_DATASET", "properties": {"datasetId": DATASET}}),
    (
        BATCH_OF,
        {
            "requestId": "j-1",
            "requestType": "TRUNCATE_DATASET",
            "properties": {"datasetId": DATASET, "batchId": BATCH},
        },
    ),
    (BATCH_OF, {"id": "j-1", "dataSetId": DATASET}),
]


class TestEcho:
    """What Adobe says it made is compared with what was asked for."""

    @pytest.mark.parametrize(("target", "body"), RIGHT, ids=range(len(RIGHT)))
    def test_the_right_target(
        self, drive: Driver, adobe: Any, connect: Any, target: ProfileTarget, body: dict[str, Any]
    ) -> None:
        adobe.faults.add(Fault("POST", PATH, status=200, body=body))
        assert drive.run(connect(), profile.create(target, cloud="azure")).id == "j-1"

    @pytest.mark.parametrize(("target", "body"), WRONG, ids=range(len(WRONG)))
    def test_the_wrong_target_fails_loudly(
        self, drive: Driver, adobe: Any, connect: Any, target: ProfileTarget, body: dict[str, Any]
    ) -> None:
        adobe.faults.add(Fault("POST", PATH, status=200, body=body))
        with pytest.raises(WrongTargetError, match="Adobe created job j-1 for something else") as raised:
            drive.run(connect(), profile.create(target, cloud="azure"))
        assert raised.value.job_id == "j-1"
        assert str(target) in str(raised.value)
        assert len(bodies(adobe)) == 1


class TestDuplicate:
    @pytest.fixture(autouse=True)
    def ended_at_once(self, adobe: Any) -> None:
        adobe.settings.profile_seconds = (0.05, 0.1)
        adobe.settings.profile_duplicate_422 = "ever"

    @pytest.fixture(params=["azure", "unified"])
    def shape(self, request: pytest.FixtureRequest, adobe: Any) -> str:
        adobe.settings.profile_shape = request.param
        name: str = request.param
        return name

    @pytest.mark.parametrize("target", [WHOLE, ONE_BATCH, BATCH_OF], ids=str)
    def test_an_active_job_is_adopted(
        self, drive: Driver, adobe: Any, connect: Any, shape: str, target: ProfileTarget
    ) -> None:
        adobe.settings.profile_seconds = (60.0, 120.0)
        client = connect()
        for each in (ProfileTarget(dataset_id=OTHER), target, ProfileTarget(batch_id="b-2")):
            drive.run(client, profile.create(each, cloud="azure"))
        first = adobe.jobs()[1]["id"]
        again = drive.run(client, profile.create(target, cloud="azure"))
        assert again.id == first
        assert len(adobe.jobs()) == 3

    def test_an_ended_job_is_refused(self, drive: Driver, adobe: Any, connect: Any, shape: str) -> None:
        client = connect()
        drive.run(client, profile.create(WHOLE, cloud="azure"))
        adobe.advance(60)
        since = datetime.now(UTC) + timedelta(seconds=30)
        for earliest in (None, since):
            with pytest.raises(AdobeDuplicateError, match="already exists; no active job") as raised:
                drive.run(client, profile.create(WHOLE, cloud="azure", since=earliest))
            assert raised.value.status == 422
            assert raised.value.request_id
        assert len(adobe.jobs()) == 1

    def test_an_ended_job_that_began_since_is_ours(self, drive: Driver, adobe: Any, connect: Any, shape: str) -> None:
        client = connect()
        since = datetime.now(UTC) - timedelta(seconds=5)
        job = drive.run(client, profile.create(WHOLE, cloud="azure"))
        adobe.advance(60)
        again = drive.run(client, profile.create(WHOLE, cloud="azure", since=since))
        assert (again.id, again.state) == (job.id, JobState.SUCCEEDED)

    @pytest.mark.parametrize(
        "twin",
        [
            {"dataSetId": OTHER},
            {"batchId": BATCH, "datasetId": DATASET},
            {"properties": {"datasetId": DATASET}, "requestType": "BACKFILL_TTL"},
            {"properties": {"datasetId": DATASET, "batchId": BATCH}},
        ],
    )
    def test_a_job_for_something_else_is_never_adopted(
        self, drive: Driver, adobe: Any, connect: Any, twin: dict[str, Any]
    ) -> None:
        adobe.faults.add(Fault("POST", PATH, status=422))
        listed = {"_page": {"count": 1}, "children": [{"id": "j-1", "status": "NEW", **twin}]}
        adobe.faults.add(Fault("GET", PATH, status=200, body=listed))
        with pytest.raises(AdobeDuplicateError, match="no active job"):
            drive.run(connect(), profile.create(WHOLE, cloud="azure", since=datetime(2000, 1, 1, tzinfo=UTC)))

    def test_a_truncation_is_not_adopted_for_a_batch(self, drive: Driver, adobe: Any, connect: Any) -> None:
        adobe.faults.add(Fault("POST", PATH, status=422))
        job = {"requestId": "j-1", "requestType": "TRUNCATE_DATASET", "status": "NEW", "properties": {"batchId": BATCH}}
        adobe.faults.add(Fault("GET", PATH, status=200, body={"children": [job]}))
        with pytest.raises(AdobeDuplicateError):
            drive.run(connect(), profile.create(ONE_BATCH, cloud="azure"))

    def test_the_newest_of_several_is_adopted(self, drive: Driver, adobe: Any, connect: Any) -> None:
        adobe.faults.add(Fault("POST", PATH, status=422))
        jobs = [
            {"id": name, "dataSetId": DATASET, "status": status, "createEpoch": created}
            for name, status, created in [("old", "NEW", 1), ("new", "odd", 3), ("mid", "NEW", 2), ("end", "ERROR", 9)]
        ]
        adobe.faults.add(Fault("GET", PATH, status=200, body={"children": jobs}))
        since = datetime(1970, 1, 1, tzinfo=UTC)
        assert drive.run(connect(), profile.create(WHOLE, cloud="azure", since=since)).id == "new"

    def test_when_the_list_fails_so_does_the_call(self, drive: Driver, adobe: Any, connect: Any) -> None:
        adobe.faults.add(Fault("POST", PATH, times=None, status=422))
        adobe.faults.add(Fault("GET", PATH, times=None, status=403))
        with pytest.raises(AdobeAPIError, match="list the Profile jobs") as raised:
            drive.run(connect(), profile.create(WHOLE, cloud="azure"))
        assert raised.value.status == 403
        assert len(bodies(adobe)) == 1


class TestRefusal:
    def test_a_record_batch_is_explained(self, drive: Driver, adobe: Any, connect: Any) -> None:
        adobe.settings.record_datasets = {DATASET: "a294e36d382649dab2cc6ad64a41b674"}
        adobe.settings.batches = {BATCH: DATASET}
        for target in (ONE_BATCH, BATCH_OF):
            with pytest.raises(
                RecordBatchError, match="record schema.*overwrites.*Batch can only be specified"
            ) as raised:
                drive.run(connect(), profile.create(target, cloud="azure"))
            assert raised.value.status == 400
            assert raised.value.request_id
            assert isinstance(raised.value.__cause__, AdobeAPIError)
        assert adobe.jobs() == []

    def test_the_same_words_for_a_dataset_are_left_alone(self, drive: Driver, adobe: Any, connect: Any) -> None:
        body = {"errors": {"400": [{"message": "Batch can only be specified for EE type 'x'"}]}}
        adobe.faults.add(Fault("POST", PATH, status=400, body=body))
        with pytest.raises(AdobeAPIError) as raised:
            drive.run(connect(), profile.create(WHOLE, cloud="azure"))
        assert type(raised.value) is AdobeAPIError

    @pytest.mark.parametrize("status", [400, 403, 404, 409])
    def test_an_error_is_not_its_own_cause(self, drive: Driver, adobe: Any, connect: Any, status: int) -> None:
        # Log formatters follow the chain of causes, and some of them for ever.
        adobe.faults.add(Fault("POST", PATH, status=status, body={"message": "no"}))
        with pytest.raises(AdobeAPIError) as raised:
            drive.run(connect(), profile.create(WHOLE, cloud="azure"))
        seen: list[BaseException] = []
        link: BaseException | None = raised.value
        while link is not None:
            assert link not in seen
            seen.append(link)
            link = link.__cause__ or link.__context__


def child(number: int) -> dict[str, Any]:
    return {"id": f"j-{number}", "dataSetId": DATASET, "status": "NEW", "createEpoch": number}


def many(first: int, count: int) -> list[dict[str, Any]]:
    return [child(number) for number in range(first, first + count)]


class TestList:
    @pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 250])
    def test_every_page_is_read(self, drive: Driver, adobe: Any, connect: Any, cloud: str, count: int) -> None:
        self.fill(adobe, count)
        listed = drive.run(client_for(connect, cloud), profile.list_jobs(cloud))
        pages = adobe.journal.select("GET", PATH)
        ids = [job["id"] for job in adobe.jobs()]
        if cloud == "aws":
            assert {job.id for job in listed.jobs} == set(ids[-100:])
            assert [entry.query for entry in pages] == [{}]
            assert listed.complete == (count < 100)
        else:
            assert {job.id for job in listed.jobs} == set(ids)
            assert len(listed.jobs) == count
            assert listed.complete
            assert len(pages) <= count // 100 + 1
            assert all(entry.query.get("limit") == "100" for entry in pages)

    @pytest.mark.parametrize(
        ("cloud", "position"),
        [*product(["azure", "unified"], [0, 120, 249]), *product(["aws"], [150, 249])],
        indirect=["cloud"],
    )
    def test_a_job_is_found_wherever_it_is(
        self, drive: Driver, adobe: Any, connect: Any, cloud: str, position: int
    ) -> None:
        self.fill(adobe, 250)
        batch = adobe.jobs()[position]["target"]["batchId"]
        found = drive.run(client_for(connect, cloud), profile.find(ProfileTarget(batch_id=batch), cloud=cloud))
        assert [job.id for job in found.jobs] == [adobe.jobs()[position]["id"]]

    def fill(self, adobe: Any, count: int) -> None:
        """Put the jobs in place by hand, since creating each by a call would take long."""
        service = adobe._adobe.services[0]
        for number in range(count):
            job = SystemJob(f"j-{number}", None, f"b-{number}", DEV, adobe._adobe.state.clock.moment(), False)
            service._jobs[job.id] = job

    def listing(self, drive: Driver, connect: Any, answer: Any, cloud: str = "azure") -> tuple[Any, list[Heard]]:
        """Walk the list of a server of our own; return what came of it, and what was asked."""

        def reply(heard: Heard) -> tuple[int, dict[str, str], bytes]:
            given = answer(heard, len(server.heard))
            status, body = given if isinstance(given, tuple) else (200, given)
            return status, {}, json.dumps(body).encode()

        with stranger(reply) as server:
            client = connect(platform_url=server.url, cloud=cloud, sandbox_id="s-1")
            try:
                result = drive.run(client, profile.list_jobs(cloud))
            except AdobeError as error:
                result = error
        assert all(heard.path.split("?")[0].startswith("/data/core/ups/system/jobs") for heard in server.heard)
        return result, server.heard

    def test_next_is_always_there(self, drive: Driver, connect: Any) -> None:
        def answer(heard: Heard, number: int) -> Any:
            return {"_page": {"next": number}, "children": many(number * 100, 100)}

        listed, heard = self.listing(drive, connect, answer)
        assert len(heard) == 50
        assert len(listed.jobs) == 5000
        assert not listed.complete

    def test_next_is_always_there_as_a_token(self, drive: Driver, connect: Any) -> None:
        def answer(heard: Heard, number: int) -> Any:
            return {"_page": {"next": f"token-{number}"}, "children": many(number * 100, 100)}

        listed, heard = self.listing(drive, connect, answer)
        assert len(heard) == 50
        assert not listed.complete

    @pytest.mark.parametrize("following", [0, 1, -1, 7, 10**30, "7", "token", "../..", "x" * 5000])
    def test_the_same_page_for_ever(self, drive: Driver, connect: Any, following: Any) -> None:
        body = {"_page": {"next": following}, "children": many(0, 100)}
        listed, heard = self.listing(drive, connect, lambda *_: body)
        assert len(heard) <= 3
        assert len(listed.jobs) == 100
        assert not listed.complete

    def test_tokens_in_a_circle(self, drive: Driver, connect: Any) -> None:
        pages = {"": ("a", 0), "a": ("b", 100), "b": ("c", 200), "c": ("a", 300)}

        def answer(heard: Heard, number: int) -> Any:
            token = heard.path.split("?")[0].removeprefix("/data/core/ups/system/jobs").lstrip("/")
            following, first = pages[token]
            return {"_page": {"next": following}, "children": many(first, 100)}

        listed, heard = self.listing(drive, connect, answer)
        assert len(listed.jobs) == 400
        assert len(heard) <= 7
        assert not listed.complete

    def test_only_the_token_leads_on(self, drive: Driver, connect: Any) -> None:
        """The documents' own way: the token goes into the look-up path."""
        pages = {"": ("K1JJ+/=", 0, 100), "K1JJ%2B%2F%3D": ("t-2", 100, 100), "t-2": (None, 200, 30)}

        def answer(heard: Heard, number: int) -> Any:
            token = heard.path.split("?")[0].removeprefix("/data/core/ups/system/jobs").lstrip("/")
            following, first, count = pages[token]
            return {
                "_page": {"count": count} | ({"next": following} if following else {}),
                "children": many(first, count),
            }

        listed, heard = self.listing(drive, connect, answer)
        assert len(listed.jobs) == 230
        assert listed.complete
        assert len(heard) == 4

    def test_a_token_that_leads_nowhere(self, drive: Driver, connect: Any) -> None:
        def answer(heard: Heard, number: int) -> Any:
            if "jobs/" in heard.path:
                return 404, {"message": "no such job"}
            return {"_page": {"next": "t-1"}, "children": many(0, 100)}

        listed, heard = self.listing(drive, connect, answer)
        assert len(listed.jobs) == 100
        assert not listed.complete
        assert len(heard) == 3

    def test_an_empty_page_is_the_end_though_it_has_a_token(self, drive: Driver, connect: Any) -> None:
        def answer(heard: Heard, number: int) -> Any:
            return {"_page": {"next": f"t-{number}"}, "children": many(0, 100) if number == 1 else []}

        listed, heard = self.listing(drive, connect, answer)
        assert (len(listed.jobs), len(heard), listed.complete) == (100, 2, True)

    def test_the_next_page_as_a_number_in_quotes(self, drive: Driver, connect: Any) -> None:
        def answer(heard: Heard, number: int) -> Any:
            start = int(heard.path.split("start=")[1].split("&")[0]) if "start=" in heard.path else 0
            rest = max(0, 250 - start * 100)
            return {
                "_page": {"start": str(start), "next": str(start + 1)},
                "children": many(start * 100, min(100, rest)),
            }

        listed, _ = self.listing(drive, connect, answer)
        assert len(listed.jobs) == 250
        assert listed.complete

    def test_a_total_that_is_too_small_hides_nothing(self, drive: Driver, connect: Any) -> None:
        def answer(heard: Heard, number: int) -> Any:
            count = (100, 100, 50)[number - 1]
            page = {"pageSize": count, "totalCount": count, "next": number}
            return {"_page": page, "children": many(number * 100, count)}

        listed, heard = self.listing(drive, connect, answer)
        assert (len(listed.jobs), len(heard)) == (250, 3)

    @pytest.mark.parametrize("total", [1000, 101, 10**30])
    def test_a_total_that_is_too_big_is_no_proof(self, drive: Driver, connect: Any, total: int) -> None:
        def answer(heard: Heard, number: int) -> Any:
            return {"_page": {"totalCount": total, "next": 1}, "children": many(0, 100) if number == 1 else []}

        listed, heard = self.listing(drive, connect, answer)
        assert (len(listed.jobs), len(heard), listed.complete) == (100, 2, False)

    @pytest.mark.parametrize("total", ["100", None, -1, 1.5, True, [], {}])
    def test_a_total_of_the_wrong_type(self, drive: Driver, connect: Any, total: Any) -> None:
        listed, heard = self.listing(
            drive, connect, lambda *_: {"_page": {"totalCount": total}, "children": many(0, 3)}
        )
        assert (len(listed.jobs), len(heard), listed.complete) == (3, 1, True)

    @pytest.mark.parametrize("following", [None, "", True, False, 1.0, [], {}, ["a"]], ids=repr)
    def test_a_next_of_the_wrong_type_ends_the_walk(self, drive: Driver, connect: Any, following: Any) -> None:
        listed, heard = self.listing(drive, connect, lambda *_: {"_page": {"next": following}, "children": many(0, 3)})
        assert (len(listed.jobs), len(heard)) == (3, 1)

    @pytest.mark.parametrize("page", [None, {}, 0, "", []], ids=repr)
    def test_no_page(self, drive: Driver, connect: Any, page: Any) -> None:
        listed, heard = self.listing(drive, connect, lambda *_: {"_page": page, "children": many(0, 3)})
        assert (len(listed.jobs), len(heard), listed.complete) == (3, 1, True)

    @pytest.mark.parametrize(
        "body",
        [
            None,
            5,
            "x",
            True,
            {"children": None},
            {"children": {}},
            {"children": "x"},
            {"children": 5},
            {"_page": "x", "children": []},
            {"_page": ["x"], "children": []},
            {"_page": 5, "children": []},
            {"children": [None]},
            {"children": ["x"]},
            {"children": [[]]},
            {"children": [{}]},
            {"children": [{"id": None}]},
            {"children": [{"id": {}}]},
            [None],
            ["x"],
            [[]],
            [{"status": "NEW"}],
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("cloud", ["azure", "aws"])
    def test_what_is_no_list_is_not_taken_for_an_empty_one(self, connect: Any, body: Any, cloud: str) -> None:
        failed, heard = self.listing(Driver("sync"), connect, lambda *_: body, cloud)
        assert type(failed) is AdobeProtocolError
        assert len(heard) == 1

    @pytest.mark.parametrize("cloud", ["azure", "aws"])
    @pytest.mark.parametrize("body", [[], {"children": []}, {"_page": {"count": 0}, "children": []}, {}], ids=repr)
    def test_an_empty_list(self, drive: Driver, connect: Any, body: Any, cloud: str) -> None:
        listed, heard = self.listing(drive, connect, lambda *_: body, cloud)
        assert (listed.jobs, listed.complete, len(heard)) == ((), True, 1)

    def test_a_bare_list_is_read_on_either_cloud(self, drive: Driver, connect: Any) -> None:
        for cloud in ("azure", "aws"):
            listed, heard = self.listing(drive, connect, lambda *_: many(0, 3), cloud)
            assert [job.id for job in listed.jobs] == ["j-0", "j-1", "j-2"]
            assert ("?" in heard[0].path) == (cloud == "azure")

    def test_a_job_listed_twice_counts_once(self, drive: Driver, connect: Any) -> None:
        listed, _ = self.listing(drive, connect, lambda *_: {"children": [*many(0, 2), *many(0, 2)]})
        assert [job.id for job in listed.jobs] == ["j-0", "j-1"]


class TestRemove:
    def test_a_job_that_is_not_there(self, drive: Driver, adobe: Any, connect: Any, cloud: str) -> None:
        assert drive.run(client_for(connect, cloud), profile.remove("j-1")) is False
        assert adobe.journal.select("DELETE") == []

    @pytest.mark.parametrize("cloud", ["aws", "unified"], indirect=True)
    def test_generations_without_the_call_say_so(self, drive: Driver, adobe: Any, connect: Any, cloud: str) -> None:
        client = client_for(connect, cloud)
        job = drive.run(client, profile.create(WHOLE, cloud=cloud))
        with pytest.raises(AdobeAPIError, match="has no call that removes one") as raised:
            drive.run(client, profile.remove(job.id))
        assert raised.value.status == 404
        assert not isinstance(raised.value, AdobeNotFoundError)
        assert len(adobe.journal.select("DELETE")) == 1

    @pytest.mark.parametrize(
        "trouble",
        [{"status": 503, "when": "after"}, {"abort": True, "when": "after"}, {"abort": True}, {"status": 500}],
        ids=str,
    )
    def test_a_removal_whose_answer_was_lost_is_made_sure_of(
        self, drive: Driver, adobe: Any, connect: Any, trouble: dict[str, Any]
    ) -> None:
        client = connect()
        job = drive.run(client, profile.create(WHOLE, cloud="azure"))
        adobe.faults.add(Fault("DELETE", PATH, **trouble))
        assert drive.run(client, profile.remove(job.id)) is True
        assert adobe.jobs()[0]["removed"]
        assert len(adobe.journal.select("DELETE")) == 2

    @pytest.mark.parametrize("status", [200, 202, 204])
    def test_a_removal_that_did_not_happen_is_an_error(
        self, drive: Driver, adobe: Any, connect: Any, status: int
    ) -> None:
        client = connect()
        job = drive.run(client, profile.create(WHOLE, cloud="azure"))
        adobe.faults.add(Fault("DELETE", PATH, status=status))
        with pytest.raises(AdobeProtocolError, match="accepted to remove .* but still has it"):
            drive.run(client, profile.remove(job.id))

    @pytest.mark.parametrize("status", [400, 403, 405, 409])
    def test_a_refusal_is_passed_on(self, drive: Driver, adobe: Any, connect: Any, status: int) -> None:
        client = connect()
        job = drive.run(client, profile.create(WHOLE, cloud="azure"))
        adobe.faults.add(Fault("DELETE", PATH, status=status))
        with pytest.raises(AdobeAPIError, match="remove Profile job") as raised:
            drive.run(client, profile.remove(job.id))
        assert raised.value.status == status
        assert not adobe.jobs()[0]["removed"]


def test_no_answer_breaks_the_reader() -> None:
    """Whatever JSON comes, the reader returns a job or raises a ``ValueError``, which the client turns into ours."""
    leaves: list[Any] = [None, True, 0, -1, 1.5, 10**400, "", "x", "NEW", [], {}, ["x"], {"datasetId": 5}]
    keys = (
        "id requestId jobType requestType dataSetId datasetId batchId properties status createEpoch createdAt metrics"
    )
    for key in keys.split():
        for leaf in leaves:
            for base in ({}, AZURE_JOB, UNIFIED_JOB):
                try:
                    job = profile._read_job(Reply(200, {**base, key: leaf}))
                except ValueError:
                    continue
                assert job.id
                json.dumps(job.summary(), allow_nan=False)
