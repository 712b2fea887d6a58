"""Kills what runs, at random moments."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from .cluster import TRIGGERERS, Cluster, task_of

_TICK = 0.5


@dataclass(frozen=True)
class Rates:
    """How often things die, as the mean seconds until they do.

    :param task: of one task's process.
    :param worker: of one busy worker process, which watches over a task's.
    :param triggerer: of either triggerer.
    :param pause: likewise, but it is stopped for :attr:`pause_seconds` and goes on.
    :param scheduler: of the scheduler with all its workers.
    """

    task: float = 30.0
    worker: float = 90.0
    triggerer: float = 150.0
    pause: float = 240.0
    scheduler: float = 400.0
    pause_seconds: float = 45.0


class Killer(threading.Thread):
    """Kills until it is told to stop.

    :param tell: is told what was killed.
    """

    def __init__(self, cluster: Cluster, chance: random.Random, rates: Rates, tell: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self.kills: Counter[str] = Counter()
        self._cluster = cluster
        self._chance = chance
        self._rates = rates
        self._tell = tell
        self._done = threading.Event()
        self._paused: tuple[str, float] | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Kill."""
        try:
            self._kill_on()
        except BaseException as error:
            self._error = error
        finally:
            self._continue(at_once=True)

    def _kill_on(self) -> None:
        while not self._done.wait(_TICK):
            for worker, task in self._cluster.running_tasks():
                if self._happens(self._rates.task):
                    self._kill_task(task)
                elif self._happens(self._rates.worker):
                    self._kill_worker(worker)
            self._continue()
            for name in self._cluster.revive():
                self._tell(f"{name} had ended by itself")
            if self._happens(self._rates.triggerer):
                self._kill_triggerer()
            if self._happens(self._rates.pause):
                self._pause_triggerer()
            if self._happens(self._rates.scheduler):
                self._cluster.restart("scheduler", signal.SIGKILL)
                self._note("scheduler")

    def stop(self) -> None:
        """Kill no more, and let everything run on; raise what has kept it from killing."""
        self._done.set()
        self.join()
        if self._error is not None:
            raise self._error

    def _happens(self, mean: float) -> bool:
        return self._chance.random() < _TICK / mean

    def _kill_task(self, task: psutil.Process) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            task.kill()
            self._note("task")

    def _kill_worker(self, worker: psutil.Process) -> None:
        """Kill a worker process, in half of the cases with its task.

        It is stopped first, and killed only if it still has a task: an idle worker may hold the lock of the queue
        that all of LocalExecutor's workers share, which would never be released.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.suspend()
            task = task_of(worker)
            if task is None:
                worker.resume()
                return
            worker.kill()
            if self._chance.random() < 0.5:
                self._note("worker, its task lives on")
            else:
                task.kill()
                self._note("worker with its task")

    def _kill_triggerer(self) -> None:
        name = self._chance.choice(TRIGGERERS)
        if self._paused is None or self._paused[0] != name:
            self._cluster.restart(name, signal.SIGKILL)
            self._note("triggerer")

    def _pause_triggerer(self) -> None:
        if self._paused is None:
            name = self._chance.choice(TRIGGERERS)
            self._cluster.kill(name, signal.SIGSTOP)
            if not self._cluster.database_is_free():
                # All of Airflow would stop with it, which a triggerer beside a database server does to nobody.
                self._cluster.kill(name, signal.SIGCONT)
                return
            self._paused = name, time.monotonic() + self._rates.pause_seconds
            self._note(f"triggerer stopped for {self._rates.pause_seconds:.0f} s")

    def _continue(self, *, at_once: bool = False) -> None:
        if self._paused is not None and (at_once or time.monotonic() >= self._paused[1]):
            self._cluster.kill(self._paused[0], signal.SIGCONT)
            self._paused = None

    def _note(self, kind: str) -> None:
        self.kills[kind] += 1
        self._tell(f"killed: {kind}")
