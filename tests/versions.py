"""Run what depends on Airflow on several versions of it: ``uv run python -m tests.versions``.

Each version gets a bare environment of its own, where the package is installed from its wheel. There the README's
quickstart has to work, and then the tests of hooks, operators, sensors and triggers have to pass, from a place
without the package's sources. All versions run at the same time, since they mostly wait. The tests of the version that
the project's own environment has are left to ``uv run pytest``. Other versions than the usual can be named:
``uv run python -m tests.versions 3.1 3.2``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).parent.parent
VERSIONS = ("2.11", "3.0", "3.3")
EXAMPLE = "example_adobe_profile_delete"

# What Airflow's own constraints hold back, and has to be held back where they are not used: releases from after this
# Airflow that it does not work with. FastAPI refuses the requests of its workers (apache/airflow#63209), and
# ObjectStoragePath loses file:// URLs.
HELD_BACK = {"3.0": ("fastapi<0.117", "universal_pathlib<0.3")}

UV = os.environ.get("UV", "uv")
_STARTED = time.monotonic()


class Version:
    """One version of Airflow in an environment of its own."""

    def __init__(self, version: str, wheel: Path, folder: Path) -> None:
        self.name = f"Airflow {version}"
        self._version = version
        self.folder = folder
        self._wheel = wheel
        self._airflow = [f"apache-airflow=={version}.*", *HELD_BACK.get(version, ())]
        self._python = folder / "venv" / "bin" / "python"
        self._log = folder / "log.txt"
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("VIRTUAL_ENV", "PYTHONPATH") and not name.startswith("AIRFLOW")
        }

    def run(self) -> bool:
        """Do everything; whether all went well. What went wrong is printed."""
        try:
            self._step("installed from the wheel", self._install)
            self._step("quickstart", self._quickstart)
            if metadata.version("apache-airflow").startswith(f"{self._version}."):
                say(f"{self.name}: the tests of this version are those of `uv run pytest`")
            else:
                self._step("tests", self._test)
        except (subprocess.SubprocessError, AssertionError) as error:
            say(f"{self.name}: FAILED: {error}\n{self._log.read_text()[-20_000:]}")
            return False
        return True

    def _step(self, what: str, step: Callable[[], str]) -> None:
        began = time.monotonic()
        said = step()
        say(f"{self.name}: {what}: {said} ({time.monotonic() - began:.0f} s)")

    def _install(self) -> str:
        self.folder.mkdir()
        self._call(UV, "venv", "--quiet", "--python", sys.executable, str(self._python.parent.parent))
        self._add(f"{self._wheel}[simulator]")
        script = "from importlib.metadata import version; print(version('apache-airflow'))"
        self.name = f"Airflow {self._call(str(self._python), '-c', script).strip()}"
        return self._wheel.name

    def _add(self, *what: str) -> None:
        self._call(UV, "pip", "install", "--quiet", "--python", str(self._python), *self._airflow, *what)

    def _quickstart(self) -> str:
        """Do what the README says: start the simulator, export its connection, test it, run an example DAG."""
        settings = {
            "AIRFLOW_HOME": str(self.folder / "home"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__ADOBE_DELETION__MINIMUM_DEFERRAL": "0",
        }
        command = [str(self._python), "-m", "airflow_provider_adobe_deletion.simulator"]
        with subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, text=True) as simulator:
            try:
                assert simulator.stdout is not None
                url = simulator.stdout.readline().split()[-1]
                exported = shlex.split(simulator.stdout.readline())[1]
                name, _, connection = exported.partition("=")
                settings[name] = connection
                self._airflow_command("db", "migrate", settings=settings)
                tested = self._airflow_command("connections", "test", "adobe_default", settings=settings)
                assert "Connection success" in tested, tested
                self._airflow_command("dags", "test", EXAMPLE, settings=settings)
                with urlopen(f"{url}/_simulator/jobs") as answer:
                    found = [job["status"] for job in json.load(answer)]
                assert found == ["COMPLETED", "COMPLETED"], f"jobs at Adobe: {found}"
            finally:
                simulator.terminate()
        return f"connection tested, {EXAMPLE} run"

    def _airflow_command(self, *arguments: str, settings: dict[str, str]) -> str:
        return self._call(str(self._python), "-m", "airflow", *arguments, settings=settings)

    def _test(self) -> str:
        """Run the tests where only the wheel has the package."""
        self._add("--group", f"{ROOT / 'pyproject.toml'}:test")
        place = self.folder / "tests"
        place.mkdir()
        for name in ("tests", "example_dags"):
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", place)
        pytest = [str(self._python), "-m", "pytest", "-q", "--tb=short", "--show-capture=no", "-m", "not timing"]
        printed = self._call(*pytest, "tests/provider", cwd=place, patience=900)
        skipped: Counter[str] = Counter()
        for count, reason in re.findall(r"^SKIPPED \[(\d+)\] [^:]+:\d+: (.+)$", printed, re.MULTILINE):
            skipped[reason] += int(count)
        reasons = [f"skipped {count}: {reason}" for reason, count in skipped.most_common()]
        return "\n    ".join([printed.splitlines()[-1], *reasons])

    def _call(
        self, *command: str, settings: dict[str, str] | None = None, cwd: Path | None = None, patience: float = 300
    ) -> str:
        """Run a command, keep what it says in the log, and return its standard output."""
        with self._log.open("a") as log:
            log.write(f"\n$ {shlex.join(command)}\n")
            log.flush()
            done = subprocess.run(
                command,
                cwd=cwd or self.folder,
                env=self._environment | (settings or {}),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                timeout=patience,
                check=False,
            )
            log.write(done.stdout)
        done.check_returncode()
        return done.stdout


def say(text: str) -> None:
    """Print with the time passed."""
    print(f"[{time.monotonic() - _STARTED:5.1f} s] {text}", flush=True)


def main() -> int:
    """Run all versions; the exit code says whether all went well."""
    parser = argparse.ArgumentParser(prog="python -m tests.versions", description=__doc__.splitlines()[0])
    parser.add_argument("version", nargs="*", default=VERSIONS, help=f"such as 3.1; default: {' '.join(VERSIONS)}")
    versions = parser.parse_args().version
    with tempfile.TemporaryDirectory(prefix="adobe-deletion-versions-") as name:
        folder = Path(name)
        subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", name, str(ROOT)], check=True)
        (wheel,) = folder.glob("*.whl")
        with ThreadPoolExecutor(len(versions)) as pool:
            good = list(pool.map(lambda version: Version(version, wheel, folder / version).run(), versions))
    say("All versions are fine." if all(good) else "FAILED.")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
