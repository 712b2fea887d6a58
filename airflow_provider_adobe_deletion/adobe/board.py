"""Answers the polls of all who wait on one event loop for one sandbox or company, together."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from airflow_provider_adobe_deletion.adobe.calls import Flow, Poll
from airflow_provider_adobe_deletion.adobe.errors import AdobeConfigError
from airflow_provider_adobe_deletion.adobe.jobs import JobRef
from airflow_provider_adobe_deletion.adobe.lookup import Listed, Lists, Outages, Seen, asked, listed, shelf

T = TypeVar("T")

# Waiters woken at once hold the event loop up by some 50 µs each.
_WOKEN_AT_ONCE = 50
_ASKED_AT_ONCE = 10
# Looks one by one that are due within this many seconds share a wake-up.
_SLACK = 1.0


class Runner(Protocol):
    """What the board needs of a client."""

    async def arun(self, flow: Flow[T]) -> T:
        """Run a flow on the event loop."""


@dataclass(eq=False, slots=True)
class _Waiter:
    """One poll, and who waits for its answer."""

    poll: Poll
    earliest: float
    latest: float
    answer: asyncio.Future[Seen]


@dataclass(eq=False, slots=True)
class _Shelf:
    """Those who wait for jobs of one list."""

    name: tuple[str, ...]
    waiters: list[_Waiter] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None
    wakes_at: float = 0.0
    listing: bool = False


def _jobs(waiters: list[_Waiter]) -> int:
    return sum(len(waiter.poll.refs) for waiter in waiters)


class Board:
    """Collects polls until the first of them is due, and then asks for all that welcome an answer.

    Where the list shows the jobs, one request answers a hundred polls. Where it does not, those that are due are
    asked one by one, and the others are left until they are.

    :param runner: the client that sends.
    :param cloud: see :func:`~airflow_provider_adobe_deletion.adobe.profile.list_jobs`.
    :param lists: what is known about which lists are worth asking.
    """

    def __init__(self, runner: Runner, cloud: str, lists: Lists) -> None:
        self._runner = runner
        self._cloud = cloud
        self._lists = lists
        self._shelves: dict[tuple[str, ...], _Shelf] = {}
        self._rounds: set[asyncio.Task[None]] = set()
        # What is logged in a round belongs to no single waiter.
        self._context = contextvars.Context()

    async def poll(self, poll: Poll) -> Seen:
        """Return how the jobs stand, once it is time.

        :raises AdobeConfigError: the connection lacks a field that looking needs.
        """
        if not poll.refs:
            return {}
        loop = asyncio.get_running_loop()
        now = loop.time()
        waiter = _Waiter(poll, now + poll.earliest, now + poll.latest, loop.create_future())
        self._put(waiter)
        return await waiter.answer

    async def aclose(self) -> None:
        """Stop asking."""
        for place in self._shelves.values():
            if place.timer is not None:
                place.timer.cancel()
        self._shelves.clear()
        rounds = list(self._rounds)
        for task in rounds:
            task.cancel()
        await asyncio.gather(*rounds, return_exceptions=True)

    def _put(self, waiter: _Waiter) -> None:
        name = shelf(waiter.poll.refs[0])
        place = self._shelves.setdefault(name, _Shelf(name))
        place.waiters.append(waiter)
        if place.timer is None or waiter.latest < place.wakes_at:
            self._wake(place, waiter.latest)

    def _wake(self, place: _Shelf, at: float) -> None:
        if place.timer is not None:
            place.timer.cancel()
            place.timer = None
        # Whoever is due while the list is read is answered by the next reading, with all who have come by then.
        if not place.listing:
            place.wakes_at = at
            place.timer = asyncio.get_running_loop().call_at(at, self._begin, place, context=self._context)

    def _begin(self, place: _Shelf) -> None:
        """Take those whom a round is to answer, and set the clock for the others."""
        now = asyncio.get_running_loop().time()
        place.timer = None
        waiting = [waiter for waiter in place.waiters if not waiter.answer.done()]
        ready = [waiter for waiter in waiting if waiter.earliest <= now]
        place.listing = self._lists.worth(place.name, _jobs(ready), _jobs(waiting))
        if not place.listing:
            ready = [waiter for waiter in ready if waiter.latest <= now + _SLACK]
        chosen = set(map(id, ready))
        place.waiters = [waiter for waiter in waiting if id(waiter) not in chosen]
        self._rest(place)
        if ready:
            self._start(self._round(place, ready, now, listing=place.listing))

    def _rest(self, place: _Shelf) -> None:
        """Set the clock for those who wait, if any."""
        if place.waiters:
            self._wake(place, min(waiter.latest for waiter in place.waiters))
        elif not place.listing:
            self._shelves.pop(place.name, None)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, context=self._context)
        self._rounds.add(task)
        task.add_done_callback(self._rounds.discard)

    async def _round(self, place: _Shelf, waiters: list[_Waiter], began: float, *, listing: bool) -> None:
        try:
            asking = [(waiter, Seen()) for waiter in waiters]
            if listing:
                asking = await self._from_list(place, waiters, began)
            await self._one_by_one(asking)
        except asyncio.CancelledError:
            for waiter in waiters:
                waiter.answer.cancel()
            raise
        except Exception as error:
            is_config = isinstance(error, AdobeConfigError)
            for waiter in waiters:
                if not waiter.answer.done():
                    # One exception object must not collect the tracebacks of many.
                    waiter.answer.set_exception(AdobeConfigError(*error.args) if is_config else error)

    async def _from_list(self, place: _Shelf, waiters: list[_Waiter], began: float) -> list[tuple[_Waiter, Seen]]:
        """Answer those whom the list can; return the others that are due, with what is known for them."""
        refs = list(dict.fromkeys(ref for waiter in waiters for ref in waiter.poll.refs))
        since = min(waiter.poll.since for waiter in waiters)
        try:
            by_list: Listed = await self._runner.arun(listed(refs, since, self._cloud, self._lists))
        finally:
            place.listing = False
            # Unless the board was closed meanwhile.
            if self._shelves.get(place.name) is place:
                self._rest(place)
        left: list[tuple[_Waiter, Seen]] = []
        answered: list[tuple[_Waiter, Seen]] = []
        for waiter in waiters:
            seen = {ref: by_list.seen[ref] for ref in waiter.poll.refs if ref in by_list.seen}
            if len(seen) == len(waiter.poll.refs):
                answered.append((waiter, seen))
            elif seen or waiter.latest <= began + _SLACK or not by_list.ended.isdisjoint(waiter.poll.refs):
                left.append((waiter, seen))
            elif not waiter.answer.done():
                self._put(waiter)
        await self._deliver(answered)
        return left

    async def _one_by_one(self, asking: list[tuple[_Waiter, Seen]]) -> None:
        wanted: dict[JobRef, list[tuple[_Waiter, Seen]]] = {}
        for waiter, seen in asking:
            for ref in waiter.poll.refs:
                if ref not in seen:
                    wanted.setdefault(ref, []).append((waiter, seen))
        queue, outages = deque(wanted.items()), Outages()

        async def ask() -> None:
            while queue:
                ref, whose = queue.popleft()
                answer = await self._runner.arun(asked(ref, outages))
                for _, seen in whose:
                    seen[ref] = answer
                await self._deliver(entry for entry in whose if len(entry[1]) == len(entry[0].poll.refs))

        ends = await asyncio.gather(*(ask() for _ in range(min(_ASKED_AT_ONCE, len(queue)))), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end

    async def _deliver(self, answers: Iterable[tuple[_Waiter, Seen]]) -> None:
        for number, (waiter, seen) in enumerate(answers, 1):
            if not waiter.answer.done():
                waiter.answer.set_result(seen)
            if number % _WOKEN_AT_ONCE == 0:
                await asyncio.sleep(0)
