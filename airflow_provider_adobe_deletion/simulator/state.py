"""What the simulator remembers besides jobs: clock, settings, journal and faults.

Nothing here knows HTTP. Everything may be read and changed from another thread (a test) while the
server runs in its own.
"""

from __future__ import annotations

import random
import re
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, overload

JOURNAL_LENGTH = 200_000


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, kept on both clocks so that an age can be scaled by the speed."""

    time: float
    real: float
    offset: float


class Clock:
    """Simulated time: real time plus whatever a test has advanced it by."""

    def __init__(self) -> None:
        self._offset = 0.0

    def now(self) -> float:
        """Simulated seconds since the epoch."""
        return time.time() + self._offset

    def moment(self) -> Moment:
        """Now, for measuring an age later."""
        return Moment(self.now(), time.monotonic(), self._offset)

    def advance(self, seconds: float) -> None:
        """Jump ``seconds`` ahead."""
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        self._offset += seconds

    def age(self, moment: Moment, speed: float = 1.0) -> float:
        """Seconds since ``moment``; real time counts ``speed`` times, advances count once."""
        real = time.monotonic() - moment.real
        return real * speed + self._offset - moment.offset

    def reset(self) -> None:
        """Return to real time."""
        self._offset = 0.0


def stage(age: float, thresholds: Sequence[float]) -> int:
    """How many of the ascending ``thresholds`` an age has passed."""
    return bisect_right(thresholds, age)


def iso_seconds(timestamp: float) -> str:
    """``2020-04-24T09:02:59+00:00``."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="seconds")


def iso_millis(timestamp: float) -> str:
    """``2035-06-02T09:21:00.000Z``."""
    text = datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def iso_micros(timestamp: float) -> str:
    """``2024-12-22T19:44:50.250006Z``."""
    text = datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One sandbox of the organisation."""

    name: str
    id: str
    type: Literal["production", "development"] = "development"
    is_default: bool = False


PROD = Sandbox("prod", "8129954b-fa83-43ba-a995-4bfa8373ba2b", "production", True)
DEV = Sandbox("dev", "2c9f1b6e-5a64-4b35-9a2d-6f0e8d7c4b11")

_CHOICES: Mapping[str, tuple[object, ...]] = {
    "profile_shape": ("azure", "aws", "unified"),
    "profile_duplicate_422": ("active", "ever", "never"),
    "validate_only_answer": ("204", "job"),
    "analytics_401": ("gateway", "service"),
    "hygiene_generation": (1, 2, 3),
    "ttl_generation": ("new", "mid"),
    "display_name_match": ("partial", "exact"),
}


@dataclass(slots=True)
class Settings:
    """How this Adobe behaves. Assign to the attributes at any time; misspelt names are refused.

    Durations in ``*_seconds`` are divided by ``speed``. Lags, quotas and rate limits follow the
    simulated clock and are not scaled.
    """

    # Organisation and credentials
    org_id: str = "8B1F5E6A57C7D2147F000101@AdobeOrg"
    scopes: tuple[str, ...] = (
        "openid",
        "AdobeID",
        "read_organizations",
        "additional_info.projectedProductContext",
        "additional_info.job_function",
        "session",
    )
    metascopes: tuple[str, ...] = (
        "ent_dataservices_sdk",
        "ent_analytics_bulk_ingest_sdk",
    )
    token_lifetime: float = 86399
    sandboxes: tuple[Sandbox, ...] = (PROD, DEV)

    # Common to all services
    speed: float = 1.0
    seed: int = 0
    list_lag: float = 0.0
    lookup_lag: float = 0.0
    fail_targets: set[str] = field(default_factory=set)

    # Profile system jobs
    profile_shape: Literal["azure", "aws", "unified"] = "azure"
    profile_duplicate_422: Literal["active", "ever", "never"] = "active"
    profile_seconds: tuple[float, ...] = (1.0, 3.0)
    record_datasets: dict[str, str] = field(default_factory=dict)
    batches: dict[str, str] = field(default_factory=dict)

    # Data Repair
    global_company_ids: tuple[str, ...] = ("exampl0",)
    other_companies: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {"00000000000000000000OTHR@AdobeOrg": ("otherco0",)}
    )
    report_suites: set[str] | None = None
    rows_per_day: int = 1000
    suite_rows_per_day: dict[str, int] = field(default_factory=dict)
    repair_seconds: float = 3.0
    repair_failed_status: str = "failed"
    validate_only_answer: Literal["204", "job"] = "204"
    validation_token_lifetime: float | None = None
    analytics_rate_limit: bool = True
    analytics_401: Literal["gateway", "service"] = "gateway"

    # Data Hygiene
    hygiene_generation: Literal[1, 2, 3] = 3
    workorder_seconds: tuple[float, ...] = (0.5, 1.0, 1.5, 4.0)
    display_name_match: Literal["partial", "exact"] = "partial"
    accept_both_id_spellings: bool = False
    cja_only: bool = False
    enforce_quota: bool = True
    quota_daily: int = 1_000_000
    quota_monthly: int = 2_000_000
    quota_expirations: int = 50
    small_order_limit: int | None = 20
    ttl_generation: Literal["new", "mid"] = "new"
    ttl_seconds: float = 3.0

    def __setattr__(self, name: str, value: object) -> None:
        choices = _CHOICES.get(name)
        if choices is not None and value not in choices:
            raise ValueError(f"{name} must be one of {choices}, not {value!r}")
        if name == "speed" and not (isinstance(value, int | float) and value > 0):
            raise ValueError("speed must be positive")
        object.__setattr__(self, name, value)

    def update(self, values: Mapping[str, Any]) -> None:
        """Take settings as JSON holds them: lists stand for tuples and sets."""
        known = {f.name for f in fields(self)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"no such setting: {', '.join(unknown)}")
        for name, value in values.items():
            setattr(self, name, self._from_json(name, value))

    def _from_json(self, name: str, value: Any) -> Any:
        if name == "sandboxes":
            return tuple(item if isinstance(item, Sandbox) else Sandbox(**item) for item in value)
        if name == "report_suites":
            return None if value is None else set(value)
        if name in ("small_order_limit", "validation_token_lifetime"):
            if value is not None and not isinstance(value, int | float):
                raise ValueError(f"{name} must be a number or null")
            return value
        current = getattr(self, name)
        if isinstance(current, set | tuple) and isinstance(value, list):
            return type(current)(value)
        if isinstance(current, float) and type(value) is int:
            return float(value)
        if type(value) is not type(current) and not (name == "token_lifetime" and isinstance(value, int | float)):
            raise ValueError(f"{name} must be a {type(current).__name__}")
        return value

    def reset(self) -> None:
        """Return to the defaults."""
        fresh = Settings()
        for f in fields(self):
            setattr(self, f.name, getattr(fresh, f.name))


@dataclass(slots=True)
class JournalEntry:
    """One request as the simulator saw it. Holds no secret, token or identity value.

    ``status`` is what went out on the wire, 0 when the connection was closed without an answer.
    ``sandbox`` is the sandbox the call acted in, whatever the headers said. ``took_effect`` tells
    whether something was created, changed or removed, answered or not.
    """

    time: float
    method: str
    path: str
    query: dict[str, str]
    body_size: int
    api_key: str | None = None
    sandbox_name: str | None = None
    sandbox_id: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    body: Any = None
    status: int = 0
    sandbox: str | None = None
    took_effect: bool = False
    faulted: bool = False


class Journal(Sequence[JournalEntry]):
    """The last requests, oldest first. Safe to read while the server appends."""

    def __init__(self, maxlen: int = JOURNAL_LENGTH) -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=maxlen)
        self._lock = threading.Lock()

    def append(self, entry: JournalEntry) -> None:
        """Add a request that has just come in."""
        with self._lock:
            self._entries.append(entry)

    def clear(self) -> None:
        """Forget all entries."""
        with self._lock:
            self._entries.clear()

    def entries(self) -> list[JournalEntry]:
        """A copy of all entries."""
        with self._lock:
            return list(self._entries)

    def select(self, method: str | None = None, path_contains: str = "") -> list[JournalEntry]:
        """The entries with this method and this text in their path."""
        return [
            entry
            for entry in self.entries()
            if (method is None or entry.method == method.upper()) and path_contains in entry.path
        ]

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> JournalEntry: ...
    @overload
    def __getitem__(self, index: slice) -> list[JournalEntry]: ...
    def __getitem__(self, index: int | slice) -> JournalEntry | list[JournalEntry]:
        return self.entries()[index]

    def __iter__(self) -> Iterator[JournalEntry]:
        return iter(self.entries())


@dataclass(slots=True)
class Fault:
    """Something that goes wrong on the wire.

    The request must match ``method`` (any when None) and ``path`` (a substring, or a regular
    expression found in the path). The first ``after`` matches pass; then it strikes ``times``
    times (None: for ever), each with ``probability``.

    ``status`` replaces the answer. Without it, ``abort`` closes the connection unanswered and
    ``truncate`` cuts the real answer half-way; with neither, the request is only delayed. With
    ``when="before"`` a replaced or aborted request has no effect in the simulated Adobe; with
    ``when="after"`` it does, and the client does not learn of it. ``truncate`` always has effect.
    ``delay`` seconds pass before the effect (``before``) or between effect and answer (``after``).

    With ``echo``, the texts ``{authorization}``, ``{query}`` and ``{body}`` in ``body`` and ``headers`` stand for what
    the client has sent, for tests of what becomes of an answer that repeats it.
    """

    method: str | None = None
    path: str = ""
    times: int | None = 1
    after: int = 0
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str | bytes | dict[str, Any] | list[Any] | None = None
    content_type: str | None = None
    delay: float = 0.0
    when: Literal["before", "after"] = "before"
    abort: bool = False
    truncate: bool = False
    probability: float = 1.0
    echo: bool = False
    seen: int = field(default=0, init=False)
    struck: int = field(default=0, init=False)
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.when not in ("before", "after"):
            raise ValueError('when must be "before" or "after"')
        if (self.status is not None) + self.abort + self.truncate > 1:
            raise ValueError("status, abort and truncate exclude each other")
        try:
            self._pattern = re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path must be text or a regular expression: {error}") from None

    def matches(self, method: str, path: str) -> bool:
        """Whether the fault is about this request."""
        if self.method is not None and self.method.upper() != method:
            return False
        return self.path in path or self._pattern.search(path) is not None

    def as_dict(self) -> dict[str, Any]:
        """The fault and its counters, as JSON can hold them."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        del values["_pattern"]
        if isinstance(self.body, bytes):
            values["body"] = self.body.decode("utf-8", "replace")
        return values


class Faults:
    """The faults to come, in the order they were added; the first that applies strikes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._random = random.Random(settings.seed)
        self._seed = settings.seed

    def add(self, fault: Fault) -> Fault:
        """Arm a fault."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Disarm all faults."""
        with self._lock:
            self._faults.clear()

    def __iter__(self) -> Iterator[Fault]:
        with self._lock:
            return iter(list(self._faults))

    def __len__(self) -> int:
        return len(self._faults)

    def pick(self, method: str, path: str) -> Fault | None:
        """The fault that strikes this request, if any."""
        if not self._faults:
            return None
        with self._lock:
            if self._settings.seed != self._seed:
                self._seed = self._settings.seed
                self._random = random.Random(self._seed)
            for fault in self._faults:
                if fault.times is not None and fault.struck >= fault.times:
                    continue
                if not fault.matches(method, path):
                    continue
                fault.seen += 1
                if fault.seen <= fault.after:
                    continue
                if fault.probability < 1 and self._random.random() >= fault.probability:
                    continue
                fault.struck += 1
                return fault
        return None

    def reset(self) -> None:
        """Disarm all faults and restart the dice."""
        with self._lock:
            self._faults.clear()
            self._seed = self._settings.seed
            self._random = random.Random(self._seed)


class State:
    """Everything the services share; ``settings`` are those that ``reset`` returns to."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._initial = deepcopy(dict(settings))
        self.clock = Clock()
        self.settings = Settings()
        self.settings.update(deepcopy(self._initial))
        self.journal = Journal()
        self.faults = Faults(self.settings)
        self.secrets: set[str] = set()

    def reset(self) -> None:
        """Return everything to the start."""
        self.clock.reset()
        self.settings.reset()
        self.settings.update(deepcopy(self._initial))
        self.journal.clear()
        self.faults.reset()
