"""A simulated Adobe in a process of its own, and its bad weather."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

import httpx

CREATE = r"/system/jobs$|/workorder$|/job$"
ANY = r"^/(data|api|discovery)/"

FAULTS: dict[str, dict[str, Any]] = {
    # A creating request: did it take effect?
    "reset after the effect": {"path": CREATE, "when": "after", "abort": True, "probability": 0.10},
    "reset before the effect": {"path": CREATE, "when": "before", "abort": True, "probability": 0.06},
    "5xx after the effect": {"path": CREATE, "when": "after", "status": 504, "probability": 0.08},
    "5xx before the effect": {"path": CREATE, "when": "before", "status": 503, "probability": 0.06},
    "time-out after the effect": {"path": CREATE, "when": "after", "delay": 6.0, "probability": 0.06},
    "time-out before the effect": {"path": CREATE, "when": "before", "delay": 6.0, "probability": 0.04},
    "answer cut in half": {"path": CREATE, "truncate": True, "probability": 0.05},
    "late answer": {"path": CREATE, "when": "after", "delay": 1.5, "probability": 0.3},
    # Everything else.
    "look-up: 5xx": {"method": "GET", "path": ANY, "status": 503, "probability": 0.04},
    "look-up: reset": {"method": "GET", "path": ANY, "abort": True, "probability": 0.03},
    "look-up: cut in half": {"method": "GET", "path": ANY, "truncate": True, "probability": 0.02},
    "any: 429": {"path": ANY, "status": 429, "headers": {"Retry-After": "1"}, "probability": 0.02},
    "token: 5xx": {"path": "/ims/", "status": 503, "probability": 0.05},
}
"""Faults by name. Delays of 6 s are longer than the tasks' time-out; see the DAGs."""

SETTINGS: dict[str, Any] = {
    # Nothing of Adobe's own keeps a second job from being created, except a repair's token and its busy suite.
    "profile_duplicate_422": "never",
    "small_order_limit": None,
    "analytics_rate_limit": False,
    "profile_seconds": [3.0, 12.0],
    "repair_seconds": 12.0,
    "workorder_seconds": [1.0, 2.0, 4.0, 12.0],
}


class Adobe:
    """Starts and stops the simulator, and controls it over HTTP."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "airflow_provider_adobe_deletion.simulator"],
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[-1]
        self.connection = shlex.split(self._process.stdout.readline())[1].partition("=")[2]
        self._http = httpx.Client(base_url=f"{self.url}/_simulator", timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._process.terminate()
        self._process.wait(10)

    def control(self, method: str, name: str, json: Any = None, **params: Any) -> Any:
        """Call the simulator's control interface."""
        response = self._http.request(method, f"/{name}", json=json, params=params).raise_for_status()
        return response.json() if response.content else None

    def turn_bad(self, seed: int) -> None:
        """Let the weather begin."""
        self.control("PATCH", "settings", SETTINGS | {"seed": seed})
        for fault in FAULTS.values():
            self.control("POST", "faults", {"times": None, "method": fault.get("method", "POST"), **fault})

    def change(self, chance: random.Random) -> None:
        """Change how late jobs show, and sometimes revoke all tokens."""
        lags = {"list_lag": chance.choice((0.0, chance.uniform(0, 4))), "lookup_lag": chance.choice((0.0, 0.0, 1.5))}
        self.control("PATCH", "settings", lags)
        if chance.random() < 0.05:
            self.control("POST", "revoke-tokens")

    def struck(self) -> dict[str, int]:
        """Return how often each fault has struck."""
        return dict(zip(FAULTS, (fault["struck"] for fault in self.control("GET", "faults")), strict=True))

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs that exist."""
        return self.control("GET", "jobs")
