"""A real PostgreSQL on a free port, for tests. Missing means failed, never skipped."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

from greffier.testing.ports import free_port

_NUMBERS = count(1)
_SETTINGS = """
listen_addresses = '127.0.0.1'
shared_buffers = 16MB
max_connections = 100
fsync = on
"""


def _binary(name: str) -> str:
    """Debian keeps the server's programs out of the path."""
    folders = [str(folder) for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))
    if found is None:
        raise RuntimeError(f"{name} is not installed; run: apt-get install postgresql")
    return found


class PostgresServer:
    """A cluster of its own in a temporary folder, which tests may kill, freeze, thaw and start again."""

    def __init__(self) -> None:
        # The server refuses to run as root; then it runs as the user that its package made.
        self._as_other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if _is_root() else []
        self._folder = Path(tempfile.mkdtemp(prefix="greffier-postgres-"))
        self.port = free_port()
        if self._as_other:
            user = pwd.getpwnam("postgres")
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        options = ["-A", "trust", "-U", "owner", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._run(_binary("initdb"), "-D", str(self._data), *options)
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write(f"{_SETTINGS}port = {self.port}\nunix_socket_directories = '{self._folder}'\n")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        """Start and wait until it answers."""
        log = self._folder / "log"
        self._run(_binary("pg_ctl"), "-D", str(self._data), "-l", str(log), "-w", "-t", "30", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; ``immediate`` is a crash."""
        if self._pid() is not None:
            self._run(_binary("pg_ctl"), "-D", str(self._data), "-w", "-t", "30", "-m", mode, "stop")

    def pin(self, cpu: str) -> None:
        """Keep it, and what it will start, on one CPU."""
        for thread in Path(f"/proc/{self._pid()}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {int(cpu)})

    def freeze(self) -> None:
        """Stop answering while connections stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stop it and delete everything."""
        self.thaw()
        self.stop("immediate")
        shutil.rmtree(self._folder)

    def url(self, database: str, user: str = "owner") -> str:
        """Where a database is."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def database(self, template: str = "template0") -> str:
        """Make a database, empty or like another, and a user ``gateway``; return the database's name."""
        name = f"test_{next(_NUMBERS)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            names = sql.Identifier(name), sql.Identifier(template)
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'gateway'").fetchone() is None:
                connection.execute("CREATE ROLE gateway LOGIN")
        return name

    def _run(self, *command: str) -> None:
        done = subprocess.run([*self._as_other, *command], capture_output=True, text=True, check=False, cwd="/")
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")

    def _pid(self) -> int | None:
        file = self._data / "postmaster.pid"
        return int(file.read_text().split()[0]) if file.exists() else None

    def _signal(self, number: signal.Signals) -> None:
        postmaster = self._pid()
        if postmaster is None:
            return
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for process in (postmaster, *map(int, children)):
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue


def running_postgres() -> Iterator[PostgresServer]:
    """Body of a fixture: a server that is gone afterwards, whatever the test did to it."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _is_root() -> bool:
    return os.geteuid() == 0
