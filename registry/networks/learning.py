"""How a network learns: the loss and the optimizer of a spec."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from registry.networks.layers import SpecModel, by_type

Loss: TypeAlias = Literal["mse", "softmax_cross_entropy"]
LearningRate: TypeAlias = Annotated[float, Field(gt=0, le=1000)]
Decay: TypeAlias = Annotated[float, Field(ge=0, lt=1)]


class Sgd(SpecModel):
    """`v = momentum * v + gradient`, then `parameter -= learning_rate * v`."""

    type: Literal["sgd"] = "sgd"
    learning_rate: LearningRate = 0.01
    momentum: Decay = 0.0


class Adam(SpecModel):
    """Adam with bias correction (Kingma and Ba, 2015, algorithm 1)."""

    type: Literal["adam"] = "adam"
    learning_rate: LearningRate = 0.001
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8


Optimizer: TypeAlias = Annotated[
    Sgd | Adam, Field(discriminator="type"), by_type("optimizer", Sgd, Adam)
]
