"""``python -m airflow_provider_adobe_deletion.simulator``: the simulator in the foreground."""

from __future__ import annotations

import argparse
import shlex
import signal
import threading
from contextlib import ExitStack

from airflow_provider_adobe_deletion.simulator.server import AdobeSimulator


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_adobe_deletion.simulator",
        description="A local Adobe: IMS, Data Repair, Data Hygiene, Profile system jobs.",
    )
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster jobs run")
    parser.add_argument(
        "--shape",
        choices=("azure", "aws", "unified"),
        default="azure",
        help="generation of the Profile system jobs API (default: %(default)s)",
    )
    parser.add_argument("--auth", choices=("oauth", "jwt"), default="oauth", help="of the printed connection")
    options = parser.parse_args()
    if options.speed <= 0:
        parser.error("--speed must be positive")

    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    simulator = AdobeSimulator(host=options.host, port=options.port, speed=options.speed, profile_shape=options.shape)
    with ExitStack() as running:
        try:
            running.enter_context(simulator)
        except (OSError, OverflowError) as error:
            parser.error(f"cannot listen on {options.host}, port {options.port}: {error}")
        fitting: dict[str, str] = {"auth": options.auth}
        if options.shape == "aws":
            fitting |= {"cloud": "aws", "sandbox_id": _sandbox_id(simulator)}
        connection = shlex.quote(simulator.connection_json(**fitting))
        print(f"Adobe simulator at {simulator.url}", flush=True)
        print(f"export AIRFLOW_CONN_ADOBE_DEFAULT={connection}", flush=True)
        done.wait()


def _sandbox_id(simulator: AdobeSimulator) -> str:
    """Return the id of the sandbox that connections name."""
    name = simulator.connection_extra()["sandbox_name"]
    return next(sandbox.id for sandbox in simulator.settings.sandboxes if sandbox.name == name)


if __name__ == "__main__":
    main()
