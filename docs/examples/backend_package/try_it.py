"""Create a network of the example's backend and send it some vectors: try_it.py URL KEY"""

import asyncio
import sys

import numpy as np

from direct_contact.client import Client


async def main(url: str, key: str) -> None:
    async with Client(url, key) as client:
        await client.create_network(
            {"name": "mean", "backend": "running-mean", "spec": {"size": 3}, "stateful": True}
        )
        async with client.session("mean") as session:
            for value in (1, 2, 6):
                print(await session.infer(np.full(3, value, np.float32)))


asyncio.run(main(*sys.argv[1:]))
