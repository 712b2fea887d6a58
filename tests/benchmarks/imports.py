"""What it costs to import operators, sensors and triggers, beside three other providers.

``uv run python -m tests.benchmarks.imports`` imports each provider's modules in fresh processes, after ``airflow.sdk``
alone, and prints how many modules that loads beyond it, how many of those belong to HTTP clients, pydantic or PyJWT,
and the CPU time. DAG files are parsed again and again, so this is paid all day. The peers are installed into an
environment of their own. The exit code is 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from airflow_provider_adobe_deletion.get_provider_info import get_provider_info
from tests.benchmarks.peers import installed

MOST_MODULES = 40
KINDS = ("operators", "sensors", "triggers")
HEAVY = ("httpx", "httpcore", "aiohttp", "requests", "pydantic", "pydantic_core", "jwt", "cryptography", "tenacity")
PEERS = {
    "dbt-cloud": [f"airflow.providers.dbt.cloud.{kind}.dbt" for kind in KINDS],
    "databricks": [f"airflow.providers.databricks.{kind}.databricks" for kind in KINDS],
    "airbyte": [f"airflow.providers.airbyte.{kind}.airbyte" for kind in KINDS],
}
MEASURE = """
import importlib, json, sys, time
import airflow.sdk
%s
before, cpu = set(sys.modules), time.process_time()
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print("\\n" + json.dumps([time.process_time() - cpu, sorted(set(sys.modules) - before)]))
"""
# Airflow's own base of all triggers loads a part of pydantic that airflow.sdk does not.
WITH_TRIGGERS = "import airflow.triggers.base"


def our_modules() -> list[str]:
    """Return the modules of operators, sensors and triggers that Airflow is told of, and users import."""
    info = get_provider_info()
    return [module for kind in KINDS for entry in info[kind] for module in entry["python-modules"]]


def loaded(python: Path, modules: Iterable[str], *, before: str = "") -> tuple[float, list[str]]:
    """Import modules in a fresh process; return the CPU seconds and what was loaded beyond ``airflow.sdk``.

    :param before: a statement whose imports do not count either.
    """
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [str(python), "-c", MEASURE % before, json.dumps(list(modules))],
            check=True,
            capture_output=True,
            text=True,
            env={"AIRFLOW_HOME": home, "PATH": "/usr/bin:/bin"},
        )
    cpu, names = json.loads(done.stdout.splitlines()[-1])
    return cpu, names


def heavy(names: Iterable[str]) -> list[str]:
    """Return those that belong to HTTP clients, pydantic, PyJWT and the like."""
    return [name for name in names if name.split(".")[0] in HEAVY]


def main() -> int:
    """Measure and print; the exit code says whether the limits are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", help="an interpreter that has the peers, instead of installing them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names = [f"apache-airflow-providers-{name}" for name in PEERS]
        peers = Path(options.peers) if options.peers else installed(Path(folder), *names)
        runs = {"ours": (Path(sys.executable), our_modules()), **{name: (peers, of) for name, of in PEERS.items()}}
        print(f"{'':12}{'modules':>9}{'heavy ones':>12}{'CPU ms':>9}")
        for name, (python, modules) in runs.items():
            rounds = [loaded(python, modules) for _ in range(options.rounds)]
            found = rounds[0][1]
            print(f"{name:12}{len(found):>9}{len(heavy(found)):>12}{median(cpu for cpu, _ in rounds) * 1e3:>9.0f}")
    _, ours = loaded(Path(sys.executable), our_modules())
    _, own = loaded(Path(sys.executable), our_modules(), before=WITH_TRIGGERS)
    print(f"ours: {len(ours)} modules (limit {MOST_MODULES}); heavy ones beyond airflow.triggers.base: {heavy(own)}")
    return 0 if len(ours) <= MOST_MODULES and not heavy(own) else 1


if __name__ == "__main__":
    sys.exit(main())
