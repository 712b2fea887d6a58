"""Waiting: how often is looked, what ends a wait, and which event is taken for which end. The clock is ours."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_adobe_deletion.adobe import profile
from airflow_provider_adobe_deletion.adobe.calls import Call, Flow, Pause, Poll, Tell
from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeAPIError,
    AdobeAuthError,
    AdobeConfigError,
    AdobeError,
    AdobeInterruptedError,
    AdobeNotFoundError,
    AdobeProtocolError,
    AdobeRateLimitError,
    AdobeServerError,
    AdobeUnreachableError,
)
from airflow_provider_adobe_deletion.adobe.jobs import DeletionJob, JobKind, JobRef, JobState
from airflow_provider_adobe_deletion.adobe.lookup import Lists, alone, lookup
from airflow_provider_adobe_deletion.adobe.profile import ProfileTarget
from airflow_provider_adobe_deletion.adobe.waiting import Outcome, WaitPlan, WaitResult, Watch, look, utc_now, wait
from airflow_provider_adobe_deletion.simulator import Fault

from .driving import Driver

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86400.0
REF = JobRef(JobKind.PROFILE, "j-1")
OTHER = JobRef(JobKind.PROFILE, "j-2")

NEW = DeletionJob(REF, JobState.PENDING, "NEW")
RUNNING = DeletionJob(REF, JobState.RUNNING, "PROCESSING")
DONE = DeletionJob(REF, JobState.SUCCEEDED, "COMPLETED")
BROKEN = DeletionJob(REF, JobState.FAILED, "ERROR")
ODD = DeletionJob(REF, JobState.UNKNOWN, "PAUSED")

MISSING = AdobeNotFoundError("look", status=404)
REFUSED = AdobeAPIError("look", status=403, code="403027", request_id="rq-1", detail="poul@example.com")
OUTAGES: list[AdobeError] = [
    AdobeUnreachableError("no connection"),
    AdobeInterruptedError("reset"),
    AdobeServerError("look", status=503),
    AdobeRateLimitError("look", status=429),
    AdobeAuthError("IMS is down", status=503, transient=True),
]
REFUSALS: list[AdobeError] = [
    REFUSED,
    AdobeAPIError("look", status=400),
    AdobeAuthError("wrong secret", status=401, code="invalid_client"),
    AdobeProtocolError("not a job"),
]


def plan(*refs: JobRef, days: float = 1, poll: float = 60.0, longest: float = 900.0, failures: int = 10) -> WaitPlan:
    return WaitPlan(refs or (REF,), START, START + timedelta(days=days), poll, longest, failures)


class Clock:
    """Time that passes only in pauses and in what a script adds."""

    def __init__(self, age: float = 0.0) -> None:
        self.now = START + timedelta(seconds=age)

    def __call__(self) -> datetime:
        return self.now

    @property
    def age(self) -> float:
        return (self.now - START).total_seconds()


class Life:
    """Answers the calls of a flow by a script, and lets the clock run in its pauses."""

    def __init__(self, answer: Callable[[str, int, float], DeletionJob | AdobeError], clock: Clock) -> None:
        self._answer = answer
        self._clock = clock
        self.looks: list[tuple[float, str]] = []
        self.pauses: list[float] = []

    def run(self, flow: Flow[Any]) -> Any:
        step: Any = None
        outcome: Any = None
        resume: Callable[[Any], Any] = flow.send
        while True:
            try:
                step = resume(outcome)
            except StopIteration as end:
                return end.value
            resume, outcome = flow.send, None
            if isinstance(step, Poll):
                assert 0 <= step.earliest <= step.latest
                outcome = self.run(alone(step, "azure", Lists()))
                continue
            if isinstance(step, Tell):
                step.write()
                continue
            if isinstance(step, Pause):
                assert step.seconds >= 0
                if step.seconds == 0:
                    continue
                self.pauses.append(step.seconds)
                assert len(self.pauses) < 100_000, "the loop does not end"
                self._clock.now += timedelta(seconds=max(step.seconds, 1e-6))
                continue
            assert isinstance(step, Call)
            job_id = step.path.rsplit("/", 1)[-1]
            if job_id in ("jobs", "workorder", "ttl", "job"):
                # These tests are about single looks; a list that Adobe refuses leads to them.
                resume, outcome = flow.throw, AdobeAPIError("list", status=400)
                continue
            self.looks.append((self._clock.age, job_id))
            outcome = self._answer(job_id, len(self.looks), self._clock.age)
            if isinstance(outcome, AdobeError):
                resume = flow.throw


def script(*answers: DeletionJob | AdobeError) -> Callable[[str, int, float], DeletionJob | AdobeError]:
    """Give one answer after the other, and the last one for ever."""
    return lambda job_id, number, age: answers[min(number, len(answers)) - 1]


def live(
    what: WaitPlan, answer: Callable[[str, int, float], DeletionJob | AdobeError], age: float = 0.0
) -> tuple[WaitResult, Life]:
    clock = Clock(age)
    life = Life(answer, clock)
    result = life.run(wait(what, clock))
    assert isinstance(result, WaitResult)
    assert WaitResult.from_event(json.loads(json.dumps(result.to_event(), allow_nan=False))) == result
    return result, life


class TestInterval:
    @pytest.mark.parametrize("age", [-3600, 0, 1, 60, 2399, 2400, 3600, DAY, 29 * DAY])
    def test_bounds(self, age: float) -> None:
        what = plan(days=60, poll=60, longest=7200)
        now = START + timedelta(seconds=age)
        full = min(max(60, age * 0.025), 7200)
        assert what.interval(now) == pytest.approx(full)
        polls = [what.next_poll(what.refs, now) for _ in range(500)]
        assert min(poll.latest for poll in polls) >= 0.9 * full - 1e-9
        assert max(poll.latest for poll in polls) <= full + 1e-9
        assert len({round(poll.latest, 6) for poll in polls}) > 400
        assert polls[0].earliest == pytest.approx(0.75 * full)

    def test_it_never_passes_the_deadline(self) -> None:
        what = plan(days=1)
        for left in (0.0, 0.001, 5.0, 30.0):
            now = what.deadline - timedelta(seconds=left)
            assert what.next_poll(what.refs, now).latest == pytest.approx(left)
            assert what.first_poll(what.refs, now).latest <= left
        assert what.next_poll(what.refs, what.deadline + timedelta(days=400), at_least=60).latest == 0.0

    def test_the_shortest_outranks_the_longest(self) -> None:
        assert plan(poll=600, longest=60).interval(START) >= 480

    def test_a_thirty_day_job_costs_hundreds_of_looks(self) -> None:
        for seed in range(5):
            random.seed(seed)
            result, life = live(
                plan(days=60, longest=7200), lambda job_id, number, age: DONE if age >= 30 * DAY else RUNNING
            )
            assert result.outcome is Outcome.SUCCEEDED
            assert 300 < len(life.looks) <= 800

    def test_nor_many_more_where_others_make_it_look_early(self) -> None:
        what, age, looks = plan(days=60, longest=7200), 0.0, 0
        while age < 30 * DAY:
            age += what.next_poll(what.refs, START + timedelta(seconds=age)).earliest
            looks += 1
        assert 300 < looks <= 800

    @pytest.mark.parametrize("ends_at", [1, 59, 61, 600, 3600, 6 * 3600, DAY, 3 * DAY, 10 * DAY, 30 * DAY])
    def test_the_end_is_noticed_within_three_percent(self, ends_at: float) -> None:
        for seed in range(20):
            random.seed(seed)
            result, life = live(
                plan(days=60, longest=30 * DAY), lambda job_id, number, age: DONE if age >= ends_at else RUNNING
            )
            late = life.looks[-1][0] - ends_at
            assert result.outcome is Outcome.SUCCEEDED
            assert 0 <= late <= max(60, 0.03 * ends_at)

    def test_a_wait_that_is_taken_up_again_goes_on_where_it_was(self) -> None:
        clock = Clock(10 * DAY)
        life = Life(script(RUNNING, DONE), clock)
        assert life.run(Watch(plan(days=60, longest=7200), clock).run()).outcome is Outcome.SUCCEEDED
        assert life.pauses[0] <= 0.2 * 7200
        assert 0.9 * 7200 <= life.pauses[1] <= 7200


class TestStored:
    def test_a_plan_survives_json(self) -> None:
        repair = JobRef(JobKind.DATA_REPAIR, "24", {"report_suite_id": "examplersid"})
        what = plan(REF, OTHER, repair, days=30.5, poll=0.5, longest=7200, failures=3)
        stored = json.loads(json.dumps(what.to_dict(), allow_nan=False))
        assert WaitPlan.from_dict(stored) == what
        assert WaitPlan.from_dict(stored).to_dict() == stored
        assert what.deadline.utcoffset() == WaitPlan.from_dict(stored).deadline.utcoffset()

    def test_a_result_survives_json(self) -> None:
        jobs = (RUNNING.summary(), OTHER.to_dict())
        result = WaitResult(Outcome.REFUSED, jobs, "AdobeAPIError, HTTP 403")
        assert WaitResult.from_event(json.loads(json.dumps(result.to_event()))) == result


GOOD = WaitResult(Outcome.SUCCEEDED, (DONE.summary(),)).to_event()
JOB = DONE.summary()


def without(mapping: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key != name}


class TestEvent:
    @pytest.mark.parametrize(
        "event",
        [
            None,
            {},
            [],
            "",
            "success",
            b"success",
            5,
            True,
            object(),
            ["version", 1],
            {"status": "success"},
            {"outcome": "succeeded"},
            without(GOOD, "version"),
            without(GOOD, "outcome"),
            without(GOOD, "jobs"),
            without(GOOD, "reason"),
            GOOD | {"version": 0},
            GOOD | {"version": 2},
            GOOD | {"version": "1"},
            GOOD | {"version": None},
            GOOD | {"outcome": "success"},
            GOOD | {"outcome": "SUCCEEDED"},
            GOOD | {"outcome": None},
            GOOD | {"outcome": ["succeeded"]},
            GOOD | {"jobs": []},
            GOOD | {"jobs": None},
            GOOD | {"jobs": "j-1"},
            GOOD | {"jobs": 5},
            GOOD | {"jobs": JOB},
            GOOD | {"jobs": [None]},
            GOOD | {"jobs": ["j-1"]},
            GOOD | {"jobs": [[]]},
            GOOD | {"jobs": [{}]},
            GOOD | {"jobs": [without(JOB, "id")]},
            GOOD | {"jobs": [without(JOB, "kind")]},
            GOOD | {"jobs": [JOB | {"id": None}]},
            GOOD | {"jobs": [JOB | {"id": ""}]},
            GOOD | {"jobs": [JOB | {"id": 5}]},
            GOOD | {"jobs": [JOB | {"id": ["j-1"]}]},
            GOOD | {"jobs": [JOB | {"kind": "other"}]},
            GOOD | {"jobs": [JOB | {"kind": None}]},
            GOOD | {"jobs": [JOB | {"scope": "x"}]},
            GOOD | {"jobs": [JOB | {"scope": None}]},
            GOOD | {"jobs": [JOB, {}]},
        ],
        ids=range(44),
    )
    def test_what_is_not_understood_is_refused(self, event: Any) -> None:
        with pytest.raises(ValueError, match="not one that this version of the provider understands"):
            WaitResult.from_event(event)

    @pytest.mark.parametrize("state", ["failed", "running", "pending", "unknown", "gone", None, "SUCCEEDED", True, ""])
    def test_success_must_be_that_of_every_job(self, state: Any) -> None:
        bad = JOB | {"state": state}
        for jobs in ([bad], [JOB, bad], [bad, JOB]):
            with pytest.raises(ValueError, match="claims success, but not for every job"):
                WaitResult.from_event(GOOD | {"jobs": jobs})
        with pytest.raises(ValueError, match="claims success"):
            WaitResult.from_event(GOOD | {"jobs": [without(JOB, "state")]})

    @pytest.mark.parametrize("outcome", list(Outcome))
    def test_what_is_written_can_be_read(self, outcome: Outcome) -> None:
        result = WaitResult(outcome, (JOB,), "why")
        assert WaitResult.from_event(result.to_event()) == result

    def test_unknown_fields_are_ignored(self) -> None:
        assert WaitResult.from_event(GOOD | {"extra": 1}).outcome is Outcome.SUCCEEDED


class TestEnds:
    @pytest.mark.parametrize(
        ("job", "outcome"), [(DONE, Outcome.SUCCEEDED), (BROKEN, Outcome.FAILED)], ids=["done", "broken"]
    )
    def test_a_job_that_has_ended_is_looked_at_once(self, job: DeletionJob, outcome: Outcome) -> None:
        result, life = live(plan(), script(job))
        assert (result.outcome, len(life.looks), life.pauses) == (outcome, 1, [])
        assert result.jobs == (job.summary(),)

    def test_success_takes_every_job(self) -> None:
        def answer(job_id: str, number: int, age: float) -> DeletionJob:
            ref = JobRef(JobKind.PROFILE, job_id)
            if job_id == "j-1":
                return DeletionJob(ref, JobState.SUCCEEDED, "COMPLETED")
            return DeletionJob(ref, JobState.FAILED, "ERROR") if age > 300 else DeletionJob(ref, JobState.RUNNING, "x")

        result, life = live(plan(REF, OTHER), answer)
        assert result.outcome is Outcome.FAILED
        assert [job["state"] for job in result.jobs] == ["succeeded", "failed"]
        assert [job_id for _, job_id in life.looks].count("j-1") == 1

    def test_jobs_of_one_id_in_two_places_are_two_jobs(self) -> None:
        one, two = (JobRef(JobKind.DATA_REPAIR, "24", {"report_suite_id": name}) for name in ("a", "b"))
        answers = [DeletionJob(one, JobState.SUCCEEDED, "complete"), DeletionJob(two, JobState.FAILED, "failed")]
        result, life = live(plan(one, two), lambda job_id, number, age: answers[number - 1])
        assert result.outcome is Outcome.FAILED
        assert len(life.looks) == 2

    def test_the_deadline_is_absolute_and_kept(self) -> None:
        result, life = live(plan(days=1), script(RUNNING))
        assert result.outcome is Outcome.TIMED_OUT
        assert result.jobs[0]["state"] == "running"
        assert DAY <= life.looks[-1][0] < DAY + 1
        assert result.reason == ""

    def test_a_job_that_ended_at_the_deadline_has_ended(self) -> None:
        result, _ = live(plan(days=1), lambda job_id, number, age: DONE if age >= DAY else RUNNING)
        assert result.outcome is Outcome.SUCCEEDED

    def test_after_the_deadline_is_looked_once(self) -> None:
        result, life = live(plan(days=1), script(RUNNING), age=5 * DAY)
        assert (result.outcome, len(life.looks)) == (Outcome.TIMED_OUT, 1)
        result, life = live(plan(days=1), script(DONE), age=5 * DAY)
        assert (result.outcome, len(life.looks)) == (Outcome.SUCCEEDED, 1)

    def test_one_look(self) -> None:
        clock = Clock()
        assert Life(script(RUNNING), clock).run(look(plan(), clock)) is None
        assert Life(script(DONE), clock).run(look(plan(), clock)).outcome is Outcome.SUCCEEDED

    def test_an_unknown_status_is_warned_of_once_and_ends_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        result, life = live(plan(days=1), script(NEW, ODD, ODD, ODD, ODD, RUNNING, DONE))
        assert (result.outcome, len(life.looks)) == (Outcome.SUCCEEDED, 7)
        assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
            "Profile job j-1 has a status that Adobe does not document (PAUSED); waiting on."
        ]
        result, _ = live(plan(days=1), script(ODD))
        assert (result.outcome, result.jobs[0]["status"]) == (Outcome.TIMED_OUT, "PAUSED")

    def test_the_same_status_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        live(plan(days=1), script(NEW, NEW, NEW, RUNNING, RUNNING, DONE))
        assert [record.message for record in caplog.records] == [
            f"Profile job j-1 is {status}." for status in ("NEW", "PROCESSING", "COMPLETED")
        ]


class TestTrouble:
    @pytest.mark.parametrize("error", REFUSALS, ids=repr)
    def test_refusals_in_a_row_end_the_wait(self, error: AdobeError) -> None:
        result, life = live(plan(failures=4), script(NEW, error))
        assert (result.outcome, len(life.looks)) == (Outcome.REFUSED, 1 + 4)
        assert result.reason.startswith(type(error).__name__)
        assert result.jobs[0]["state"] == "pending"

    def test_a_connection_that_lacks_a_field_is_not_waited_for(self) -> None:
        with pytest.raises(AdobeConfigError, match="no sandbox"):
            live(plan(failures=4), script(NEW, AdobeConfigError("no sandbox")))

    def test_the_reason_holds_no_words_of_adobe(self) -> None:
        result, _ = live(plan(failures=1), script(REFUSED))
        assert result.reason == "AdobeAPIError, HTTP 403, code 403027, request id rq-1"
        assert result.jobs == (REF.to_dict(),)

    def test_refusals_that_are_not_in_a_row_do_not(self) -> None:
        result, life = live(plan(failures=3), script(*[REFUSED, REFUSED, RUNNING] * 5, DONE))
        assert (result.outcome, len(life.looks)) == (Outcome.SUCCEEDED, 16)

    @pytest.mark.parametrize("error", OUTAGES, ids=repr)
    def test_outages_last_until_the_deadline(self, error: AdobeError) -> None:
        result, life = live(plan(days=1, failures=3), script(NEW, error))
        assert result.outcome is Outcome.TIMED_OUT
        assert len(life.looks) > 50
        assert life.looks[-1][0] >= DAY
        result, life = live(plan(days=1, failures=3), script(*[error] * 40, DONE))
        assert (result.outcome, len(life.looks)) == (Outcome.SUCCEEDED, 41)

    def test_an_outage_neither_counts_nor_forgives(self) -> None:
        answers: list[AdobeError] = [REFUSED, *OUTAGES, REFUSED, *OUTAGES, REFUSED]
        result, life = live(plan(failures=3), script(*answers))
        assert (result.outcome, len(life.looks)) == (Outcome.REFUSED, len(answers))

    def test_refusals_are_counted_for_each_job(self) -> None:
        refs = tuple(JobRef(JobKind.PROFILE, f"j-{number}") for number in range(50))

        def answer(job_id: str, number: int, age: float) -> DeletionJob | AdobeError:
            if number <= 50:
                return REFUSED
            return DeletionJob(JobRef(JobKind.PROFILE, job_id), JobState.SUCCEEDED, "COMPLETED")

        result, life = live(plan(*refs, failures=3), answer)
        assert (result.outcome, len(life.looks)) == (Outcome.SUCCEEDED, 100)

    def test_a_job_that_can_be_seen_does_not_hide_one_that_cannot(self) -> None:
        def answer(job_id: str, number: int, age: float) -> DeletionJob | AdobeError:
            return REFUSED if job_id == "j-1" else DeletionJob(OTHER, JobState.RUNNING, "PROCESSING")

        for refs in ((REF, OTHER), (OTHER, REF)):
            result, life = live(plan(*refs, failures=3), answer)
            assert (result.outcome, len(life.looks)) == (Outcome.REFUSED, 6)

    def test_a_young_job_may_be_invisible(self) -> None:
        result, life = live(plan(failures=1, poll=10), lambda job_id, number, age: MISSING if age < 119 else DONE)
        assert result.outcome is Outcome.SUCCEEDED
        assert len(life.looks) > 10

    def test_a_job_that_was_never_visible_is_gone_after_two_minutes(self) -> None:
        result, life = live(plan(failures=5, poll=10), script(MISSING))
        assert (result.outcome, result.jobs[0]["state"]) == (Outcome.FAILED, "gone")
        assert 120 <= life.looks[-1][0] < 150

    def test_an_old_job_is_gone_after_two_misses(self) -> None:
        result, life = live(plan(failures=1), script(RUNNING, MISSING), age=3600)
        assert (result.outcome, result.jobs[0]["state"], len(life.looks)) == (Outcome.FAILED, "gone", 3)

    def test_one_miss_is_no_loss(self) -> None:
        result, life = live(plan(failures=1), script(RUNNING, MISSING, RUNNING, MISSING, RUNNING, DONE), age=3600)
        assert (result.outcome, len(life.looks)) == (Outcome.SUCCEEDED, 6)

    def test_a_job_gone_among_others_ends_as_failed_when_they_end(self) -> None:
        def answer(job_id: str, number: int, age: float) -> DeletionJob | AdobeError:
            if job_id == "j-1":
                return MISSING
            return DeletionJob(OTHER, JobState.SUCCEEDED if age > 7200 else JobState.RUNNING, "x")

        result, _ = live(plan(REF, OTHER), answer, age=3600)
        assert result.outcome is Outcome.FAILED
        assert [job["state"] for job in result.jobs] == ["gone", "succeeded"]

    @pytest.mark.parametrize(
        "error",
        [
            AdobeRateLimitError("look", status=429, retry_after=2400.0),
            AdobeServerError("look", status=503, retry_after=2400.0),
            AdobeAuthError("throttled", status=429, transient=True, retry_after=2400.0),
        ],
        ids=["429", "503", "IMS"],
    )
    def test_the_wait_that_adobe_asks_for_is_kept(self, error: AdobeError) -> None:
        _, life = live(plan(), script(error, RUNNING, DONE))
        assert life.pauses[0] == 2400
        assert life.pauses[1] < 900

    @pytest.mark.parametrize("asked", [2 * DAY, 1e12, float("inf")])
    def test_but_never_past_the_deadline(self, asked: float) -> None:
        result, life = live(plan(days=1), script(AdobeRateLimitError("look", status=429, retry_after=asked)))
        assert result.outcome is Outcome.TIMED_OUT
        assert sum(life.pauses) == pytest.approx(DAY)

    def test_no_trouble_makes_a_hot_loop(self) -> None:
        for error in (*OUTAGES, *REFUSALS, MISSING):
            _, life = live(plan(days=1, failures=100), script(error))
            assert len(life.looks) < 600
            assert all(pause >= 48 or life.looks[-1][0] > DAY - 1000 for pause in life.pauses[:-5])


class TestOverHttp:
    @pytest.mark.parametrize("shape", ["azure", "unified"])
    def test_a_job_is_followed_to_its_end_through_every_trouble(
        self, drive: Driver, adobe: Any, connect: Any, shape: str
    ) -> None:
        adobe.settings.profile_shape = shape
        adobe.settings.profile_seconds = (0.15, 0.3)
        client = connect()
        job = drive.run(client, profile.create(ProfileTarget(dataset_id="5c80"), cloud="azure"))
        for trouble in ({"status": 403}, {"status": 503}, {"abort": True}, {"body": "<html>", "status": 200}):
            adobe.faults.add(Fault("GET", job.id, **trouble))
        adobe.revoke_tokens()
        now = utc_now()
        what = WaitPlan((job.ref,), now, now + timedelta(seconds=10), 0.05, 0.05, 3)
        result = drive.run(client, wait(what))
        assert result.outcome is Outcome.SUCCEEDED
        assert result.jobs[0]["id"] == job.id
        assert result.jobs[0]["target"] == {"dataset_id": "5c80"}

    def test_a_removed_job_is_noticed(self, drive: Driver, adobe: Any, connect: Any) -> None:
        client = connect()
        job = drive.run(client, profile.create(ProfileTarget(dataset_id="5c80"), cloud="azure"))
        drive.run(client, profile.remove(job.id))
        now = utc_now()
        what = WaitPlan((job.ref,), now - timedelta(minutes=5), now + timedelta(seconds=10), 0.01, 0.01)
        result = drive.run(client, wait(what))
        assert (result.outcome, result.jobs[0]["state"]) == (Outcome.FAILED, "gone")

    def test_an_answer_about_another_job_is_none(self, drive: Driver, adobe: Any, connect: Any) -> None:
        body = {"id": "j-2", "dataSetId": "5c80", "status": "COMPLETED"}
        adobe.faults.add(Fault("GET", "/system/jobs/", times=None, status=200, body=body))
        with pytest.raises(AdobeProtocolError, match="another job"):
            drive.send(connect(), lookup(REF))
        now = utc_now()
        result = drive.run(connect(), wait(WaitPlan((REF,), now, now + timedelta(seconds=10), 0.01, 0.01, 3)))
        assert result == WaitResult(Outcome.REFUSED, (REF.to_dict(),), "AdobeProtocolError")

    def test_the_spelling_of_an_id_does_not_matter(self, adobe: Any, connect: Any) -> None:
        body = {"id": "j-1", "dataSetId": "5c80", "status": "COMPLETED"}
        adobe.faults.add(Fault("GET", "/system/jobs/", status=200, body=body))
        what = WaitPlan((JobRef(JobKind.PROFILE, "J-1"),), START, utc_now(), 0.01, 0.01)
        assert connect().run(wait(what)).outcome is Outcome.SUCCEEDED

    def test_the_deadline(self, drive: Driver, adobe: Any, connect: Any) -> None:
        client = connect()
        job = drive.run(client, profile.create(ProfileTarget(dataset_id="5c80"), cloud="azure"))
        now = utc_now()
        result = drive.run(client, wait(WaitPlan((job.ref,), now, now + timedelta(seconds=0.3), 0.1, 0.1)))
        assert result.outcome is Outcome.TIMED_OUT
        assert utc_now() - now < timedelta(seconds=1)
