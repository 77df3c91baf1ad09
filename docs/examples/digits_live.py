"""Train a network on the live stream, keep it as a version, and ask it about digits it never saw.

direct-contact up                     # prints the URL and the key
export DC_REST_URL=http://127.0.0.1:8000 DC_API_KEY=dck_…
python docs/examples/digits_live.py
"""

from __future__ import annotations

import argparse
import asyncio
import os
import uuid

import numpy as np

from direct_contact.client import Client, TrainingProgress
from launcher.demo.digits import load_digits

SHADES = " ░▒▓█"


def draw(image: np.ndarray) -> str:
    """The 64 pixels as 8 lines of text."""
    rows = (image.reshape(8, 8) * (len(SHADES) - 1)).round().astype(int)
    return "\n".join("".join(SHADES[shade] * 2 for shade in row) for row in rows)


def show(progress: TrainingProgress) -> None:
    if progress.step % 50 == 0 or progress.step == progress.steps:
        print(
            f"step {progress.step:3} of {progress.steps}: loss {progress.loss:.3f}, "
            f"accuracy {progress.accuracy:.2f}"
        )


async def main(rest_url: str, api_key: str) -> None:
    images, digits = load_digits()
    order = np.random.default_rng(0).permutation(len(images))
    images, digits = images[order], digits[order]
    seen, unseen = slice(None, 1400), slice(1400, None)

    async with Client(rest_url, api_key) as client:
        network = await client.create_network(
            {
                "name": f"digits-{uuid.uuid4().hex[:8]}",
                "input": {"datatype": "FP32", "shape": [64]},
                "layers": [
                    {"type": "dense", "units": 64, "activation": "relu"},
                    {"type": "dense", "units": 10, "activation": "softmax"},
                ],
                "loss": "softmax_cross_entropy",
                "optimizer": {"type": "adam", "learning_rate": 0.005},
                "seed": 7,
            }
        )
        print(f"created {network.name}: {network.parameters} parameters")

        async with client.session(network.name, mode="train") as session:
            await session.train(
                images[seen], digits[seen], epochs=8, batch_size=32, on_progress=show
            )
            version = await session.snapshot(alias="trained")
        print(f"kept as version {version}, alias 'trained'")

        async with client.session(network.name, version="trained") as session:
            said = [int(scores.argmax()) async for scores in session.infer_many(images[unseen])]
            print(draw(images[unseen][0]))
            print(f"it is a {digits[unseen][0]}; the network said {said[0]}")
            accuracy = float(np.mean(said == digits[unseen]))
            print(f"{accuracy:.1%} of {len(said)} new digits are right")
        await client.delete_network(network.name)
    if accuracy < 0.9:
        raise SystemExit("too many are wrong")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rest-url", default=os.environ.get("DC_REST_URL", "http://127.0.0.1:8000")
    )
    parser.add_argument("--api-key", default=os.environ.get("DC_API_KEY", ""))
    arguments = parser.parse_args()
    asyncio.run(main(arguments.rest_url, arguments.api_key))
