"""A PostgreSQL server of the tests' own: found on the machine, or installed; started, and stopped.

``python tests/real_airflow/postgres.py`` makes sure that there is one, and says which.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_NEEDED = ("initdb", "postgres", "pg_isready")
_DEBIAN = Path("/usr/lib/postgresql")
_NO_CLUSTER = Path("/etc/postgresql-common/createcluster.conf")
_USER = "airflow"


class PostgresMissing(RuntimeError):
    """There is no PostgreSQL server here, and none can be installed."""


class LocalPostgres:
    """A server with an empty cluster on a free port of the loopback interface, for as long as the context lasts.

    It logs every statement that changes data, with the values, so that what was stored only for a while can be
    found too.
    """

    def __init__(self) -> None:
        self._binaries = binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._port = _free_port()
        self._password = secrets.token_hex(16)
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._folder / "server.log"

    def url(self, database: str = "postgres") -> str:
        """The address of a database, as SQLAlchemy writes it."""
        return f"postgresql+psycopg2://{_USER}:{self._password}@127.0.0.1:{self._port}/{database}"

    def __enter__(self) -> Self:
        try:
            self._make_cluster()
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _make_cluster(self) -> None:
        password = self._folder / "password"
        password.write_text(self._password)
        for path in (self._folder, password):
            _give_away(path)
        done = subprocess.run(
            [
                self._binaries / "initdb",
                f"--pgdata={self._folder / 'data'}",
                f"--username={_USER}",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            cwd=self._folder,
            check=False,
            capture_output=True,
            text=True,
            **_unprivileged(),
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}\n{done.stderr}")

    def _start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": "",
            "max_connections": "200",
            # Nothing here outlives the tests.
            "fsync": "off",
            "log_statement": "mod",
            "log_line_prefix": LOG_PREFIX,
        }
        with self.log.open("wb") as log:
            self._server = subprocess.Popen(
                [
                    self._binaries / "postgres",
                    *("-D", str(self._folder / "data")),
                    *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
                ],
                cwd=self._folder,
                start_new_session=True,
                stdout=log,
                stderr=subprocess.STDOUT,
                **_unprivileged(),
            )
        end = time.monotonic() + 30
        while subprocess.run(
            [self._binaries / "pg_isready", "--quiet", "--host=127.0.0.1", f"--port={self._port}"], check=False
        ).returncode:
            if self._server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)

    def _stop(self) -> None:
        if self._server is not None and self._server.poll() is None:
            # A fast shutdown, which does not wait for clients.
            self._server.send_signal(signal.SIGINT)
            try:
                self._server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._server.pid, signal.SIGKILL)
                self._server.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


LOG_PREFIX = "%m [%p] "
"""How each entry of the server's log begins; further lines of an entry begin with a tab."""


def binaries() -> Path:
    """Return the folder of the server's programs, installing them if need be.

    :raises PostgresMissing: there are none, and none can be installed here.
    """
    found = _find()
    if found is None:
        _install()
        found = _find()
    if found is None:
        raise PostgresMissing("PostgreSQL was installed, and still cannot be found.")
    return found


def _find() -> Path | None:
    folders: list[Path] = []
    if postgres := shutil.which("postgres"):
        folders.append(Path(postgres).resolve().parent)
    if config := shutil.which("pg_config"):
        done = subprocess.run([config, "--bindir"], check=False, capture_output=True, text=True)
        folders.append(Path(done.stdout.strip()))
    # Debian keeps the server's programs out of the PATH, by version.
    folders.extend(sorted(_DEBIAN.glob("*/bin"), key=_version, reverse=True))
    return next((folder for folder in folders if all((folder / name).exists() for name in _NEEDED)), None)


def _version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0


def _install() -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise PostgresMissing(
            "There is no PostgreSQL server on this machine, and only root on Debian can install one here: "
            "install PostgreSQL, so that its programs are in the PATH."
        )
    if not _NO_CLUSTER.exists():
        # Debian would make and start a cluster of its own.
        _NO_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
        _NO_CLUSTER.write_text("create_main_cluster = false\n")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    keep = ["-o", "Dpkg::Options::=--force-confold"]
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *keep, "postgresql"]):
        done = subprocess.run(
            ["apt-get", "--quiet", *arguments], env=environment, check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise PostgresMissing(f"apt-get {arguments[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def _unprivileged() -> dict[str, Any]:
    """Return what makes a subprocess run as somebody else than root, as whom PostgreSQL refuses to run."""
    if os.geteuid() != 0:
        return {}
    account = _account()
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _give_away(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, _account().pw_uid, _account().pw_gid)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    with LocalPostgres() as server:
        print(f"PostgreSQL of {binaries()} answers at {server.url().rpartition('@')[2]}.")
