"""Many waits on one event loop: what they ask Adobe for together, and what never. Against the simulated Adobe."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_adobe_deletion.adobe import client as client_module
from airflow_provider_adobe_deletion.adobe import data_repair, dataset_expiration, hygiene, profile
from airflow_provider_adobe_deletion.adobe.calls import Poll
from airflow_provider_adobe_deletion.adobe.client import AdobeClient, RetryPolicy
from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeAPIError,
    AdobeConfigError,
    AdobeNotFoundError,
    AdobeRateLimitError,
    AdobeServerError,
)
from airflow_provider_adobe_deletion.adobe.identities import IdentityMapping
from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobKind, JobRef, JobState
from airflow_provider_adobe_deletion.adobe.pacing import Brake
from airflow_provider_adobe_deletion.adobe.waiting import Outcome, WaitPlan, Watch
from airflow_provider_adobe_deletion.simulator import Fault

SINCE = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def jobs(adobe: Any, connect: Callable[..., AdobeClient]) -> Callable[[int], list[JobRef]]:
    """Return a function that creates Profile jobs, which run for ever."""
    adobe.settings.profile_seconds = (0.0, 1e9)
    adobe.settings.profile_duplicate_422 = "never"

    def make(count: int) -> list[JobRef]:
        with connect() as client:
            return [
                client.send(profile.create_job(profile.ProfileTarget(batch_id=f"{n:032x}"))).ref for n in range(count)
            ]

    return make


def asked(adobe: Any) -> list[str]:
    """Return what was asked for: ``list``, or a job's id."""
    names = ("jobs", "job", "workorder", "ttl")
    paths = [entry.path.rsplit("/", 1)[-1] for entry in adobe.journal.select("GET") if "/discovery" not in entry.path]
    return ["list" if name in names or name.startswith("K1JJRD") else name for name in paths]


async def poll(client: AdobeClient, ref: JobRef, latest: float = 0.05, earliest: float = 0.0) -> Any:
    def flow() -> Any:
        return (yield Poll((ref,), SINCE, earliest, latest))

    return (await client.arun(flow()))[ref]


async def poll_all(client: AdobeClient, refs: list[JobRef], latest: float = 0.05) -> list[Any]:
    async with client:
        return await asyncio.gather(*(poll(client, ref, latest) for ref in refs))


class TestTogether:
    @pytest.mark.parametrize("shape", ["azure", "unified"])
    def test_250_waits_cost_a_page_for_each_hundred(self, adobe: Any, connect: Any, jobs: Any, shape: str) -> None:
        adobe.settings.profile_shape = shape
        refs = jobs(250)
        answers = asyncio.run(poll_all(connect(), refs))
        assert [(job.ref, job.state) for job in answers] == [(ref, JobState.RUNNING) for ref in refs]
        assert set(asked(adobe)) == {"list"}
        assert len(asked(adobe)) <= 4

    def test_on_aws_one_request_answers_a_hundred_and_the_others_are_asked_when_they_are_due(
        self, adobe: Any, connect: Any, jobs: Any
    ) -> None:
        adobe.settings.profile_shape = "aws"
        refs = jobs(0)
        sandbox = adobe.settings.sandboxes[1]
        place = {"cloud": "aws", "sandbox_id": sandbox.id}
        with connect(**place) as client:
            refs = [
                client.send(profile.create_job(profile.ProfileTarget(batch_id=f"{n:032x}"))).ref for n in range(130)
            ]

        async def wait() -> list[Any]:
            async with connect(**place) as client:
                due = [poll(client, ref, 0.05) for ref in refs[-5:] + refs[:10]]
                later = [asyncio.ensure_future(poll(client, ref, 30.0)) for ref in refs[10:-5]]
                answers = await asyncio.gather(*due)
                answered = [task for task in later if task.done()]
                for task in later:
                    task.cancel()
                return [*answers, len(answered)]

        *answers, early = asyncio.run(wait())
        assert all(job.state is JobState.RUNNING for job in answers)
        assert early == 95, "whoever the list shows is answered early"
        assert sorted(asked(adobe)) == sorted(["list", *(ref.id for ref in refs[:10])])

    def test_an_end_is_never_taken_from_a_list(self, adobe: Any, connect: Any, jobs: Any) -> None:
        refs = jobs(5)
        children = [{"id": ref.id, "status": "COMPLETED", "batchId": "b"} for ref in refs]
        body = {"_page": {"count": 5}, "children": children}
        adobe.faults.add(Fault("GET", "/system/jobs", status=200, body=body))
        answers = asyncio.run(poll_all(connect(), refs))
        assert [job.state for job in answers] == [JobState.RUNNING] * 5
        assert asked(adobe)[0] == "list"
        assert sorted(asked(adobe)[1:]) == sorted(ref.id for ref in refs)

    def test_ended_jobs_are_each_looked_up(self, adobe: Any, connect: Any, jobs: Any) -> None:
        refs = jobs(6)
        adobe.settings.fail_targets = {f"{2:032x}"}
        adobe.settings.profile_seconds = (0.0, 0.0)
        answers = asyncio.run(poll_all(connect(), refs))
        assert [job.state for job in answers] == [JobState.FAILED if n == 2 else JobState.SUCCEEDED for n in range(6)]
        assert sorted(asked(adobe)[1:]) == sorted(ref.id for ref in refs)

    def test_a_job_that_no_list_shows_is_looked_up_before_it_is_missing(
        self, adobe: Any, connect: Any, jobs: Any
    ) -> None:
        refs = jobs(5)
        unknown = JobRef(JobKind.PROFILE, "3f225e7e-0000-4904-b1d5-0ce79e03c2ec")
        *answers, missing = asyncio.run(poll_all(connect(), [*refs, unknown]))
        assert all(isinstance(job, DeletionJob) for job in answers)
        assert isinstance(missing, AdobeNotFoundError)
        assert asked(adobe) == ["list", unknown.id]

    def test_work_orders(self, adobe: Any, connect: Any) -> None:
        adobe.settings.small_order_limit = None
        adobe.settings.workorder_seconds = (0.0, 1e9, 1e9, 1e9)
        request = hygiene.WorkOrderRequest("66a92c5910df2d1767de13f3", "n")
        source = IdentityMapping({"Email": ["a@example.com"]})
        with connect() as client:
            (chunk,) = source.chunks(source.scan())
            refs = [client.send(hygiene.create_work_order(request, chunk)).ref for _ in range(30)]
        answers = asyncio.run(poll_all(connect(), refs))
        assert [job.ref for job in answers] == refs
        assert asked(adobe) == ["list"]

    def test_expirations_are_found_by_their_dataset_too(self, adobe: Any, connect: Any) -> None:
        expiry = datetime.now(UTC) + timedelta(days=3)
        with connect() as client:
            made = [
                client.run(dataset_expiration.create_or_move(f"66a92c5910df2d1767de{n:04}", expiry, "n"))
                for n in range(6)
            ]
        refs = [made[0].ref, *(JobRef(JobKind.DATASET_EXPIRATION, job.target["dataset_id"]) for job in made[1:])]
        adobe.journal.clear()
        answers = asyncio.run(poll_all(connect(), refs))
        assert [job.ref for job in answers] == [job.ref for job in made]
        assert asked(adobe) == ["list"]

    def test_repairs_of_a_suite(self, adobe: Any, connect: Any) -> None:
        with connect() as client:
            suites = ["one", "two"]
            made = {}
            for suite in suites:
                token = client.send(data_repair.estimate(suite, "2026-01-01", "2026-01-02")).validation_token
                definition = {"variables": {"ipaddress": {"action": "delete"}}}
                call = data_repair.create_job(suite, "2026-01-01", "2026-01-02", definition, token)
                made[suite] = client.send(call).ref
        adobe.journal.clear()
        answers = asyncio.run(poll_all(connect(), [made["one"], made["two"], made["one"]]))
        assert [job.target["report_suite_id"] for job in answers] == ["one", "two", "one"]
        assert len(asked(adobe)) == 2


class TestApart:
    def test_a_list_that_shows_nothing_useful_is_left_alone(self, adobe: Any, connect: Any, jobs: Any) -> None:
        refs = jobs(12)
        adobe.faults.add(Fault("GET", "/system/jobs", status=200, body={"_page": {"count": 0}, "children": []}))

        async def twice() -> None:
            async with connect() as client:
                for _ in range(2):
                    answers = await asyncio.gather(*(poll(client, ref) for ref in refs))
                    assert all(isinstance(job, DeletionJob) for job in answers)

        asyncio.run(twice())
        assert asked(adobe).count("list") == 1
        assert len(asked(adobe)) == 25

    def test_unless_it_would_answer_many_more(self, adobe: Any, connect: Any, jobs: Any) -> None:
        refs = jobs(300)

        async def taken_up() -> None:
            async with connect() as client:
                # The newest jobs come first, and these are the oldest.
                await asyncio.gather(*(poll(client, ref) for ref in refs[:3]))
                adobe.journal.clear()
                await asyncio.gather(*(poll(client, ref) for ref in refs))

        asyncio.run(taken_up())
        assert asked(adobe) == ["list"] * len(asked(adobe))

    @pytest.mark.parametrize("status", [400, 403, 404, 405])
    def test_a_refused_list_leads_to_single_looks(self, adobe: Any, connect: Any, jobs: Any, status: int) -> None:
        refs = jobs(3)
        adobe.faults.add(Fault("GET", "/system/jobs", status=status, body={"title": "no"}))
        answers = asyncio.run(poll_all(connect(), refs))
        assert [job.ref for job in answers] == refs

    def test_an_outage_is_not_met_once_for_each_job(self, adobe: Any, connect: Any, jobs: Any) -> None:
        refs = jobs(60)
        adobe.faults.add(Fault("GET", "/system/jobs", times=None, status=503))
        policy = RetryPolicy(attempts=2, backoff=0.01, max_backoff=0.01)
        answers = asyncio.run(poll_all(connect(policy=policy), refs))
        assert all(isinstance(answer, AdobeServerError) for answer in answers)
        assert len(asked(adobe)) == 2

    def test_nor_where_each_job_is_asked_for(self, adobe: Any, connect: Any, jobs: Any) -> None:
        refs = jobs(60)
        adobe.faults.add(Fault("GET", "/system/jobs", status=400))
        adobe.faults.add(Fault("GET", "/system/jobs/", times=None, status=503))
        policy = RetryPolicy(attempts=1)
        answers = asyncio.run(poll_all(connect(policy=policy), refs))
        assert all(isinstance(answer, AdobeAPIError) for answer in answers)
        assert len(asked(adobe)) <= 1 + 13

    def test_sandboxes_are_not_mixed(self, adobe: Any, connect: Any, jobs: Any) -> None:
        refs = jobs(4)

        async def from_both() -> tuple[Any, Any]:
            async with connect() as dev, connect(sandbox_name="prod") as prod:
                ours = asyncio.gather(*(poll(dev, ref) for ref in refs))
                theirs = asyncio.gather(*(poll(prod, ref) for ref in refs))
                return await ours, await theirs

        ours, theirs = asyncio.run(from_both())
        assert all(isinstance(job, DeletionJob) for job in ours)
        assert all(isinstance(job, AdobeNotFoundError) for job in theirs)
        assert {entry.sandbox for entry in adobe.journal.select("GET", "/system/jobs")} == {"dev", "prod"}

    def test_a_connection_that_lacks_a_field_fails_all_who_need_it(self, adobe: Any, connect: Any) -> None:
        refs = [JobRef(JobKind.PROFILE, f"j-{n}") for n in range(3)]

        async def wait() -> list[Any]:
            async with connect(sandbox_name=None) as client:
                return await asyncio.gather(*(poll(client, ref) for ref in refs), return_exceptions=True)

        errors = asyncio.run(wait())
        assert [type(error) for error in errors] == [AdobeConfigError] * 3
        assert len({id(error) for error in errors}) == 3

    def test_a_cancelled_wait_takes_nothing_from_the_others(self, adobe: Any, connect: Any, jobs: Any) -> None:
        refs = jobs(3)

        async def wait() -> Any:
            async with connect() as client:
                tasks = [asyncio.ensure_future(poll(client, ref, 0.2)) for ref in refs]
                await asyncio.sleep(0.05)
                tasks[0].cancel()
                return await asyncio.gather(*tasks[1:])

        assert [job.ref for job in asyncio.run(wait())] == refs[1:]

    def test_nothing_goes_on_after_the_end(self, adobe: Any, connect: Any, jobs: Any) -> None:
        refs = jobs(3)

        async def leave() -> None:
            client = connect()
            tasks = [asyncio.ensure_future(poll(client, ref, 0.1)) for ref in refs]
            await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            await client.aclose()
            adobe.journal.clear()
            await asyncio.sleep(0.3)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(leave())
        assert asked(adobe) == []


class TestSchedule:
    def plan(self, ref: JobRef, age: float) -> WaitPlan:
        begin = datetime.now(UTC) - timedelta(seconds=age)
        return WaitPlan((ref,), begin, begin + timedelta(days=60), 60.0, 7200.0)

    def test_10000_waits_that_are_taken_up_do_not_ask_at_once(self) -> None:
        firsts = sorted(
            next(Watch(self.plan(JobRef(JobKind.PROFILE, f"j-{n}"), 10 * 86400)).run()).latest for n in range(10_000)
        )
        in_any_second = max(
            sum(1 for moment in firsts[index : index + 100] if moment < firsts[index] + 1.0)
            for index in range(0, 10_000, 25)
        )
        assert firsts[-1] <= 0.2 * 7200
        assert in_any_second < 40

    def test_whoever_is_due_waits_for_no_slow_round(self, adobe: Any, connect: Any, jobs: Any) -> None:
        slow, quick = jobs(2)
        adobe.faults.add(Fault("GET", slow.id, delay=1.5))

        async def wait() -> float:
            async with connect() as client:
                first = asyncio.ensure_future(poll(client, slow, 0.0))
                await asyncio.sleep(0.1)
                started = time.monotonic()
                await poll(client, quick, 0.0)
                passed = time.monotonic() - started
                await first
                return passed

        assert asyncio.run(wait()) < 1.0

    def test_waits_of_all_ages_end_when_their_jobs_do(self, adobe: Any, connect: Any, jobs: Any) -> None:
        refs = jobs(40)

        async def wait() -> list[Any]:
            async with connect() as client:
                plans = [replace(self.plan(ref, n), poll_interval=0.2) for n, ref in enumerate(refs)]
                waits = [asyncio.ensure_future(client.arun(Watch(plan).run())) for plan in plans]
                await asyncio.sleep(0.5)
                adobe.settings.profile_seconds = (0.0, 0.0)
                return await asyncio.wait_for(asyncio.gather(*waits), 15)

        assert {result.outcome for result in asyncio.run(wait())} == {Outcome.SUCCEEDED}


class TestBackpressure:
    def test_a_429_holds_back_every_wait_of_the_credential(self, adobe: Any, connect: Any, jobs: Any) -> None:
        (one, other) = jobs(2)
        fault = Fault("GET", one.id, status=429, headers={"retry-after": "1"})

        async def wait() -> None:
            async with connect() as client, connect(sandbox_name="prod") as elsewhere:
                await poll(client, other, 0.0)
                adobe.faults.add(fault)
                adobe.journal.clear()
                met = asyncio.ensure_future(poll(client, one, 0.0))
                await asyncio.sleep(0.2)
                await asyncio.gather(met, poll(client, other, 0.0), poll(elsewhere, other, 0.0))

        asyncio.run(wait())
        refused, *others = adobe.journal.select("GET", "/system/jobs")
        assert refused.status == 429
        assert len(others) == 3
        assert all(entry.time - refused.time >= 0.9 for entry in others)

    def test_another_credential_is_not_held_back(self, adobe: Any, connect: Any) -> None:
        analytics = "http://127.0.0.1:9"
        ours, theirs = connect(analytics_url=analytics), connect(scopes="openid")
        client_module._brake(ours.config, profile.get_job("j").service).press(60.0)
        assert client_module._brake(theirs.config, profile.get_job("j").service).held == 0.0
        assert client_module._brake(ours.config, data_repair.discover().service).held == 0.0

    def test_a_wait_too_long_to_sit_out_is_told_without_a_request(self, adobe: Any, connect: Any, jobs: Any) -> None:
        (ref,) = jobs(1)
        client = connect()
        adobe.faults.add(Fault("GET", ref.id, status=429, headers={"retry-after": "2400"}))
        for _ in range(2):
            with pytest.raises(AdobeRateLimitError) as caught:
                client.send(profile.get_job(ref.id))
            assert caught.value.retry_after == pytest.approx(2400, abs=5)
        assert len(asked(adobe)) == 1

    def test_those_held_back_start_one_by_one_and_ever_faster(self) -> None:
        brake = Brake()
        assert [brake.reserve() for _ in range(3)] == [0.0, 0.0, 0.0]
        brake.press(6.0)
        starts = [brake.reserve() for _ in range(200)]
        gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
        assert starts[0] == pytest.approx(6.0, abs=0.05)
        assert gaps[0] == pytest.approx(0.3, abs=0.02)
        assert all(later <= earlier + 0.01 for earlier, later in itertools.pairwise(gaps))
        assert starts[-1] < 10.0
        brake.press(60.0)
        assert brake.reserve() == pytest.approx(60.0, abs=0.05)
