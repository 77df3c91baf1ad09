"""The broker, and what it does to messages."""

from __future__ import annotations

from tests.support.session_world.values import Message


class Process:
    """Whatever has an inbox on the broker."""

    name: str
    alive = True

    def receive(self, peer: str, message: Message) -> None:
        raise NotImplementedError

    def gap(self, peer: str) -> None:
        raise NotImplementedError


class Broker:
    """Numbered links that lose, repeat and reorder."""

    def __init__(self) -> None:
        self.processes: dict[str, Process] = {}
        self.queues: dict[tuple[str, str], list[tuple[int, Message | None]]] = {}
        self._sent: dict[tuple[str, str], int] = {}
        self._received: dict[tuple[str, str], int] = {}

    def send(self, source: str, target: str, message: Message) -> None:
        link = (source, target)
        self._sent[link] = self._sent.get(link, 0) + 1
        self.queues.setdefault(link, []).append((self._sent[link], message))

    def heartbeat(self, link: tuple[str, str]) -> None:
        if self.processes[link[0]].alive:
            self.queues.setdefault(link, []).append((self._sent.get(link, 0), None))

    def links(self) -> list[tuple[str, str]]:
        """Every link that was ever used, oldest first."""
        return list(self._sent)

    def busy(self) -> list[tuple[str, str]]:
        """Every link with something on it."""
        return [link for link, queue in self.queues.items() if queue]

    def deliver(self, link: tuple[str, str], index: int = 0) -> None:
        queue = self.queues[link]
        number, message = queue.pop(index % len(queue))
        target = self.processes[link[1]]
        if not target.alive:
            return
        expected = self._received.get(link, 0) + (0 if message is None else 1)
        self._received[link] = number
        if message is not None:
            target.receive(link[0], message)
        if number != expected:
            target.gap(link[0])

    def lose(self, link: tuple[str, str], index: int) -> None:
        queue = self.queues[link]
        queue.pop(index % len(queue))

    def repeat(self, link: tuple[str, str], index: int) -> None:
        queue = self.queues[link]
        queue.append(queue[index % len(queue)])
