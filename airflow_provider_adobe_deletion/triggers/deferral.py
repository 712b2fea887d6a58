"""What the triggers share."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import time
from typing import TYPE_CHECKING

from airflow_provider_adobe_deletion import options

if TYPE_CHECKING:
    from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook

log = logging.getLogger(__name__)

_HOOK_MODULE = "airflow_provider_adobe_deletion.hooks.adobe"


async def dwell(started: float) -> None:
    """Return once the minimum deferral (option ``[adobe_deletion] minimum_deferral``) has passed.

    Airflow 3.3 can fail a task by mistake whose trigger fires within seconds of the deferral.

    :param started: when the trigger began to run, by the monotonic clock.
    """
    try:
        least = options.minimum_deferral()
    except ValueError as error:
        # The task has checked the worker's; the triggerer's may be another, and is not worth losing a wait for.
        log.warning("%s Taking %.0f.", error, options.MINIMUM_DEFERRAL)
        least = options.MINIMUM_DEFERRAL
    await asyncio.sleep(max(0.0, started + least - time.monotonic()))


async def hook_for(adobe_conn_id: str) -> AdobeHook:
    """Return a connection's hook, without blocking the event loop by its import."""
    if _HOOK_MODULE not in sys.modules:
        # It takes a good part of a second.
        await asyncio.to_thread(importlib.import_module, _HOOK_MODULE)
    from airflow_provider_adobe_deletion.hooks.adobe import AdobeHook

    return AdobeHook(adobe_conn_id)
