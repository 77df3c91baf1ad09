"""A real PostgreSQL for tests, from the programs that Debian's package installs."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.support.requirements import missing, program
from tests.support.servers import Server

INSTALL = "apt-get install postgresql"
USER = "direct_contact"


class PostgresServer(Server):
    """PostgreSQL on 127.0.0.1 with one superuser, in a temporary directory of its own.

    It must not run as root: started by root, it runs as the user that the package makes.
    """

    kind = "postgres"

    def __init__(self) -> None:
        self._programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
        self._binary = self._find("postgres")
        self._account = _account()
        # Not below pytest's directory: that is closed to other users.
        super().__init__(Path(tempfile.mkdtemp(prefix="dc-postgres-")))
        self._password = secrets.token_hex(16)
        if self._account is not None:
            os.chown(self.directory, self._account.pw_uid, self._account.pw_gid)
        try:
            self._initialise()
        except BaseException:
            shutil.rmtree(self.directory)
            raise

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://{USER}:{self._password}@127.0.0.1:{self.port}/postgres"

    def stop(self) -> None:
        """End it without waiting for its clients, and remove its data."""
        self._end(signal.SIGINT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _find(self, name: str) -> str:
        return program(name, install=INSTALL, folders=self._programs)

    def _as_account(self) -> list[str]:
        if self._account is None:
            return []
        user, group = str(self._account.pw_uid), str(self._account.pw_gid)
        setpriv = program("setpriv", install="apt-get install util-linux")
        return [setpriv, "--reuid", user, "--regid", group, "--clear-groups"]

    def _initialise(self) -> None:
        secret = self.directory / "password"
        secret.write_text(self._password)
        if self._account is not None:
            os.chown(secret, self._account.pw_uid, self._account.pw_gid)
        done = subprocess.run(
            [
                *self._as_account(), self._find("initdb"), "--pgdata", str(self.directory / "data"),
                "--username", USER, "--pwfile", str(secret), "--auth", "scram-sha-256",
                "--encoding", "UTF8", "--locale", "C", "--no-sync",
            ],
            cwd=self.directory, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        secret.unlink()
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def _command(self, port: int) -> list[str]:
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        return [
            *self._as_account(), self._binary, "-D", str(self.directory / "data"), "-p", str(port),
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        ]  # fmt: skip

    def _greets(self, port: int) -> bool:
        asked = [self._find("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        return subprocess.run(asked, check=False, timeout=10).returncode == 0


def _account() -> pwd.struct_passwd | None:
    """The user to run as; None: the one who runs the tests."""
    if os.geteuid() != 0:
        return None
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in accounts:
            return accounts[name]
    return missing("a user that PostgreSQL can run as", install=INSTALL)
