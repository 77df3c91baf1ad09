"""What a worker needs to serve one immutable network version."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from foundation.errors import InternalError


@dataclass(frozen=True, slots=True)
class Manifest:
    """One network version, as the store keeps it.

    Args:
        tenant: whose it is.
        network: the network's name.
        version: counts from 1.
        backend: the name of the backend's entry point, such as ``numpy``.
        spec: what the backend loads; for ``numpy`` the layer spec.
        weights: SHA-256 of the weights blob in hexadecimal; "": the backend has none.
        stateful: a session has a state beside the weights.
        trainable: a session can train it.
    """

    tenant: str
    network: str
    version: int
    backend: str
    spec: dict[str, Any] = field(hash=False)
    weights: str = ""
    stateful: bool = False
    trainable: bool = False

    @property
    def key(self) -> str:
        """``tenant.network.version``; none of the first two contains a dot."""
        return f"{self.tenant}.{self.network}.{self.version}"

    def to_json(self) -> bytes:
        """As JSON; `from_json` gives an equal one."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> Manifest:
        """The manifest of `to_json`.

        Raises:
            InternalError: it is not one: what stored it was not us, or a newer version of us.
        """
        try:
            return cls(**json.loads(data))
        except (TypeError, ValueError) as error:
            raise InternalError(f"a stored manifest does not parse: {error}") from error
