"""The computation of one network: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ann_workers.backends.numpy.activations import FloatArray
from ann_workers.backends.numpy.layers import build_steps, ends_in_softmax
from ann_workers.backends.numpy.losses import LOSSES, Target
from registry.networks.layers import GruLayer
from registry.networks.spec import NetworkSpec


class Network:
    """A network on parameters that its owner may change in place between calls.

    `x` is float[rows, features]; `hidden` has one float[rows, units] for each gru, in layer order.
    """

    def __init__(self, spec: NetworkSpec, parameters: Mapping[str, FloatArray]) -> None:
        steps = build_steps(spec, parameters)
        # Softmax and cross entropy are one operation, which is stable where each alone is not: the
        # loss then works on the logits, and its gradient goes past the softmax.
        fused = spec.loss == "softmax_cross_entropy" and ends_in_softmax(steps)
        self._steps = steps[:-1] if fused else steps
        self._head = steps[-1] if fused else None
        self._loss = LOSSES[spec.loss] if spec.loss else None
        self.hidden_units = tuple(
            layer.units for layer in spec.layers if isinstance(layer, GruLayer)
        )

    def forward(
        self, x: FloatArray, hidden: Sequence[FloatArray]
    ) -> tuple[FloatArray, FloatArray, list[FloatArray]]:
        """The output, what the loss works on (which may be the same array), the next hidden."""
        following: list[FloatArray] = []
        for step in self._steps:
            if step.stateful:
                x = step.forward(x, hidden[len(following)])
                following.append(x)
            else:
                x = step.forward(x, None)
        output = self._head.forward(x, None) if self._head else x
        return output, x, following

    def loss(self, x: FloatArray, target: Target) -> float:
        """The loss of the second value that `forward` returned."""
        if self._loss is None:
            raise TypeError("the network has no loss")
        return self._loss.value(x, target)

    def learn(
        self, x: FloatArray, hidden: Sequence[FloatArray], target: Target
    ) -> tuple[FloatArray, float, list[FloatArray], dict[str, FloatArray]]:
        """The output, the loss, the next hidden, and the gradients of all parameters by name.

        Gradients go through this one input only: the hidden state counts as a constant, which is
        back-propagation through time of length 1.
        """
        if self._loss is None:
            raise TypeError("the network has no loss")
        kept = []
        following: list[FloatArray] = []
        for step in self._steps:
            if step.stateful:
                x, keep = step.trace(x, hidden[len(following)])
                following.append(x)
            else:
                x, keep = step.trace(x, None)
            kept.append(keep)
        output = self._head.forward(x, None) if self._head else x
        gradient = self._loss.gradient(x, target)
        gradients: dict[str, FloatArray] = {}
        for step, keep in zip(reversed(self._steps), reversed(kept), strict=True):
            gradient, own = step.backward(gradient, keep)
            gradients.update({step.prefix + name: array for name, array in own.items()})
        return output, self._loss.value(x, target), following, gradients
