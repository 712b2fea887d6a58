"""From a CSV of a million identities to accepted work orders: this provider beside a bare loop.

``uv run python -m tests.benchmarks.submit`` measures both in turns, each time in a process of its own, against the
simulator in another one, and prints a table. The bare loop reads the CSV, dumps JSON, and posts it; it checks
nothing, finds no duplicates, and recovers from nothing. The exit code is 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx

MOST_TIMES_THE_BARE_LOOP = 1.5
MOST_MEGABYTES = 150.0
NAMESPACES = ("Email", "ECID", "Phone")
DATASETS = ("5c802d3cd83fc114b741c4b5", "66a92c5910df2d1767de13f3")
ORDER = 100_000


def write_identities(path: Path, count: int) -> None:
    """Write a CSV of different identities, in three namespaces by turns."""
    source = random.Random(1)
    with path.open("w") as file:
        file.write("namespace,id\n")
        for number in range(count):
            code = NAMESPACES[number % len(NAMESPACES)]
            file.write(f"{code},{source.getrandbits(64):016x}.{number}@example.com\n")


def bare(path: Path, connection: dict[str, Any]) -> int:
    """Read, dump, post."""
    import csv

    extra, orders = connection["extra"], 0
    grant = {
        "grant_type": "client_credentials",
        "client_id": connection["login"],
        "client_secret": connection["password"],
        "scope": extra["scopes"],
    }
    with httpx.Client(timeout=70) as client, path.open(newline="") as file:
        token = client.post(f"{extra['ims_url']}/ims/token/v3", data=grant).raise_for_status().json()["access_token"]
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "x-api-key": connection["login"],
            "x-gw-ims-org-id": extra["org_id"],
            "x-sandbox-name": extra["sandbox_name"],
        }
        rows = csv.reader(file)
        next(rows)
        identities: list[dict[str, Any]] = []

        def post() -> None:
            body = {
                "action": "delete_identity",
                "datasetId": ",".join(DATASETS),
                "displayName": f"bare {orders}",
                "identities": identities,
            }
            client.post(
                f"{extra['platform_url']}/data/core/hygiene/workorder", content=json.dumps(body), headers=headers
            ).raise_for_status()

        for code, value in rows:
            identities.append({"namespace": {"code": code}, "id": value})
            if len(identities) == ORDER:
                post()
                identities.clear()
                orders += 1
        if identities:
            post()
            orders += 1
    return orders


def ours(path: Path, connection: dict[str, Any]) -> int:
    """Scan, check, cut, render, post."""
    from airflow_provider_adobe_deletion.adobe import hygiene
    from airflow_provider_adobe_deletion.adobe.client import AdobeClient
    from airflow_provider_adobe_deletion.adobe.config import AdobeConfig
    from airflow_provider_adobe_deletion.adobe.identities import IdentityFile

    config = AdobeConfig.from_connection(connection["login"], connection["password"], connection["extra"])
    source = IdentityFile(lambda: path.open("rb"), path.name)
    orders = 0
    with AdobeClient(config) as client:
        plan = source.scan()
        for chunk in source.chunks(plan):
            client.send(hygiene.create_work_order(hygiene.WorkOrderRequest(DATASETS, f"ours {chunk.number}"), chunk))
            orders += 1
    return orders


def measure(name: str, path: Path, connection: dict[str, Any]) -> dict[str, float]:
    """Measure one of the two in this process."""
    # What is imported belongs to the process, not to the work.
    from airflow_provider_adobe_deletion.adobe import client, hygiene, identities  # noqa: F401

    before = _peak_megabytes()
    started, cpu = time.perf_counter(), time.process_time()
    orders = {"bare": bare, "ours": ours}[name](path, connection)
    return {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "peak": _peak_megabytes(),
        "over": _peak_megabytes() - before,
        "orders": orders,
    }


def _peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


@contextmanager
def simulated_adobe() -> Iterator[str]:
    """Run the simulator in a process of its own, and yield its URL."""
    code = (
        "import sys, time; from airflow_provider_adobe_deletion.simulator import AdobeSimulator\n"
        "with AdobeSimulator(enforce_quota=False, small_order_limit=None) as adobe:\n"
        "    print(adobe.url, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate()


def in_a_process(name: str, path: Path, url: str) -> dict[str, float]:
    """Measure one of the two in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.submit", "--only", name, "--path", str(path), "--url", url]
    answer: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return answer


def main() -> int:
    """Measure and print; the exit code says whether the limits are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--identities", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("bare", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        connection = httpx.get(f"{options.url}/_simulator/connection").json()
        print(json.dumps(measure(options.only, options.path, connection)))
        return 0
    runs: dict[str, list[dict[str, float]]] = {"bare": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder, simulated_adobe() as url:
        path = Path(folder) / "identities.csv"
        write_identities(path, options.identities)
        print(f"{options.identities:,} identities, {path.stat().st_size / 1e6:.0f} MB of CSV, {options.rounds} rounds")
        for number in range(options.rounds):
            # Whoever is first may find a colder machine.
            for name in ("bare", "ours") if number % 2 == 0 else ("ours", "bare"):
                runs[name].append(in_a_process(name, path, url))
    return _report(runs)


def _report(runs: dict[str, list[dict[str, float]]]) -> int:
    figures = {name: {figure: median(run[figure] for run in of) for figure in of[0]} for name, of in runs.items()}
    print(f"{'':12}{'seconds':>10}{'of them CPU':>14}{'peak MB':>10}{'over start MB':>15}{'orders':>8}")
    for label, name in (("bare loop", "bare"), ("provider", "ours")):
        row = figures[name]
        print(
            f"{label:12}{row['seconds']:>10.2f}{row['cpu']:>14.2f}{row['peak']:>10.0f}{row['over']:>15.0f}"
            f"{row['orders']:>8.0f}"
        )
    ratio = figures["ours"]["seconds"] / figures["bare"]["seconds"]
    over = max(run["over"] for run in runs["ours"])
    print(f"ratio of the medians: {ratio:.2f} (limit {MOST_TIMES_THE_BARE_LOOP}); ", end="")
    print(f"CPU alone: {figures['ours']['cpu'] / figures['bare']['cpu']:.2f}")
    print(f"memory over the process before the work, worst round: {over:.0f} MB (limit {MOST_MEGABYTES:.0f})")
    return 0 if ratio <= MOST_TIMES_THE_BARE_LOOP and over <= MOST_MEGABYTES else 1


if __name__ == "__main__":
    sys.exit(main())
