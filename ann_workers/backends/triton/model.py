"""A model that Triton computes: checked here, sent there, its answers passed on."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, NoReturn

from ann_workers.backends.checking import check_elements, check_tensor, named
from ann_workers.backends.port import Answer, Request, Signature, TensorSpec
from ann_workers.backends.remote import Part, RemoteModel, RemoteState
from ann_workers.backends.triton.messages import farewell, part_of, request_of
from foundation.errors import DirectContactError, InternalError, InvalidInput
from protos.dc.triton.v1.inference_pb2 import InferRequest, InferResponse
from protos.dc.v1.tensor_pb2 import Tensor
from registry.networks.triton.server import TritonServer
from registry.networks.triton.spec import TritonSpec

logger = logging.getLogger(__name__)

THREAD_FROM_BYTES = 16 * 1024
"""Elements are looked at one by one: this many bytes of empty ones take about 1 ms."""
RELEASE_S = 60.0
"""How long the end of a sequence may take; what hangs longer is left to Triton's idle time."""
KEY_BITS = 62
"""Correlation ids are drawn at random and never used again; this many fit into Triton's numbers."""


class TritonModel:
    """One version of a model on one server, asked over one connection.

    Args:
        spec: the model, as it was when the network was created.
        requests: how many may be under way at a time.
    """

    def __init__(self, spec: TritonSpec, *, requests: int) -> None:
        self.spec = spec
        self._made: TritonServer | None = None
        self._optional = frozenset(entry.name for entry in spec.inputs if entry.optional)
        self._batch_axis = 0 if spec.max_batch_size else None
        self._rows = 1 if spec.stateful else spec.max_batch_size
        self.signature = Signature(
            inputs=tuple(TensorSpec(e.name, e.datatype, e.shape) for e in spec.inputs),
            outputs=tuple(TensorSpec(e.name, e.datatype, e.shape) for e in spec.outputs),
            stateful=spec.stateful,
            trainable=False,
            max_batch=requests,
        )

    @property
    def _server(self) -> TritonServer:
        # Networks are loaded in a thread, and a connection belongs to the event loop.
        if self._made is None:
            self._made = TritonServer(self.spec.url)
        return self._made

    # ------------------------------------------------------------ the port

    def new_state(self) -> RemoteState | None:
        """A key that nobody had before; None when the model is stateless."""
        if not self.spec.stateful:
            return None
        return RemoteState(str(1 + secrets.randbits(KEY_BITS)))

    def check(self, tensors: Sequence[Tensor]) -> None:
        """Look at an input before it is sent.

        Raises:
            InvalidInput: naming what was expected and what came.
        """
        found = named(tensors, self.spec.inputs, self._optional)
        for entry in self.spec.inputs:
            if entry.name in found:
                check_tensor(found[entry.name], entry, self._batch_axis, self._rows)

    async def compute(self, request: Request) -> AsyncGenerator[Part, None]:
        """Have one input computed; see the port."""
        if request.target is not None:
            raise InvalidInput(
                f"the network {self.spec.name!r} is computed by Triton: a target means nothing "
                "to it",
                field="target",
            )
        tensors = named(request.tensors, self.spec.inputs, self._optional)
        for name, tensor in tensors.items():
            if tensor.datatype != "BYTES":
                continue
            if len(tensor.data) < THREAD_FROM_BYTES:
                check_elements(tensor, name)
            else:
                await asyncio.to_thread(check_elements, tensor, name)
        asked = request_of(self.spec, tensors, request.state)
        async with aclosing(self._responses(asked)) as responses:
            async for response in responses:
                yield part_of(self.spec, response)

    async def _responses(self, asked: InferRequest) -> AsyncGenerator[InferResponse, None]:
        if not self.spec.decoupled:
            yield await self._server.infer(asked)
            return
        async with aclosing(self._server.stream(asked)) as stream:
            async for response in stream:
                yield response

    async def release(self, state: RemoteState) -> None:
        """End the sequence, so that its slot is free; where that fails, Triton's idle time ends it.

        It is one more input to the model, of zeros: nobody sees its answer.
        """
        if not state.first:
            return
        try:
            async with (
                asyncio.timeout(RELEASE_S),
                aclosing(self._responses(farewell(self.spec, state))) as responses,
            ):
                async for _ in responses:
                    pass
        except TimeoutError:
            logger.info("a sequence was not ended within %g s", RELEASE_S)
        except DirectContactError as error:
            if error.code != "sequence_unknown":
                logger.info("a sequence was not ended: %s", error.message)

    def dump_state(self, state: RemoteState | None) -> bytes:
        """The claim on the state for a checkpoint; empty when the model is stateless."""
        return state.encode() if state is not None else b""

    def load_state(self, data: bytes) -> RemoteState | None:
        """The claim from a checkpoint.

        Raises:
            InvalidInput: the bytes are none.
        """
        return RemoteState.decode(data) if self.spec.stateful else None

    def infer(self, batch: Sequence[Request]) -> list[Answer]:
        """Never called: Triton computes.

        Raises:
            InternalError: always.
        """
        raise InternalError(f"{len(batch)} inputs of a remote model were to be computed here")

    def fork(self) -> NoReturn:
        """Triton's models can't be trained.

        Raises:
            InvalidInput: always.
        """
        raise InvalidInput(
            f"the network {self.spec.name!r} is computed by Triton: it can't be trained",
            code="not_trainable",
        )


if TYPE_CHECKING:

    def _fits_the_port(model: TritonModel) -> RemoteModel:
        return model
