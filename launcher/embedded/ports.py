"""TCP ports of this machine: which are free, which are taken."""

from __future__ import annotations

import errno
import random
import socket

LOOPBACK = "127.0.0.1"

_OUR_RANGE = range(20_000, 30_000)
"""Below Linux's ephemeral range (32768 and up): an outgoing connection cannot take the port while
the process that owns it restarts."""

_source = random.SystemRandom()


def in_use(host: str, port: int) -> bool:
    """True when `host:port` cannot be listened on.

    Raises:
        OSError: `host` is not an address of this machine, or the port needs rights that we lack.
    """
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise
    return False


def free_port(host: str = LOOPBACK, *, taken: frozenset[int] = frozenset()) -> int:
    """A port of `host` that nobody listens on now and that is not in `taken`.

    Nothing reserves it: whoever asked should listen on it soon.

    Raises:
        OSError: `host` is not an address of this machine, or all ports that were tried are taken.
    """
    for port in _source.sample(_OUR_RANGE, 200):
        if port not in taken and not in_use(host, port):
            return port
    raise OSError(f"no free port on {host} among 200 of {_OUR_RANGE.start}-{_OUR_RANGE.stop - 1}")
