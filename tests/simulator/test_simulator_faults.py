"""Every kind of fault, seen from the client's end of the wire."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from airflow_provider_adobe_deletion.simulator import AdobeSimulator, Fault

PATH = "/data/core/ups/system/jobs"
BODY = {"dataSetId": "d1"}


def test_status_before_has_no_effect(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.faults.add(Fault("POST", "/system/jobs", status=503, headers={"retry-after": "7"}, body={"message": "no"}))
    answer = client.post(PATH, json=BODY)
    assert (answer.status_code, answer.json()) == (503, {"message": "no"})
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["content-type"] == "application/json"
    assert adobe.jobs() == []
    entry = adobe.journal[-1]
    assert (entry.status, entry.took_effect, entry.faulted, entry.body) == (503, False, True, BODY)
    assert client.post(PATH, json=BODY).status_code == 200


def test_status_after_hides_an_effect(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.faults.add(Fault("POST", PATH, status=504, when="after", body="<html>", content_type="text/html"))
    answer = client.post(PATH, json=BODY)
    assert (answer.status_code, answer.text) == (504, "<html>")
    assert answer.headers["content-type"].startswith("text/html")
    assert len(adobe.jobs()) == 1
    assert adobe.journal[-1].took_effect


def test_empty_body_and_bytes(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.faults.add(Fault(path=PATH, status=502))
    adobe.faults.add(Fault(path=PATH, status=200, body=b"\xff\xfe"))
    assert client.get(PATH).content == b""
    assert client.get(PATH).content == b"\xff\xfe"


@pytest.mark.parametrize(("when", "jobs"), [("before", 0), ("after", 1)])
def test_abort(adobe: AdobeSimulator, client: httpx.Client, when: Any, jobs: int) -> None:
    adobe.faults.add(Fault("POST", PATH, abort=True, when=when))
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        client.post(PATH, json=BODY)
    assert len(adobe.jobs()) == jobs
    assert adobe.journal[-1].status == 0
    assert adobe.journal[-1].took_effect is bool(jobs)
    assert client.get(PATH).status_code == 200


def test_truncate(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.faults.add(Fault("POST", PATH, truncate=True))
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        client.post(PATH, json=BODY)
    assert len(adobe.jobs()) == 1
    assert adobe.journal[-1].status == 200


def test_truncated_headers_arrive(adobe: AdobeSimulator, client: httpx.Client) -> None:
    client.post(PATH, json=BODY)
    adobe.faults.add(Fault("GET", PATH, truncate=True))
    with client.stream("GET", PATH) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()


def test_truncating_an_empty_answer_hangs_up(adobe: AdobeSimulator, client: httpx.Client) -> None:
    job_id = client.post(PATH, json=BODY).json()["id"]
    adobe.faults.add(Fault("DELETE", truncate=True))
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        client.delete(f"{PATH}/{job_id}")
    assert adobe.jobs()[0]["removed"]


def test_delay(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.faults.add(Fault("POST", PATH, delay=0.15))
    began = time.monotonic()
    assert client.post(PATH, json=BODY).status_code == 200
    assert time.monotonic() - began >= 0.15


@pytest.mark.parametrize("when", ["before", "after"])
def test_impatient_client_does_not_undo_the_effect(adobe: AdobeSimulator, client: httpx.Client, when: Any) -> None:
    adobe.faults.add(Fault("POST", PATH, delay=0.2, when=when))
    with pytest.raises(httpx.ReadTimeout):
        client.post(PATH, json=BODY, timeout=0.1)
    assert len(adobe.jobs()) == (1 if when == "after" else 0)
    time.sleep(0.25)
    assert len(adobe.jobs()) == 1


def test_times_and_after(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.faults.add(Fault("GET", "jobs$", status=500, times=2, after=1))
    assert [client.get(PATH).status_code for _ in range(5)] == [200, 500, 500, 200, 200]
    adobe.faults.add(Fault("GET", PATH, status=500, times=None))
    assert [client.get(PATH).status_code for _ in range(3)] == [500, 500, 500]
    adobe.faults.clear()
    assert client.get(PATH).status_code == 200


def test_paths_match_as_text_or_regular_expression(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.faults.add(Fault(path=r"/system/jobs/[0-9a-f]+$", status=500, times=None))
    assert client.get(PATH).status_code == 200
    assert client.get(f"{PATH}/abc").status_code == 500
    assert client.get(f"{PATH}/xyz").status_code == 404


def test_probability_is_seeded(adobe: AdobeSimulator, client: httpx.Client) -> None:
    def run() -> list[int]:
        adobe.reset()
        adobe.settings.seed = 7
        adobe.faults.add(Fault(path=PATH, status=500, times=None, probability=0.5))
        return [client.get(PATH).status_code for _ in range(20)]

    first = run()
    assert set(first) == {200, 500}
    assert run() == first


def test_ims_can_fail_too(adobe: AdobeSimulator, plain: httpx.Client) -> None:
    adobe.faults.add(Fault("POST", "/ims/", status=429))
    assert plain.post("/ims/token/v3").status_code == 429


@pytest.mark.parametrize(
    "wrong",
    [{"when": "sometimes"}, {"status": 500, "abort": True}, {"abort": True, "truncate": True}],
)
def test_senseless_faults_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|exclude"):
        Fault(**wrong)


def test_an_echo_repeats_what_was_sent(adobe: AdobeSimulator, client: httpx.Client) -> None:
    body = {"message": "no: {authorization}", "errors": [{"detail": "{body}"}, 7], "title": "{query}"}
    adobe.faults.add(Fault(path=PATH, status=403, body=body, headers={"location": "/x?{query}"}, echo=True, times=2))
    for token in ("a", "b"):
        answer = client.post(PATH, json=BODY, params={"q": token}, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 403
        told = answer.json()
        assert told["message"] == f"no: Bearer {token}"
        assert json.loads(told["errors"][0]["detail"]) == BODY
        assert told["errors"][1] == 7
        assert told["title"] == f"q={token}"
        assert answer.headers["location"] == f"/x?q={token}"


def test_places_stay_as_they_are_without_echo(adobe: AdobeSimulator, client: httpx.Client) -> None:
    adobe.faults.add(Fault(path=PATH, status=400, body="{body}"))
    assert client.post(PATH, json=BODY).text == "{body}"
