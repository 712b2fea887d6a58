"""Adobe IMS: access tokens for OAuth server-to-server and for the legacy service account (JWT).

Follows "Server to Server authentication: IMS" and, for the JWT, the removed "Service Account (JWT)
Authentication" pages of the Adobe Developer Console. Each grant has its own credential, as in the
console.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message

from airflow_provider_adobe_deletion.simulator import refusals
from airflow_provider_adobe_deletion.simulator.exchange import Exchange
from airflow_provider_adobe_deletion.simulator.state import State

IMS_HOST = "https://ims-na1.adobelogin.com"
OAUTH_CLIENT_ID = "c0ffee5im0auth0000000000000000a1"
JWT_CLIENT_ID = "c0ffee5imjwt00000000000000000b2"
CLIENT_SECRET = "p8e-simulator-not-a-real-secret"
TECHNICAL_ACCOUNT_ID = "51MU1A70R@techacct.adobe.com"


@cache
def private_key() -> rsa.RSAPrivateKey:
    """The key of the service account; one per process, because making one is slow."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_key_pem() -> str:
    """The private key as a connection holds it."""
    return (
        private_key()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode("ascii")
    )


@dataclass(frozen=True, slots=True)
class Token:
    """An access token given out: to whom, until when, and (JWT only) for which services."""

    client_id: str
    expires: float
    metascopes: frozenset[str] | None


class Ims:
    """Gives out tokens and remembers them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._tokens: dict[str, Token] = {}
        self._secret = CLIENT_SECRET

    @property
    def secret(self) -> str:
        """The client secret of both credentials."""
        return self._secret

    def rotate_secret(self, new: str) -> None:
        """Replace the client secret; tokens already issued live on."""
        self._secret = new

    def revoke_tokens(self) -> None:
        """Make every token issued so far invalid."""
        self._tokens.clear()

    def reset(self) -> None:
        """Restore the secret. Tokens stay valid: a fresh Adobe does not sign its clients out."""
        self._secret = CLIENT_SECRET

    def is_client(self, client_id: str) -> bool:
        """Whether a credential has this client id."""
        return client_id in (OAUTH_CLIENT_ID, JWT_CLIENT_ID)

    def token(self, value: str) -> Token | None:
        """The token behind a bearer value, unless unknown, revoked or expired."""
        token = self._tokens.get(value)
        if token is None or token.expires <= self._state.clock.now():
            return None
        return token

    async def oauth(self, exchange: Exchange) -> Response:
        """``POST /ims/token/v3``."""
        form = await _parameters(exchange)
        if form.get("grant_type") != "client_credentials":
            raise refusals.ims(400, "unsupported_grant_type", "grant_type must be client_credentials")
        self._check_client(form, OAUTH_CLIENT_ID)
        granted = self._state.settings.scopes
        asked = [scope for scope in form.get("scope", "").split(",") if scope]
        if not asked or not set(asked) <= set(granted):
            raise refusals.ims(400, "invalid_scope", "The requested scope is not granted or is missing")
        lifetime = self._state.settings.token_lifetime
        return JSONResponse(
            {
                "access_token": self._issue(OAUTH_CLIENT_ID, None),
                "token_type": "bearer",
                "expires_in": int(lifetime),
            }
        )

    async def exchange_jwt(self, exchange: Exchange) -> Response:
        """``POST /ims/exchange/jwt``: a signed JWT for an access token, lifetime in ms."""
        form = await _parameters(exchange)
        self._state.secrets.add(form.get("jwt_token", ""))
        claims = self._verified_claims(form, exchange.base_url)
        metascopes = self._metascopes(claims, exchange.base_url)
        lifetime = self._state.settings.token_lifetime
        return JSONResponse(
            {
                "token_type": "bearer",
                "access_token": self._issue(JWT_CLIENT_ID, metascopes),
                "expires_in": int(lifetime * 1000),
            }
        )

    def _issue(self, client_id: str, metascopes: frozenset[str] | None) -> str:
        value = secrets.token_urlsafe(96)
        expires = self._state.clock.now() + self._state.settings.token_lifetime
        self._tokens[value] = Token(client_id, expires, metascopes)
        self._state.secrets.add(value)
        return value

    def _check_client(self, form: Mapping[str, str], expected: str) -> None:
        client_id = form.get("client_id", "")
        if not self.is_client(client_id):
            raise refusals.ims(400, "invalid_client", "invalid client_id parameter")
        if client_id != expected:
            raise refusals.ims(401, "invalid_client", "The client may not use this grant")
        if not secrets.compare_digest(form.get("client_secret", "").encode(), self._secret.encode()):
            raise refusals.ims(401, "invalid_client", "invalid client_secret parameter")

    def _verified_claims(self, form: Mapping[str, str], base_url: str) -> dict[str, Any]:
        encoded = form.get("jwt_token", "")
        try:
            unverified = jwt.api_jws.decode_complete(encoded, options={"verify_signature": False})
            claims = json.loads(unverified["payload"])
        except (jwt.PyJWTError, ValueError):
            claims = None
        if not isinstance(claims, dict):
            raise refusals.ims(400, "invalid_token", "Could not decode the JWT")
        self._check_client(form, JWT_CLIENT_ID)
        audiences = {f"{host}/c/{JWT_CLIENT_ID}" for host in (IMS_HOST, base_url)}
        if claims.get("aud") not in audiences:
            raise refusals.ims(400, "invalid_client", "The JWT audience is not this client")
        try:
            jwt.api_jws.decode_complete(encoded, private_key().public_key(), algorithms=["RS256"])
        except jwt.PyJWTError:
            raise refusals.ims(400, "invalid_signature", "No registered certificate matches") from None
        for name in ("exp", "jti"):
            if type(claims.get(name, 0)) is not int:
                raise refusals.ims(400, "invalid_token", f"{name} must be an integer")
        if claims.get("exp", 0) <= self._state.clock.now():
            raise refusals.ims(400, "invalid_token", "The JWT has expired")
        if claims.get("iss") != self._state.settings.org_id:
            raise refusals.ims(400, "bad_request", "iss is not this organization")
        if claims.get("sub") != TECHNICAL_ACCOUNT_ID:
            raise refusals.ims(400, "bad_request", "sub is not this technical account")
        return claims

    def _metascopes(self, claims: Mapping[str, Any], base_url: str) -> frozenset[str]:
        prefixes = (f"{IMS_HOST}/s/", f"{base_url}/s/")
        asked = {
            name.removeprefix(prefix)
            for name, value in claims.items()
            for prefix in prefixes
            if name.startswith(prefix) and value is True
        }
        if not asked or not asked <= set(self._state.settings.metascopes):
            raise refusals.ims(
                400,
                "invalid_scope",
                "The metascopes in the JWT are not a subset of the granted ones",
            )
        return frozenset(asked)


async def _parameters(exchange: Exchange) -> dict[str, str]:
    """Form and query parameters; Adobe accepts both places."""

    async def receive() -> Message:
        return {"type": "http.request", "body": exchange.body, "more_body": False}

    form: FormData = await Request(exchange.scope, receive).form()
    texts = {name: value for name, value in form.items() if isinstance(value, str)}
    return {**exchange.query, **texts}
