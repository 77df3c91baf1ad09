"""The worker's end of a session, without I/O: order, credits, retention and durability."""

from ann_workers.session.machine import Accepted, Attachment, OutputT, WorkerMachine

__all__ = ["Accepted", "Attachment", "OutputT", "WorkerMachine"]
