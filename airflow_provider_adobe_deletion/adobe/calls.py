"""One HTTP call to Adobe as a value, and flows of several.

A ``Call`` says what to ask and how to read the answer; it sends nothing. ``AdobeClient.send`` and
``AdobeClient.asend`` send it, so each endpoint is written once and the worker and the triggerer
cannot drift apart.

A flow is a generator that yields calls, pauses, polls and what to log, and returns a result. ``AdobeClient.run`` and
``AdobeClient.arun`` drive it. What takes several calls (walk a list, submit and check the echo, wait
for a job) is a flow for the same reason that a single call is a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import quote

from airflow_provider_adobe_deletion.adobe.jobs import JobRef

T = TypeVar("T")


class Service(Enum):
    """The parts of Adobe that this provider calls; each has its own base address and headers."""

    DISCOVERY = "Analytics discovery"
    DATA_REPAIR = "Data Repair"
    HYGIENE = "Data Hygiene"
    PROFILE = "Profile system jobs"
    SANDBOX = "sandbox management"


@dataclass(frozen=True)
class Reply:
    """The part of a successful answer that a call's reader sees."""

    status: int
    body: Any
    """The parsed JSON, or ``None`` for an empty body."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One HTTP call.

    :param service: which part of Adobe answers it.
    :param method: the HTTP method.
    :param path: below the service's base address; ids in it come through :func:`path_id`.
    :param purpose: what is asked, as the object of "Adobe refused to …", for error sentences.
    :param read: turns a 2xx :class:`Reply` into the result. It raises ``ValueError`` where the answer
        lacks what the documents promise.
    :param params: query parameters.
    :param body: the JSON body, or ready-made bytes of one.
    :param repeatable: whether it may be sent again when the outcome of the first try is unknown.
        ``False`` for everything that creates something at Adobe.
    :param before_send: called right before the request leaves, each time it does. It may block, so it is for
        the worker only.
    :param confidential: values which must not be repeated in an error text, though Adobe may echo them.
    """

    service: Service
    method: str
    path: str
    purpose: str
    read: Callable[[Reply], T]
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Any = field(default=None, repr=False)
    repeatable: bool = True
    before_send: Callable[[], None] | None = field(default=None, repr=False, compare=False)
    confidential: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True)
class Pause:
    """A step of a flow that waits for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Poll:
    """A step of a flow that learns how jobs stand, at a time that leaves room to ask for many waiters at once.

    Its result is a dict: for each job what Adobe shows of it, or the :class:`AdobeError` that asking met.

    :param refs: the jobs.
    :param since: when the first of them was submitted, or earlier.
    :param earliest: after how many seconds the answer is welcome.
    :param latest: after how many seconds it is to be asked for.
    """

    refs: tuple[JobRef, ...]
    since: datetime
    earliest: float = 0.0
    latest: float = 0.0


@dataclass(frozen=True)
class Tell:
    """A step of a flow that logs.

    On an event loop it is done in a thread. A triggerer's logs go to its supervisor, which does not read them while it
    sends, and sends at once what thousands of triggers need: with the loop held up by a full pipe, neither would go on.

    :param write: logs.
    """

    write: Callable[[], None]


Step: TypeAlias = "Call[Any] | Pause | Poll | Tell"
Flow: TypeAlias = Generator[Step, Any, T]

_EMPTY_TEMPLATES = ("None", "null", "undefined", "nan", "NaN")
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,254}", re.ASCII)


def checked_id(value: object, name: str) -> str:
    """Return ``value`` if it can be an id at Adobe.

    Adobe's ids are ASCII letters, digits and a little punctuation. Everything else, and above all what
    could leave its place in a path, is a mistake that must not reach the network.

    :param value: what the user gave.
    :param name: the parameter's name, for the message.
    :raises TypeError: it is not a string.
    :raises ValueError: it is empty, too long, or has a character that no id has.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}.")
    if not value.strip():
        raise ValueError(f"{name} is empty.")
    if value in _EMPTY_TEMPLATES:
        raise ValueError(f"{name} is {value!r}, which is what a template without a value renders to.")
    if not _PLAIN_ID.fullmatch(value) or ".." in value:
        raise ValueError(
            f"{name} is not an id of Adobe's: it must be 1 to 255 ASCII letters, digits or . _ : @ - "
            "and start with a letter or digit."
        )
    return value


def path_id(value: object, name: str) -> str:
    """Return a checked id, percent-encoded for use as one path segment."""
    return quote(checked_id(value, name), safe="")
