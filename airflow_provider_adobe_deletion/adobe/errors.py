"""What can go wrong between us and Adobe, as few, meaningful exceptions.

Every message is one readable sentence: what was asked, what Adobe said, Adobe's code and request id.
No message holds a credential, a token, or an identity value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_HINTS = {
    "400003": "Check the connection's org_id.",
    "403000": "Check the connection's login (client id).",
    "403003": "Check the connection's login (client id).",
    "403025": "Check the connection's org_id, and that the credential has a product profile for this API.",
    "403027": "Check the connection's org_id, and that the credential has a product profile.",
}


class AdobeError(Exception):
    """Base of all errors of this package."""


class AdobeConfigError(AdobeError, ValueError):
    """The connection lacks a field that the call needs, or holds one that cannot be right. Nothing was sent."""


class AdobeUnreachableError(AdobeError):
    """No byte of the request reached Adobe: DNS, refused connection, TLS. Safe to repeat."""


class AdobeInterruptedError(AdobeError):
    """The exchange broke after the request was sent: a timeout, a reset, an answer cut short."""


class AdobeProtocolError(AdobeError):
    """Adobe answered with success, but not with what its documents promise."""


class AmbiguousOutcomeError(AdobeError):
    """A creating request may or may not have taken effect, and repeating it could do it twice.

    :param purpose: what was asked.
    :param attempted_at: when the request was sent; the job, if any, is not older.
    """

    def __init__(self, purpose: str, cause: AdobeError, attempted_at: datetime) -> None:
        super().__init__(
            f"It is unknown whether Adobe did what was asked ({purpose}), and asking again could do it twice: {cause}"
        )
        self.purpose = purpose
        self.attempted_at = attempted_at


class WrongTargetError(AdobeError):
    """Adobe created a job for something other than what was asked. The job cannot be taken back here."""

    def __init__(self, message: str, job_id: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class AdobeAPIError(AdobeError):
    """Adobe answered with an error status.

    :param status: the HTTP status, which outranks anything in the body.
    :param code: Adobe's own code, where there is one.
    :param request_id: Adobe's id of the exchange, for a support case.
    :param detail: what Adobe said, cut to a readable length.
    :param retry_after: seconds that Adobe asks to wait, where it says so.
    """

    def __init__(
        self,
        purpose: str,
        *,
        status: int,
        detail: str = "",
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        said = f": {detail.rstrip('.')}" if detail else ""
        marks = [f"HTTP {status}"]
        if code:
            marks.append(f"code {code}")
        if request_id:
            marks.append(f"request id {request_id}")
        verb = "failed" if status >= 500 else "refused"
        hint = f" {_HINTS[code]}" if code in _HINTS else ""
        super().__init__(f"Adobe {verb} to {purpose}{said} ({', '.join(marks)}).{hint}")
        self.purpose = purpose
        self.status = status
        self.detail = detail
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after


class AdobeNotFoundError(AdobeAPIError):
    """HTTP 404."""


class AdobeDuplicateError(AdobeAPIError):
    """HTTP 422: such a request already exists."""


class AdobeRateLimitError(AdobeAPIError):
    """HTTP 429. The request was not processed; ``retry_after`` is what Adobe asks for, in seconds."""


class AdobeServerError(AdobeAPIError):
    """HTTP 5xx or 408. For a creating request the outcome is unknown."""


class AdobeAuthError(AdobeError):
    """Adobe IMS gave no token, or a service refused a fresh one.

    :param status: the HTTP status, or ``None`` where the request could not even be signed.
    :param code: the IMS error, such as ``invalid_client``.
    :param transient: whether asking again may help (throttled, 5xx). Nothing reached the service.
    :param retry_after: seconds that Adobe asks to wait, where it says so.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        transient: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.transient = transient
        self.retry_after = retry_after


_TEXT_LIMIT = 500
_MARK_LIMIT = 100
_TEXT_KEYS = ("errorDescription", "error_description", "detail", "message", "errorMessage", "title")


def api_error(
    purpose: str,
    status: int,
    body: Any,
    headers: Any,
    *,
    confidential: Iterable[str] = (),
    now: datetime | None = None,
) -> AdobeAPIError:
    """Build the typed error for an answer with an error status.

    All shapes are understood that Adobe's gateway and services are known to use: ``error_code`` +
    ``message``; ``errorCode`` + ``errorDescription`` + ``errorId``; the AEP envelope with
    ``error-chain``; problem details; nested ``errors``; ``retryAfterMs``; IMS; plain text or HTML.

    :param body: the parsed JSON where it is JSON, otherwise the text.
    :param headers: the answer's headers.
    :param confidential: values to remove from whatever Adobe said.
    """
    kind = _kind(status)
    confidential = tuple(confidential)
    return kind(
        purpose,
        status=status,
        detail=redacted(_text(body), confidential),
        code=_mark(_code(body), confidential),
        request_id=_mark(_request_id(body, headers), confidential),
        retry_after=_retry_after(body, headers, now or datetime.now(UTC)),
    )


_REDACTED = "[redacted]"
_EMAIL = re.compile(r"[^\s\"'<>()\[\]:,;]+@[^\s\"'<>()\[\]:,;]+\.[^\s\"'<>()\[\]:,;]+")


def redacted(text: str, confidential: Iterable[str]) -> str:
    """Return ``text`` on one printable line, shortened, with every confidential value replaced.

    Adobe may write a value in other letters than it was sent, so capitals make no difference; and where anything
    is confidential, so is every e-mail address.
    """
    values, folded = tuple(confidential), text.casefold()
    # Longest first, or a value that contains another would be replaced in part only.
    found = sorted((value for value in values if value and value.casefold() in folded), key=len, reverse=True)
    if found:
        text = re.sub("|".join(map(re.escape, found)), _REDACTED, text, flags=re.IGNORECASE)
    if values:
        text = _EMAIL.sub(_REDACTED, text)
    text = "".join(character if character.isprintable() else " " for character in text)
    text = " ".join(text.split())
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"


def _mark(value: str | None, confidential: tuple[str, ...]) -> str | None:
    return redacted(value, confidential)[:_MARK_LIMIT] or None if value else None


def _kind(status: int) -> type[AdobeAPIError]:
    if status == 404:
        return AdobeNotFoundError
    if status == 422:
        return AdobeDuplicateError
    if status == 429:
        return AdobeRateLimitError
    if status >= 500 or status == 408:
        return AdobeServerError
    return AdobeAPIError


def _chain(body: dict[str, Any]) -> dict[str, Any]:
    chain = body.get("error-chain")
    return chain[0] if isinstance(chain, list) and chain and isinstance(chain[0], dict) else {}


def _nested(body: dict[str, Any]) -> dict[str, Any]:
    errors = body.get("errors")
    lists = errors.values() if isinstance(errors, dict) else [errors]
    for entries in lists:
        if isinstance(entries, list) and entries and isinstance(entries[0], dict):
            return dict(entries[0])
    return {}


def _text(body: Any) -> str:
    if isinstance(body, dict):
        candidates = [body.get(key) for key in _TEXT_KEYS]
        candidates += [_nested(body).get("message"), _chain(body).get("errorCode"), body.get("error")]
        return next((text for text in candidates if isinstance(text, str) and text.strip()), "")
    if isinstance(body, str):
        if "<html" in body[:_TEXT_LIMIT].lower() or body.lstrip().lower().startswith("<!doctype"):
            return "an HTML page instead of an answer of the API"
        return body
    return ""


def _code(body: Any) -> str | None:
    if not isinstance(body, dict):
        return None
    kind = body.get("type")
    candidates = [
        body.get("errorCode"),
        body.get("error_code"),
        _chain(body).get("errorCode"),
        kind.rstrip("/").rsplit("/", 1)[-1] if isinstance(kind, str) else None,
        body.get("error"),
    ]
    return next((str(code) for code in candidates if isinstance(code, str | int) and code != ""), None)


def _request_id(body: Any, headers: Any) -> str | None:
    candidates = [body.get("errorId"), body.get("requestId")] if isinstance(body, dict) else []
    candidates.append(headers.get("x-request-id"))
    return next((str(found) for found in candidates if isinstance(found, str | int) and found), None)


def _retry_after(body: Any, headers: Any, now: datetime) -> float | None:
    stated = _retry_after_header(headers.get("retry-after"), now)
    if stated is not None:
        return stated
    if isinstance(body, dict):
        try:
            return _finite(float(body["retryAfterMs"]) / 1000)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
    return None


def _retry_after_header(value: str | None, now: datetime) -> float | None:
    if not value:
        return None
    if value.strip().isdecimal():
        return _finite(float(value))
    try:
        return _finite((parsedate_to_datetime(value) - now).total_seconds())
    except (TypeError, ValueError, LookupError, OverflowError):
        return None


def _finite(seconds: float) -> float | None:
    return max(0.0, seconds) if math.isfinite(seconds) else None
