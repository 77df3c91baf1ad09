"""A network with a memory: send a signal step by step, read the answers as they come.

The state lives in the session. Scale the workers while this runs, or kill one: the answers go on.

    export DC_REST_URL=http://127.0.0.1:8000 DC_API_KEY=dck_…
    python docs/examples/gru_stream.py --steps 2000
"""

from __future__ import annotations

import argparse
import asyncio
import os
import uuid

import numpy as np

from direct_contact.client import Client, Notice, Session


async def speak(session: Session, signal: np.ndarray) -> None:
    """Send every step; `send` waits where the server asks for patience."""
    for step in signal:
        await session.send(step)


async def main(rest_url: str, api_key: str, steps: int) -> None:
    time = np.arange(steps, dtype=np.float32)
    signal = np.stack([np.sin(time / 7), np.cos(time / 31)], axis=1)

    def told(notice: Notice) -> None:
        print(f"  {notice.kind.value}: {notice.worker}")

    async with Client(rest_url, api_key) as client:
        network = await client.create_network(
            {
                "name": f"memory-{uuid.uuid4().hex[:8]}",
                "input": {"datatype": "FP32", "shape": [2]},
                "layers": [{"type": "gru", "units": 16}, {"type": "dense", "units": 1}],
                "seed": 3,
            }
        )
        async with client.session(network.name, on_notice=told) as session:
            print(f"session {session.id} is computed by {session.worker}")
            speaking = asyncio.create_task(speak(session, signal))
            expected, latencies = 1, []
            async for output in session:
                assert output.seq == expected, "no gap, nothing twice"
                latencies.append(output.latency_s)
                if output.seq % (steps // 10 or 1) == 0:
                    value = float(output.array[0])
                    print(f"{output.seq:5} {value:+.4f} " + "·" * int(20 + 30 * value) + "●")
                expected += 1
                if output.seq == steps:
                    break
            await speaking
            stats = session.stats
            print(
                f"{steps} answers in order; median latency {np.median(latencies) * 1e3:.1f} ms; "
                f"{stats.frames_sent} frames out, {stats.frames_received} in"
            )
            again = await session.infer(signal[0])
            await session.command("reset")
            fresh = await session.infer(signal[0])
            print(f"the same step now: {again[0]:+.4f}; after a reset: {fresh[0]:+.4f}")
        await client.delete_network(network.name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rest-url", default=os.environ.get("DC_REST_URL", "http://127.0.0.1:8000")
    )
    parser.add_argument("--api-key", default=os.environ.get("DC_API_KEY", ""))
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.rest_url, arguments.api_key, arguments.steps))
