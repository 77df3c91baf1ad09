"""An ANN worker whose checkpoints cost nothing: what is computed counts as durable at once.

Only to measure what checkpoints cost. Switching them off by settings instead would let the inputs
pile up in the gateway, which costs more than the checkpoints do.
"""

from __future__ import annotations

from ann_workers.hosting.checkpoints import Checkpointer
from ann_workers.hosting.session import HeldSession
from launcher.direct_worker.__main__ import main


def _note(self: Checkpointer, session: HeldSession) -> None:  # noqa: ARG001
    session.machine.checkpointed(session.machine.computed_seq)


Checkpointer.note = _note  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
