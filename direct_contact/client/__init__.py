"""The Python client: live sessions with neural networks, numpy in and out.

`Client` is asynchronous; `BlockingClient` has the same names for notebooks and scripts.
"""

from direct_contact.client.attached import SessionOptions
from direct_contact.client.blocking import BlockingClient, BlockingSession
from direct_contact.client.client import Client
from direct_contact.client.errors import (
    AnswerTimeout,
    InputFailed,
    SessionClosed,
    SessionGone,
    SessionLost,
    SessionOver,
)
from direct_contact.client.output import Notice, NoticeKind, Output, SessionStats
from direct_contact.client.records import (
    ApiKey,
    Network,
    NetworkVersion,
    Pool,
    SessionInfo,
    Worker,
)
from direct_contact.client.session import Session
from direct_contact.client.training import Training, TrainingProgress

__all__ = [
    "AnswerTimeout",
    "ApiKey",
    "BlockingClient",
    "BlockingSession",
    "Client",
    "InputFailed",
    "Network",
    "NetworkVersion",
    "Notice",
    "NoticeKind",
    "Output",
    "Pool",
    "Session",
    "SessionClosed",
    "SessionGone",
    "SessionInfo",
    "SessionLost",
    "SessionOptions",
    "SessionOver",
    "SessionStats",
    "Training",
    "TrainingProgress",
    "Worker",
]
