"""The data directory: one launcher at a time, and where everything lies in it."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from launcher.supervisor.failures import DataDirLocked, DataDirUnusable

MOST_WORKERS = 256
"""As many as `up` and `scale` take."""
_KEY_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


class DataDir:
    """The files of one stack. Use it as a context manager: it is locked inside.

    Raises:
        DataDirLocked: another launcher runs on it.
        DataDirUnusable: it cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.nats = self.path / "nats"
        self.redis = self.path / "redis"
        self.records = self.path / "records.db"
        self.run = self.path / "run"
        self.ready_file = self.path / "ready.json"
        self._key_file = self.path / "api_key"
        self._workers_file = self.path / "workers"
        self._lock: int | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            self._hold(lock)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    @property
    def _lock_file(self) -> Path:
        return self.path / "lock"

    def _hold(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataDirLocked(
                f"--data-dir {self.path} is in use by the launcher with pid {_pid_in(lock)}: stop "
                f"that one (direct-contact down --data-dir {self.path}), or choose another",
                field="data_dir",
            ) from error
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            for folder in (self.nats, self.redis, self.run):
                folder.mkdir(exist_ok=True)
            # What a killed launcher left tells of processes that are gone.
            for stale in (self.ready_file, *self.run.iterdir()):
                stale.unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from error

    def api_key(self) -> tuple[str, bool]:
        """The admin key's text, and True when it was made just now.

        Raises:
            DataDirUnusable: the key file cannot be read or written, or it is gone while the
                records, which know only its hash, are there.
        """
        try:
            if self._key_file.exists():
                return self._key_file.read_text().strip(), False
            if self.records.exists():
                raise DataDirUnusable(
                    f"--data-dir {self.path} has records but no {self._key_file.name}: put the "
                    "admin key, as it was shown at the first start, into that file, give it by "
                    "DC_REST_ADMIN_KEY, or choose another directory",
                    field="data_dir",
                )
            name = "".join(secrets.choice(_KEY_ALPHABET) for _ in range(8))
            key = f"dck_{name}_{secrets.token_urlsafe(32)}"
            write_privately(self._key_file, key + "\n")
        except OSError as error:
            raise self._unusable(error) from error
        return key, True

    def last_workers(self) -> int | None:
        """How many workers `remember_workers` was told last; None: it was not, or not sensibly."""
        try:
            count = int(self._workers_file.read_text())
        except (OSError, ValueError):
            return None
        return count if 0 <= count <= MOST_WORKERS else None

    def remember_workers(self, count: int) -> None:
        """Write down how many workers there are, for the next start.

        Raises:
            OSError: it cannot be written.
        """
        write_privately(self._workers_file, f"{count}\n")

    def _unusable(self, error: OSError) -> DataDirUnusable:
        return DataDirUnusable(
            f"--data-dir {self.path} cannot be used: {error.strerror or error} "
            f"({error.filename or self.path}); choose a directory that you can write to",
            field="data_dir",
        )


def launcher_of(path: Path) -> int | None:
    """The pid of the launcher that runs on the data directory `path`; None when none does."""
    try:
        lock = os.open(path / "lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = _pid_in(lock)
        return int(pid) if pid.isdigit() else None
    finally:
        os.close(lock)
    return None


def write_privately(path: Path, text: str) -> None:
    """Replace `path` at once by a file that only its owner may read: readers see old or new.

    Raises:
        OSError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    draft.replace(path)


def _pid_in(lock: int) -> str:
    return os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
