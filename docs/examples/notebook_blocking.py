"""The blocking client, as in a notebook: no event loop in sight.

Each block below is a cell. The session lives on between them, as long as nobody closes it.

    export DC_REST_URL=http://127.0.0.1:8000 DC_API_KEY=dck_…
    python docs/examples/notebook_blocking.py
"""

from __future__ import annotations

import argparse
import os
import uuid

import numpy as np

from direct_contact.client import BlockingClient, InputFailed

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rest-url", default=os.environ.get("DC_REST_URL", "http://127.0.0.1:8000"))
parser.add_argument("--api-key", default=os.environ.get("DC_API_KEY", ""))
arguments = parser.parse_args()

# %% Connect, and create a network that is to learn a sine.
client = BlockingClient(arguments.rest_url, arguments.api_key)
network = client.create_network(
    {
        "name": f"sine-{uuid.uuid4().hex[:8]}",
        "input": {"datatype": "FP32", "shape": [1]},
        "layers": [
            {"type": "dense", "units": 32, "activation": "tanh"},
            {"type": "dense", "units": 1},
        ],
        "loss": "mse",
        "optimizer": {"type": "adam", "learning_rate": 0.02},
        "seed": 1,
    }
)
session = client.session(network.name, mode="train")
session.open()
print(f"session {session.id} on {session.worker}")

# %% Train it; the last line shows how it went.
xs = np.linspace(-3, 3, 600, dtype=np.float32)[:, None]
progress = session.train(xs, np.sin(xs), epochs=40, batch_size=50)
print(f"after {progress.steps} steps the loss is {progress.loss:.4f}")

# %% Ask it, one input at a time.
for x in (-2.0, -1.0, 0.0, 1.0, 2.0):
    y = float(session.infer([x])[0])
    print(f"sin({x:+.0f}) = {np.sin(x):+.3f}, the network says {y:+.3f}")

# %% What is wrong with an input is told where it was sent; the session goes on.
try:
    session.infer([1.0, 2.0])
except InputFailed as error:
    print(f"as expected: {error}")

# %% Send a few, read them when you like.
for x in (0.5, 1.5):
    session.send([x])
for output in session:
    print(f"input {output.seq}: {output.array[0]:+.3f} in {output.latency_s * 1e3:.1f} ms")
    if output.array[0] > 0.8:
        break

# %% Done.
session.close()
client.delete_network(network.name)
client.close()
assert progress.loss < 0.05
