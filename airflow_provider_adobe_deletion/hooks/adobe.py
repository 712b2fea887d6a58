"""The Airflow connection to Adobe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import BaseHook, mask_secret

from airflow_provider_adobe_deletion.adobe.calls import Flow
from airflow_provider_adobe_deletion.adobe.client import AdobeClient, RetryPolicy
from airflow_provider_adobe_deletion.adobe.config import AdobeConfig
from airflow_provider_adobe_deletion.adobe.errors import AdobeConfigError, AdobeError
from airflow_provider_adobe_deletion.adobe.organisation import check_company, check_sandbox
from airflow_provider_adobe_deletion.connection_form import ui_field_behaviour, widgets


@dataclass
class _SharedClient:
    """A client and how many use it."""

    opening: asyncio.Future[AdobeClient]
    users: int = 0

    async def close(self) -> None:
        if not self.opening.done():
            self.opening.cancel()
        elif self.opening.exception() is None:
            await self.opening.result().aclose()


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _SharedClient]] = WeakKeyDictionary()


class AdobeHook(BaseHook):
    """Turns an Airflow connection of type ``adobe`` into a client for Adobe's deletion APIs.

    ``hook.client.send(call)`` sends any call of :mod:`airflow_provider_adobe_deletion.adobe`, and
    ``hook.client.run(flow)`` any flow, such as ``profile.get_job("…")`` and ``profile.list_jobs("azure")``.

    :param adobe_conn_id: the connection. *login* is the client id, *password* the client secret; the
        extras are described in :class:`~airflow_provider_adobe_deletion.adobe.config.AdobeConfig`.
    """

    conn_name_attr = "adobe_conn_id"
    default_conn_name = "adobe_default"
    conn_type = "adobe"
    hook_name = "Adobe (delete and repair data)"

    def __init__(self, adobe_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.adobe_conn_id = adobe_conn_id

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
        return self._client(connection, connection.extra_dejson)

    @asynccontextmanager
    async def aclient(self) -> AsyncIterator[AdobeClient]:
        """Yield a client for use on the running event loop.

        All who use the same connection on the same loop at the same time share one client, so the connection
        is looked up once, without blocking the loop, and closed when the last one leaves.

        :raises AdobeConfigError: the connection holds a value that cannot be right.
        """
        clients = _clients.setdefault(asyncio.get_running_loop(), {})
        shared = clients.get(self.adobe_conn_id)
        if shared is None:
            shared = clients[self.adobe_conn_id] = _SharedClient(asyncio.ensure_future(self._open()))
        shared.users += 1
        try:
            # Whoever is cancelled must not take the look-up from the others.
            yield await asyncio.shield(shared.opening)
        finally:
            shared.users -= 1
            if not shared.users:
                del clients[self.adobe_conn_id]
                await shared.close()

    async def _open(self) -> AdobeClient:
        connection = await get_async_connection(self.adobe_conn_id)
        return self._client(connection, await get_async_extra_dejson(connection))

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

    def _client(self, connection: Any, extra: Any) -> AdobeClient:
        if not isinstance(extra, dict):
            raise AdobeConfigError("The Adobe connection's extra must be a JSON object.")
        try:
            config = AdobeConfig.from_connection(connection.login, connection.password, extra)
        except AdobeConfigError as error:
            raise AdobeConfigError(f"{error} (Connection {self.adobe_conn_id!r}.)") from None
        return AdobeClient(config, on_secret=mask_secret)


def _checks(config: AdobeConfig) -> Iterator[Flow[str]]:
    platform = config.sandbox_name or config.sandbox_id
    if platform:
        yield check_sandbox(config)
    if config.global_company_id or not platform:
        yield check_company(config)
