"""The Airflow connection to Adobe."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import BaseHook, mask_secret

from airflow_provider_adobe_deletion import parameters
from airflow_provider_adobe_deletion.adobe.calls import Flow
from airflow_provider_adobe_deletion.adobe.channel import Channel
from airflow_provider_adobe_deletion.adobe.client import AdobeClient, RetryPolicy
from airflow_provider_adobe_deletion.adobe.config import AdobeConfig
from airflow_provider_adobe_deletion.adobe.errors import AdobeConfigError, AdobeError
from airflow_provider_adobe_deletion.adobe.organisation import check_company, check_sandbox
from airflow_provider_adobe_deletion.connection_form import FIELDS, ui_field_behaviour, widgets

# How long a looked-up connection serves those who come next; a look-up takes the triggerer's supervisor 45 ms.
_CONNECTION_SECONDS = 60.0
_FAILED_CONNECTION_SECONDS = 5.0
_NO_SECRETS = frozenset(field.name for field in FIELDS if not field.secret)


@dataclass
class _SharedClient:
    """A client and how many use it."""

    client: AdobeClient
    users: int = 0


@dataclass
class _SharedChannel:
    """The connections of one credential and how many clients use them."""

    channel: Channel
    clients: int = 0


@dataclass
class _LookedUp:
    """A connection, and when it was looked up."""

    config: asyncio.Future[AdobeConfig]
    at: float

    def serves(self) -> bool:
        failed = self.config.done() and (self.config.cancelled() or self.config.exception() is not None)
        return time.monotonic() - self.at < (_FAILED_CONNECTION_SECONDS if failed else _CONNECTION_SECONDS)


@dataclass
class _Shared:
    """What the users of one event loop share: connections by id, clients by what the connection says, and pools."""

    connections: dict[str, _LookedUp] = field(default_factory=dict)
    clients: dict[AdobeConfig, _SharedClient] = field(default_factory=dict)
    channels: dict[tuple[str, ...], _SharedChannel] = field(default_factory=dict)

    def take(self, config: AdobeConfig) -> AdobeClient:
        """Return the client for ``config``, which the caller must :meth:`leave`."""
        if config not in self.clients:
            held = self.channels.setdefault(
                config.credential_key, _SharedChannel(Channel(config, on_secret=mask_secret))
            )
            held.clients += 1
            self.clients[config] = _SharedClient(AdobeClient(config, on_secret=mask_secret, channel=held.channel))
        shared = self.clients[config]
        shared.users += 1
        return shared.client

    async def leave(self, config: AdobeConfig) -> None:
        """Close what nobody uses any more."""
        shared = self.clients[config]
        shared.users -= 1
        if shared.users:
            return
        del self.clients[config]
        held = self.channels[config.credential_key]
        held.clients -= 1
        if not held.clients:
            del self.channels[config.credential_key]
        await shared.client.aclose()
        if not held.clients:
            await held.channel.aclose()


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()


class AdobeHook(BaseHook):
    """Turns an Airflow connection of type ``adobe`` into a client for Adobe's deletion APIs.

    ``hook.client.send(call)`` sends any call of :mod:`airflow_provider_adobe_deletion.adobe`, and
    ``hook.client.run(flow)`` any flow, such as ``profile.get_job("…")`` and ``profile.list_jobs("azure")``.

    :param adobe_conn_id: the connection. *login* is the client id, *password* the client secret; the
        extras are described in :class:`~airflow_provider_adobe_deletion.adobe.config.AdobeConfig`.
    :raises TypeError: ``adobe_conn_id`` is not a text.
    :raises ValueError: it cannot be the id of a connection.
    """

    conn_name_attr = "adobe_conn_id"
    default_conn_name = "adobe_default"
    conn_type = "adobe"
    hook_name = "Adobe (delete and repair data)"

    def __init__(self, adobe_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.adobe_conn_id = parameters.connection_id(adobe_conn_id)

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's fields for Airflow 2.11; Airflow 3 reads the provider info."""
        return widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form's labels for Airflow 2.11; Airflow 3 reads the provider info."""
        return {name.replace("-", "_"): value for name, value in ui_field_behaviour().items()}

    @cached_property
    def client(self) -> AdobeClient:
        """The client for synchronous use. Close it, or use it in a ``with`` statement.

        :raises AdobeConfigError: the connection holds a value that cannot be right.
        """
        connection = self.get_connection(self.adobe_conn_id)
        return AdobeClient(self._config(connection), on_secret=mask_secret)

    @asynccontextmanager
    async def aclient(self, place: Mapping[str, str] | None = None) -> AsyncIterator[AdobeClient]:
        """Yield a client for use on the running event loop.

        All who use equal connections on the same loop at the same time share one client, which answers their
        polls together; clients of one credential share ten HTTP connections, the token and the pace. Nothing is
        shared between different credentials. When the last user leaves, all is closed. What is looked up of a
        connection serves for a minute; the look-up does not block the loop.

        :param place: organisation, sandbox and company to keep to, whatever the connection says meanwhile; see
            :attr:`~airflow_provider_adobe_deletion.adobe.config.AdobeConfig.place`.
        :raises AdobeConfigError: the connection holds a value that cannot be right.
        """
        shared = _shared.setdefault(asyncio.get_running_loop(), _Shared())
        config = await self._looked_up(shared)
        if place:
            config = replace(config, **place)
        try:
            yield shared.take(config)
        finally:
            await shared.leave(config)

    def forget_connection(self) -> None:
        """Have the connection looked up anew by the next user on this loop, unless that has just been done."""
        connections = _shared.setdefault(asyncio.get_running_loop(), _Shared()).connections
        found = connections.get(self.adobe_conn_id)
        if found is not None and time.monotonic() - found.at > _FAILED_CONNECTION_SECONDS:
            del connections[self.adobe_conn_id]

    async def _looked_up(self, shared: _Shared) -> AdobeConfig:
        found = shared.connections.get(self.adobe_conn_id)
        if found is None or not found.serves():
            found = _LookedUp(asyncio.ensure_future(self._look_up()), time.monotonic())
            shared.connections[self.adobe_conn_id] = found
        # Whoever is cancelled must not take the look-up from the others.
        return await asyncio.shield(found.config)

    async def _look_up(self) -> AdobeConfig:
        connection = await get_async_connection(self.adobe_conn_id)
        # Telling Airflow what to mask may block.
        return await asyncio.to_thread(self._config, connection)

    def test_connection(self) -> tuple[bool, str]:
        """Prove the credentials, and each service that the connection is set up for. Changes nothing.

        Experience Platform is tested where a sandbox is set; Data Repair's company where
        ``global_company_id`` or no sandbox is.

        :return: whether all is well, and one sentence that says what was proved, or what is missing or refused.
        """
        try:
            with self.client as client:
                # Somebody is looking at the form.
                client.policy = RetryPolicy(attempts=2)
                return True, " ".join(client.run(check) for check in _checks(client.config))
        except AdobeError as error:
            return False, str(error)

    def _config(self, connection: Any) -> AdobeConfig:
        try:
            return AdobeConfig.from_connection(connection.login, connection.password, _extra(connection))
        except AdobeConfigError as error:
            raise AdobeConfigError(f"{error} (Connection {self.adobe_conn_id!r}.)") from None


def _extra(connection: Any) -> dict[str, Any]:
    """Return the connection's extra, and have the logs mask what it may hold of secrets.

    Airflow's own ``extra_dejson`` would mask the sandbox and the addresses, too, or warn that they are too short.
    """
    try:
        extra = json.loads(connection.extra or "{}")
    except (ValueError, RecursionError):
        extra = None
    if not isinstance(extra, dict):
        raise AdobeConfigError("The Adobe connection's extra must be a JSON object.")
    hidden = {name: value for name, value in extra.items() if name not in _NO_SECRETS}
    if hidden:
        mask_secret(hidden)
    return extra


def _checks(config: AdobeConfig) -> Iterator[Flow[str]]:
    platform = config.sandbox_name or config.sandbox_id
    if platform:
        yield check_sandbox(config)
    if config.global_company_id or not platform:
        yield check_company(config)
    if not platform:
        yield _no_sandbox()


def _no_sandbox() -> Flow[str]:
    yield from ()
    return "No sandbox_name is set, so calls to Experience Platform will be refused."
