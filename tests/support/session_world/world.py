"""Everything together: who is there, what goes wrong, and how it ends."""

from __future__ import annotations

from direct_contact.session import ClientState
from tests.support.session_world.broker import Broker
from tests.support.session_world.client import Client
from tests.support.session_world.gateway import Gateway
from tests.support.session_world.store import Store
from tests.support.session_world.values import WINDOW_INPUTS
from tests.support.session_world.worker import Worker


class World:
    """Everything together.

    Args:
        stateful: whether the network is.
        hold: `commit_first`: recomputation may differ, and here it does.
    """

    def __init__(self, *, stateful: bool, hold: bool = False) -> None:
        self.stateful = stateful
        self.hold = hold
        self.broker = Broker()
        self.store = Store()
        self.checkpoint_deleted = False
        self.gateways: list[Gateway] = []
        self.workers: list[Worker] = []
        self._workers_made = 0
        self._turn = 0
        for _ in range(3):
            self._new_worker()
        self.client = Client(self)

    # ------------------------------------------------------------ processes

    def _new_worker(self) -> None:
        self._workers_made += 1
        worker = Worker(self, f"worker-{self._workers_made}")
        self.workers.append(worker)
        self.broker.processes[worker.name] = worker

    def new_gateway(self) -> Gateway:
        gateway = Gateway(self, self.store.attach())
        self.gateways.append(gateway)
        self.broker.processes[gateway.name] = gateway
        return gateway

    def choose_worker(self) -> str:
        """The next one in turn: a placement that is no better than chance."""
        self._turn += 1
        return self.workers[self._turn % len(self.workers)].name

    def close_by_gateway(self, gateway: Gateway) -> None:
        """The gateway closes the socket."""
        gateway.closed()
        if self.client.gateway is gateway:
            self.client.cut_off()

    # ------------------------------------------------------------ faults

    def break_link(self) -> None:
        """The client's socket breaks; both ends notice."""
        gateway = self.client.gateway
        if gateway is not None:
            self.client.cut_off()
            gateway.closed()

    def leave_half_open(self) -> None:
        """The client gives its socket up; the gateway does not notice."""
        if self.client.gateway is not None:
            self.client.cut_off()

    def kill_gateway(self) -> None:
        gateway = self.client.gateway
        if gateway is not None:
            gateway.alive = gateway.open = False
            self.client.cut_off()

    def kill_worker(self, index: int) -> None:
        worker = self.workers.pop(index % len(self.workers))
        worker.alive = False
        worker.held = None
        self._new_worker()
        # Its gateways notice: nobody listens there any more.
        for gateway in self.gateways:
            if gateway.worker == worker.name:
                gateway.try_again()

    def delete_checkpoint(self) -> None:
        if self.store.checkpoint is not None:
            self.store.checkpoint = None
            self.checkpoint_deleted = True

    def age_checkpoint(self, number: int) -> None:
        """The store falls back, once, on a replica that missed the newest checkpoints."""
        if self.store.earlier and not self.checkpoint_deleted:
            self.store.checkpoint = self.store.earlier[-1 - number % len(self.store.earlier)]
            self.checkpoint_deleted = True

    # ------------------------------------------------------------ the end

    def heal(self) -> None:
        """No more faults: run until everything is answered and durable.

        Raises:
            AssertionError: it never is.
        """
        for _ in range(400):
            if self._settled():
                return
            self.settle_a_little()
        raise AssertionError(f"stuck: {self.describe()}")

    def settle_a_little(self) -> None:
        """A while without faults."""
        client, broker = self.client, self.broker
        if client.gateway is None:
            client.connect()
        for gateway in self.gateways:
            while gateway.from_client:
                gateway.read()
        for link in broker.links():
            broker.heartbeat(link)
        while busy := broker.busy():
            for link in busy:
                broker.deliver(link)
        for gateway in self.gateways:
            worker = self.broker.processes.get(gateway.worker)
            if (
                gateway.open
                and gateway.alive
                and (gateway.attaching or (worker and not worker.alive))
            ):
                gateway.try_again()
        for worker in self.workers:
            while worker.held is not None and worker.held.queue:
                worker.compute()
            worker.flush()
            worker.checkpoint()
        while client.gateway is not None and client.gateway.to_client:
            client.read()
        client.flush()

    def _settled(self) -> bool:
        machine = self.client.machine
        return (
            len(self.client.answered) == len(self.client.inputs)
            and machine.state is ClientState.OPEN
            and machine.durable_seq == machine.next_seq - 1
            and machine.window_seq >= machine.next_seq - 1 + WINDOW_INPUTS
        )

    def describe(self) -> str:
        """Where everybody stands, for the message of a failed test."""
        machine = self.client.machine
        answered = f"{len(self.client.answered)} of {len(self.client.inputs)}"
        lines = [
            (
                f"client {machine.state} due {machine.due} next {machine.next_seq} durable "
                f"{machine.durable_seq} window {machine.window_seq} answered {answered}"
            )
        ]
        for gateway in self.gateways[-2:]:
            server = gateway.machine
            lines.append(
                f"{gateway.name} open {gateway.open} {server.state} due {server.due} next "
                f"{server.next_seq} epoch {server.epoch} worker {gateway.worker} "
                f"syncing {server.syncing}"
            )
        for worker in self.workers:
            if worker.held is not None:
                held = worker.held
                lines.append(
                    f"{worker.name} epoch {held.epoch} attachment {held.attachment} next "
                    f"{held.machine.next_seq} computed {held.machine.computed_seq} acked "
                    f"{held.machine.acked} checkpoint {held.machine.checkpoint_seq} kept "
                    f"{held.machine.outputs_kept}"
                )
        return "; ".join(lines)
