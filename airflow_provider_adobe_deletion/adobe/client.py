"""Sends calls to Adobe: one retry, rate-limit and error policy, driven both sync and async.

What is repeated, by what happened:

=============================================  =========================  ===========================
what happened                                  repeatable call            creating call
=============================================  =========================  ===========================
no byte was sent (DNS, refused, TLS)           repeated                   repeated
no token for a passing reason                  repeated                   repeated
401                                            once, with a fresh token   once, with a fresh token
429                                            after the asked-for wait   after the asked-for wait
timeout, reset, answer cut short, 408, 5xx     repeated, with backoff     ``AmbiguousOutcomeError``
3xx, which is not followed                     ``AdobeAPIError``          ``AmbiguousOutcomeError``
success, but not as documented                 ``AdobeProtocolError``     ``AmbiguousOutcomeError``
any other 4xx                                  ``AdobeAPIError``          ``AdobeAPIError``
=============================================  =========================  ===========================

A 429 holds back every call of the credential in this process, not only the one that met it.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from airflow_provider_adobe_deletion import __version__
from airflow_provider_adobe_deletion.adobe.auth import TOKEN_REQUEST, AdobeAuth, sent_token
from airflow_provider_adobe_deletion.adobe.board import Board
from airflow_provider_adobe_deletion.adobe.calls import Call, Flow, Pause, Poll, Reply, Service, Step, Tell
from airflow_provider_adobe_deletion.adobe.channel import Channel, http_options, timeout
from airflow_provider_adobe_deletion.adobe.config import AdobeConfig
from airflow_provider_adobe_deletion.adobe.data_repair import Company, choose_company, discover
from airflow_provider_adobe_deletion.adobe.errors import (
    AdobeAuthError,
    AdobeError,
    AdobeInterruptedError,
    AdobeProtocolError,
    AdobeRateLimitError,
    AdobeServerError,
    AdobeUnreachableError,
    AmbiguousOutcomeError,
    api_error,
)
from airflow_provider_adobe_deletion.adobe.lookup import Lists, alone
from airflow_provider_adobe_deletion.adobe.pacing import Brake, Pacer

T = TypeVar("T")


class _HideTokens(logging.Filter):
    """Takes tokens out of the addresses that httpx logs at INFO, and out of the headers that httpcore logs at DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(map(_without_token, record.args))
        if isinstance(record.msg, str):
            record.msg = _TOKENS.sub(r"\1***", record.msg)
        return True


# As an answer may repeat them: a redirect's address, for instance, the query that it was sent.
_TOKENS = re.compile(r"(validationToken=|Bearer )[^\s&'\"]+")


def _without_token(value: object) -> object:
    if isinstance(value, httpx.URL) and "validationToken" in value.params:
        return value.copy_with(params=value.params.set("validationToken", "***"))
    return value


for _name in ("httpx", "httpcore.http11", "httpcore.http2"):
    logging.getLogger(_name).addFilter(_HideTokens())

log = logging.getLogger(__name__)

_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@dataclass(frozen=True)
class RetryPolicy:
    """When and how long a call is repeated.

    :param attempts: how often a call is sent at the most.
    :param backoff: the first wait, in seconds; it doubles, with full jitter.
    :param max_backoff: the longest such wait, in seconds.
    :param rate_limit_wait: the least wait after a 429 that names none, in seconds.
    :param max_retry_after: the longest wait that is honoured when Adobe asks for one, in seconds. Beyond
        it the error is raised, with what Adobe asked for.
    """

    attempts: int = 5
    backoff: float = 1.0
    max_backoff: float = 30.0
    rate_limit_wait: float = 6.0
    max_retry_after: float = 300.0

    def should_repeat(self, call: Call[Any], error: BaseException) -> bool:
        """Whether ``call`` is sent again after ``error``."""
        if isinstance(error, AdobeUnreachableError):
            return True
        if (getattr(error, "retry_after", None) or 0) > self.max_retry_after:
            return False
        if isinstance(error, AdobeAuthError):
            return error.transient
        if isinstance(error, AdobeRateLimitError):
            return True
        return call.repeatable and isinstance(error, AdobeServerError | AdobeInterruptedError)

    def wait(self, state: RetryCallState) -> float:
        """Return the seconds to wait before the next attempt."""
        error = state.outcome.exception() if state.outcome else None
        jittered = float(wait_random_exponential(multiplier=self.backoff, max=self.max_backoff)(state))
        asked = getattr(error, "retry_after", None)
        if asked is not None:
            return float(asked) + min(jittered, 1.0)
        if getattr(error, "status", None) == 429:
            return self.rate_limit_wait * state.attempt_number + jittered
        return jittered


def _refuse_call(flow: object, instead: str) -> None:
    if isinstance(flow, Call):
        raise TypeError(f"This is a single call and no flow: use client.{instead}(…) to {flow.purpose}.")


_pacers: dict[tuple[str, str], Pacer] = {}


def _analytics_pacer(config: AdobeConfig) -> Pacer:
    """Return this process's pacer for Analytics, which takes 12 requests per 6 s and client id.

    Half a second more, since requests do not arrive as evenly as they leave.
    """
    return _pacers.setdefault((config.analytics_url, config.client_id), Pacer(12, 6.5))


_brakes: dict[tuple[str, ...], Brake] = {}


def _brake(config: AdobeConfig, service: Service) -> Brake:
    """Return this process's brake for a credential: Analytics counts requests apart from Experience Platform."""
    analytics = service in (Service.DATA_REPAIR, Service.DISCOVERY)
    address = config.analytics_url if analytics else config.platform_url
    return _brakes.setdefault((address, *config.credential_key), Brake())


class AdobeClient:
    """Sends calls and runs flows for one connection, synchronously or on an event loop.

    The Analytics company is discovered before the first Data Repair call where the connection names none.

    :param config: whose organisation, credential and sandbox to use.
    :param on_secret: called with each minted token, to register it for masking.
    :param policy: when and how long calls are repeated.
    :param channel: connections to share on an event loop with other clients of the same credential.
    :raises AdobeConfigError: from every ``send``: the connection lacks a field that the call needs.
    """

    def __init__(
        self,
        config: AdobeConfig,
        *,
        on_secret: Callable[[str], None] | None = None,
        policy: RetryPolicy | None = None,
        channel: Channel | None = None,
    ) -> None:
        self.config = config
        self.policy = policy or RetryPolicy()
        self._auth = AdobeAuth(config, on_secret)
        self._sync: httpx.Client | None = None
        self._channel = channel or Channel(config, on_secret)
        self._closes_channel = channel is None
        self._discovering = asyncio.Lock()
        self._prepared: dict[Service, tuple[str, httpx.Headers]] = {}
        self._brakes: dict[Service, Brake] = {}
        self._lists = Lists()
        self._board = Board(self, config.cloud, self._lists)

    def send(self, call: Call[T]) -> T:
        """Send one call and return what its reader makes of the answer.

        :raises AdobeError: one of its subclasses; see the module's table.
        """
        self.config.require_for(call.service, call.purpose)
        if call.service is Service.DATA_REPAIR and not self.config.global_company_id:
            self._use_company(self.send(discover()))
        if self._sync is None:
            self._sync = httpx.Client(**http_options(), auth=self._auth)
        http = self._sync
        result: T = Retrying(**self._retrying(call))(self._exchange, http, call)
        return result

    async def asend(self, call: Call[T]) -> T:
        """Send one call on the event loop; otherwise as :meth:`send`."""
        self.config.require_for(call.service, call.purpose)
        if call.service is Service.DATA_REPAIR and not self.config.global_company_id:
            async with self._discovering:
                if not self.config.global_company_id:
                    self._use_company(await self.asend(discover()))
        try:
            return await self._aexchange(call)
        except AdobeError as error:
            failed = [error]

        async def again() -> T:
            # Only what has failed once is worth the machinery; its first attempt is the one that was made.
            if failed:
                raise failed.pop()
            return await self._aexchange(call)

        policy = self._retrying(call) | {"before_sleep": _log_repeat_aside, "sleep": asyncio.sleep}
        result: T = await AsyncRetrying(**policy)(again)
        return result

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return its result; its calls' errors are raised inside it first.

        :raises TypeError: it is a single call, which :meth:`send` is for.
        """
        _refuse_call(flow, "send")
        outcome: Any = None
        resume: Callable[[Any], Step] = flow.send
        while True:
            try:
                step = resume(outcome)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            resume = flow.send
            try:
                outcome = self._step(step)
            except AdobeError as error:
                resume, outcome = flow.throw, error

    async def arun(self, flow: Flow[T]) -> T:
        """Run a flow on the event loop; otherwise as :meth:`run`."""
        _refuse_call(flow, "asend")
        outcome: Any = None
        resume: Callable[[Any], Step] = flow.send
        while True:
            try:
                step = resume(outcome)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            resume = flow.send
            try:
                outcome = await self._astep(step)
            except AdobeError as error:
                resume, outcome = flow.throw, error

    def close(self) -> None:
        """Close the connections of :meth:`send`."""
        if self._sync is not None:
            self._sync.close()
            self._sync = None

    async def aclose(self) -> None:
        """Stop polling, and close the connections of :meth:`asend` unless they are shared."""
        await self._board.aclose()
        if self._closes_channel:
            await self._channel.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _use_company(self, companies: tuple[Company, ...]) -> None:
        """Take the organisation's only Analytics company for the rest of this client's life."""
        company = choose_company(companies, self.config.org_id)
        self.config = replace(self.config, global_company_id=company.id)
        self._prepared.clear()

    def _step(self, step: Step) -> Any:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        if isinstance(step, Tell):
            step.write()
            return None
        if isinstance(step, Poll):
            return self.run(alone(step, self.config.cloud, self._lists))
        return self.send(step)

    async def _astep(self, step: Step) -> Any:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        if isinstance(step, Tell):
            await asyncio.to_thread(step.write)
            return None
        if isinstance(step, Poll):
            return await self._board.poll(step)
        return await self.asend(step)

    def _retrying(self, call: Call[Any]) -> dict[str, Any]:
        return {
            "retry": retry_if_exception(partial(self.policy.should_repeat, call)),
            "wait": self.policy.wait,
            "stop": stop_after_attempt(self.policy.attempts),
            "before_sleep": lambda state: _repeat_logger(state)(),
            "reraise": True,
        }

    def _exchange(self, http: httpx.Client, call: Call[T]) -> T:
        for wait in self._waits(call):
            time.sleep(wait)
        if call.before_send is not None:
            call.before_send()
        sent_at = datetime.now(UTC)
        try:
            response = http.send(self._request(call))
        except httpx.HTTPError as error:
            raise _broken(call, error, sent_at) from error
        return self._answer(call, response, sent_at)

    async def _aexchange(self, call: Call[T]) -> T:
        for wait in self._waits(call):
            await asyncio.sleep(wait)
        sent_at = datetime.now(UTC)
        try:
            response, sent_at = await self._channel.send(self._request(call))
        except httpx.HTTPError as error:
            raise _broken(call, error, sent_at) from error
        return self._answer(call, response, sent_at)

    def _waits(self, call: Call[Any]) -> Iterator[float]:
        """Yield the seconds to wait before the call may start; a 429 in the meantime prolongs that."""
        brake = self._brakes.get(call.service) or self._brakes.setdefault(
            call.service, _brake(self.config, call.service)
        )
        while wait := self._braked(brake, call):
            yield wait
            if not brake.held:
                break
        if call.service in (Service.DATA_REPAIR, Service.DISCOVERY):
            yield _analytics_pacer(self.config).reserve()

    def _braked(self, brake: Brake, call: Call[Any]) -> float:
        if brake.held <= self.policy.max_retry_after:
            return brake.reserve()
        detail = "Adobe has asked this credential to wait, so nothing was sent"
        raise AdobeRateLimitError(call.purpose, status=429, detail=detail, retry_after=brake.held)

    def _answer(self, call: Call[T], response: httpx.Response, sent_at: datetime) -> T:
        try:
            return _read(call, response, sent_at)
        except AdobeRateLimitError as error:
            _brake(self.config, call.service).press(error.retry_after or self.policy.rate_limit_wait)
            raise

    def _request(self, call: Call[Any]) -> httpx.Request:
        """Make a request; what is the same for every call of a service is made once."""
        if call.service not in self._prepared:
            self._prepared[call.service] = _base_url(self.config, call.service), _headers(self.config, call.service)
        base, headers = self._prepared[call.service]
        content = call.body if isinstance(call.body, bytes | None) else json.dumps(call.body).encode()
        return httpx.Request(
            call.method,
            base + call.path,
            params=dict(call.params) or None,
            headers=headers,
            content=content,
            extensions={"timeout": timeout()},
        )


def _base_url(config: AdobeConfig, service: Service) -> str:
    match service:
        case Service.DISCOVERY:
            return f"{config.analytics_url}/discovery"
        case Service.DATA_REPAIR:
            return f"{config.analytics_url}/api/{config.global_company_id}/datarepair/v1"
        case Service.HYGIENE:
            return f"{config.platform_url}/data/core/hygiene"
        case Service.PROFILE:
            return f"{config.platform_url}/data/core/ups"
        case Service.SANDBOX:
            return f"{config.platform_url}/data/foundation/sandbox-management"


def _headers(config: AdobeConfig, service: Service) -> httpx.Headers:
    return httpx.Headers(
        {
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "Content-Type": "application/json",
            "User-Agent": f"airflow-provider-adobe-deletion/{__version__}",
            "x-api-key": config.client_id,
            **_service_headers(config, service),
        }
    )


def _service_headers(config: AdobeConfig, service: Service) -> dict[str, str]:
    """Return a service's own headers. On AWS, Profile jobs are addressed by sandbox id; elsewhere by name."""
    if service in (Service.DISCOVERY, Service.DATA_REPAIR):
        return {}
    headers = {"x-gw-ims-org-id": config.org_id}
    if config.sandbox_name:
        headers["x-sandbox-name"] = config.sandbox_name
    if config.sandbox_id and service is not Service.SANDBOX:
        headers["x-sandbox-id"] = config.sandbox_id
    return headers


def _repeat_logger(state: RetryCallState) -> Callable[[], None]:
    """Return what logs that a call is to be repeated."""
    error = state.outcome.exception() if state.outcome else None
    pause = state.next_action.sleep if state.next_action else 0.0
    text = "%s Trying again in %.1f s (attempt %d)."
    return partial(log.warning, text, error, pause, state.attempt_number + 1)


def _log_repeat_aside(state: RetryCallState) -> None:
    """Log that a call is to be repeated, without holding up the event loop; see :class:`Tell`."""
    write = partial(contextvars.copy_context().run, _repeat_logger(state))
    asyncio.get_running_loop().run_in_executor(None, write)


def _broken(call: Call[Any], error: httpx.HTTPError, sent_at: datetime) -> AdobeError:
    """Say what a broken exchange means for ``call``, without the URL, which may hold a token."""
    request = getattr(error, "_request", None)
    what = type(error).__name__
    if request is not None and TOKEN_REQUEST in request.extensions:
        return AdobeUnreachableError(f"Could not {call.purpose}: no token from Adobe IMS ({what}).")
    if isinstance(error, _NOTHING_SENT):
        return AdobeUnreachableError(f"Could not {call.purpose}: Adobe could not be reached ({what}).")
    return _uncertain(call, AdobeInterruptedError(f"Could not {call.purpose}: the exchange broke ({what})."), sent_at)


def _uncertain(call: Call[Any], error: AdobeError, sent_at: datetime) -> AdobeError:
    return error if call.repeatable else AmbiguousOutcomeError(call.purpose, error, sent_at)


def _read(call: Call[T], response: httpx.Response, sent_at: datetime) -> T:
    try:
        body: Any = response.json() if response.content else None
        is_json = True
    except (ValueError, RecursionError):
        # Not response.text: it trusts the answer to name a charset that can be decoded.
        body, is_json = response.content.decode(errors="replace"), False
    if not response.is_success:
        confidential = (*call.confidential, sent_token(response.request))
        error = api_error(call.purpose, response.status_code, body, response.headers, confidential=confidential)
        # A redirect, which is never followed, may be Adobe's way to say that the thing is done.
        unclear = isinstance(error, AdobeServerError) or response.is_redirect
        raise _uncertain(call, error, sent_at) if unclear else error
    try:
        if not is_json:
            raise ValueError("not JSON")
        return call.read(Reply(status=response.status_code, body=body))
    except (ValueError, TypeError, LookupError, AttributeError) as problem:
        # Whatever the reader stumbled on may be quoted in its error, so only our own words are passed on.
        reason = str(problem) if type(problem) is ValueError else "unexpected content"
        raise _uncertain(
            call,
            AdobeProtocolError(
                f"Adobe answered HTTP {response.status_code} when asked to {call.purpose}, "
                f"but not as documented ({reason})."
            ),
            sent_at,
        ) from None
