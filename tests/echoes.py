"""Answers of Adobe's that repeat what they were sent, in all shapes that Adobe's errors are known to have."""

from __future__ import annotations

from typing import Any

from airflow_provider_adobe_deletion.simulator import Fault

_ALL = "{body} {query} {authorization}"
_ENVELOPE = {
    "type": "http://ns.adobe.com/aep/errors/{body}",
    "title": "{body}",
    "status": 400,
    "report": {"tenantInfo": {"sandboxName": "{body}"}, "additionalContext": {"detail": "{query}"}},
    "error-chain": [{"serviceId": "HYGN", "errorCode": "{body}", "unixTimeStampMs": 1}],
}
_SHAPES: dict[str, dict[str, Any]] = {
    "gateway": {"status": 403, "body": {"error_code": "403025", "message": "{authorization}, {query}: {body}"}},
    "gateway code": {"status": 403, "body": {"error_code": "{body}", "message": _ALL}},
    "analytics": {"status": 400, "body": {"errorCode": "bad", "errorDescription": "{body}", "errorId": "{body}"}},
    "analytics query": {"status": 400, "body": {"errorCode": "{query}", "errorDescription": "{query}"}},
    "analytics token": {"status": 400, "body": {"errorCode": "x", "errorDescription": "{authorization}"}},
    "platform": {"status": 400, "body": _ENVELOPE},
    "problem": {"status": 409, "body": {"type": "/{body}", "title": "{authorization}", "detail": "{body}"}},
    "system job": {"status": 422, "body": {"requestId": "{body}", "errors": {"422": [{"code": 1, "message": _ALL}]}}},
    "errors": {"status": 400, "body": {"errors": [{"message": "{body}", "detail": "{body}"}], "error": "{body}"}},
    "list": {"status": 400, "body": ["{body}", "{authorization}"]},
    "text": {"status": 400, "body": _ALL, "content_type": "text/plain"},
    "page": {"status": 404, "body": f"<html><title>{_ALL}</title></html>", "content_type": "text/html"},
    "failing": {"status": 500, "body": {"message": _ALL}},
    "failing page": {"status": 502, "body": f"<h1>{_ALL}</h1>", "content_type": "text/html"},
    "unauthorised": {"status": 401, "body": {"error_code": "401013", "message": _ALL, "errorCode": "{authorization}"}},
    "moved": {"status": 302, "headers": {"location": "/elsewhere?{query}&{authorization}"}, "body": _ALL},
    "busy": {"status": 429, "headers": {"retry-after": "3600"}, "body": {"message": _ALL, "error_code": "{body}"}},
    "success": {"status": 200, "body": {"id": ["{body}"], "workorderId": {"at": "{query}"}, "message": _ALL}},
    "no JSON": {"status": 200, "body": _ALL},
}
NAMES = tuple(_SHAPES)


def echo(name: str, method: str, path: str, *, times: int | None = None, **more: Any) -> Fault:
    """Return the fault that makes Adobe answer in one of the shapes, always unless told otherwise.

    :param name: the shape, one of ``NAMES``.
    """
    return Fault(method=method, path=path, times=times, echo=True, **_SHAPES[name], **more)
