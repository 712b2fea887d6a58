"""``python -m airflow_provider_adobe_deletion.simulator``: the simulator in the foreground."""

from __future__ import annotations

import argparse
import shlex
import signal
import threading

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
    with AdobeSimulator(
        host=options.host, port=options.port, speed=options.speed, profile_shape=options.shape
    ) as simulator:
        connection = shlex.quote(simulator.connection_json(auth=options.auth))
        print(f"Adobe simulator at {simulator.url}", flush=True)
        print(f"export AIRFLOW_CONN_ADOBE_DEFAULT={connection}", flush=True)
        done.wait()


if __name__ == "__main__":
    main()
