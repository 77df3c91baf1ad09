"""The networks of test_pytorch.py by PyTorch: run by a Python that has it, with two files.

In: a JSON file with cases (layers, parameters, input, hidden, target, loss). Out: for each the
output, the next hidden states, the loss and the gradients of all parameters.
"""

import json
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": torch.nn.functional.gelu,
    "softmax": lambda x: torch.softmax(x, -1),
}


def layer(spec, parameters, x, hidden):
    if spec["type"] == "dense":
        return ACTIVATIONS[spec.get("activation", "linear")](
            torch.nn.functional.linear(x, parameters["weight"], parameters.get("bias"))
        )
    if spec["type"] == "layer_norm":
        return torch.nn.functional.layer_norm(
            x, x.shape[-1:], parameters["weight"], parameters["bias"], spec.get("epsilon", 1e-5)
        )
    cell = torch.nn.GRUCell(x.shape[-1], spec["units"])
    following = torch.func.functional_call(cell, parameters, (x, hidden.pop(0)))
    hidden.append(following)
    return following


def compute(case):
    parameters = {
        name: torch.tensor(values, requires_grad=True)
        for name, values in case["parameters"].items()
    }
    hidden = [torch.tensor(values) for values in case["hidden"]]
    x = torch.tensor(case["input"])
    for index, spec in enumerate(case["layers"]):
        prefix = f"layers.{index}."
        own = {n.removeprefix(prefix): p for n, p in parameters.items() if n.startswith(prefix)}
        logits, x = x, layer(spec, own, x, hidden)
        if spec.get("activation") == "softmax":
            logits = torch.nn.functional.linear(logits, own["weight"], own.get("bias"))
    target = torch.tensor(case["target"])
    if case["loss"] == "mse":
        loss = torch.nn.functional.mse_loss(x, target)
    else:
        loss = torch.nn.functional.cross_entropy(logits, target)
    loss.backward()
    return {
        "output": x.tolist(),
        "hidden": [one.tolist() for one in hidden],
        "loss": loss.item(),
        "gradients": {name: one.grad.tolist() for name, one in parameters.items()},
    }


source, destination = map(Path, sys.argv[1:])
with source.open() as file:
    cases = json.load(file)
with destination.open("w") as file:
    json.dump([compute(case) for case in cases], file)
