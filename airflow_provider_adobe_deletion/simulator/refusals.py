"""The shapes in which Adobe says no.

Adobe documents no single error body: each product has its own, and a client has to cope with all
of them. The numbers E1 to E7 are ours.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping

from starlette.responses import HTMLResponse, JSONResponse, Response

UNDOCUMENTED = "SIMULATOR-0000"
"""Stands where Adobe surely has an error code, but documents none."""


class Refusal(Exception):
    """Raised by a service to answer with an error."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def gateway(status: int, code: str, message: str) -> Refusal:
    """E1, the Adobe I/O gateway, and Data Hygiene."""
    return Refusal(JSONResponse({"error_code": code, "message": message}, status))


def analytics(status: int, code: str, description: str) -> Refusal:
    """E2, ``ExceptionModel`` of the Data Repair API."""
    return Refusal(
        JSONResponse(
            {
                "errorCode": code,
                "errorDescription": description,
                "errorId": str(uuid.uuid4()),
            },
            status,
        )
    )


def platform(
    status: int,
    title: str,
    *,
    code: str | None = None,
    org_id: str,
    client_id: str,
    sandbox: str | None = None,
    sandbox_id: str | None = None,
) -> Refusal:
    """E3, the Experience Platform envelope (Data Hygiene API, ``ttlErrorResponse400``)."""
    code = code or f"{UNDOCUMENTED}-{status}"
    return Refusal(
        JSONResponse(
            {
                "type": f"http://ns.adobe.com/aep/errors/{code}",
                "title": title,
                "status": status,
                "report": {
                    "tenantInfo": {
                        "sandboxName": sandbox or "not-applicable",
                        "sandboxId": sandbox_id or "not-applicable",
                        "imsOrgId": org_id,
                    },
                    "additionalContext": {"Invoking Client ID": client_id},
                },
                "error-chain": [
                    {
                        "serviceId": code.split("-")[0],
                        "errorCode": code,
                        "invokingServiceId": "simulator",
                        "unixTimeStampMs": int(time.time() * 1000),
                    }
                ],
            },
            status,
        )
    )


def problem(status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> Refusal:
    """E4, the problem form of Experience Platform's troubleshooting guide."""
    return Refusal(
        JSONResponse(
            {
                "type": "/placeholder/type/uri",
                "status": status,
                "title": title,
                "detail": detail,
            },
            status,
            headers=dict(headers or {}),
        )
    )


def system_job(status: int, message: str, *, nested_code: str | None = None) -> Refusal:
    """E5, Profile system jobs. Its nested code is not the HTTP status."""
    error = {"code": nested_code or str(status), "message": message}
    return Refusal(JSONResponse({"requestId": str(uuid.uuid4()), "errors": {str(status): [error]}}, status))


def ims(status: int, error: str, description: str) -> Refusal:
    """E7, Adobe IMS."""
    return Refusal(JSONResponse({"error": error, "error_description": description}, status))


def no_such_route() -> Refusal:
    """The gateway's answer to a path or verb it has no route for is a web page."""
    return Refusal(
        HTMLResponse(
            "<html>\n<head><title>404 Not Found</title></head>\n"
            "<body>\n<center><h1>404 Not Found</h1></center>\n"
            "<hr><center>openresty</center>\n</body>\n</html>\n",
            404,
        )
    )
