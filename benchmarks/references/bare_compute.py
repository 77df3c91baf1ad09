"""Nothing but the computation: batches of 64 in one thread, for some seconds.

Argument: seconds. Prints the inputs computed in a second: what one process of this machine can do,
and how much two at once can.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from benchmarks.references.computing import Network

BATCH = 64


def main() -> None:
    network = Network.given()
    batch = np.random.default_rng(0).standard_normal((BATCH, network.features)).astype(np.float32)
    network.compute(batch)
    started_at = time.perf_counter()
    until = started_at + float(sys.argv[1])
    inputs = 0
    while (now := time.perf_counter()) < until:
        network.compute(batch)
        inputs += BATCH
    sys.stdout.write(f"{inputs / (now - started_at)}\n")


if __name__ == "__main__":
    main()
