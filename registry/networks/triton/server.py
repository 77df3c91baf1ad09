"""A Triton server over gRPC, on asyncio: few methods, its errors in our own classes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from foundation.errors import CallerError, DirectContactError, InvalidInput, NotFound, Unavailable
from protos.dc.triton.v1.inference_pb2 import (
    InferRequest,
    InferResponse,
    ModelConfig,
    ModelConfigResponse,
    ModelMetadataResponse,
    ModelReadyResponse,
    ModelRequest,
    StreamInferResponse,
)

SERVICE: Final = "/inference.GRPCInferenceService/"
SECURE: Final = "grpcs://"
MESSAGE_BYTES: Final = 64 << 20
"""The largest answer that is read."""
OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),
    # A request that is repeated unseen would be counted twice by a model with state.
    ("grpc.enable_retries", 0),
    # A server that comes back is found at once; the default waits for up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_http_proxy", 0),
    # What is sent must be acknowledged by TCP within the timeout: a host that vanished is noticed
    # then, not after the kernel's quarter of an hour. Pings come as seldom as servers allow.
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
MESSAGE_CHARACTERS: Final = 400
NOT_SERVED: Final = ("unknown model", "is not found", "no available versions", "ready state")
"""What Triton says of a model that is not served now; a stream gives no status with it."""
NO_SEQUENCE: Final = "must specify the START flag"

ResponseT = TypeVar("ResponseT", bound=Message)


class TritonServer:
    """A connection to one server, made when it is first used and made again when it breaks.

    Belongs to the event loop where it is made. Every method but `infer` and `stream` raises:
        Unavailable: the server does not answer.
        NotFound: `unknown_model`: there is no such model or version, or it is not loaded.
        CallerError: `not_triton`: what answers is something else.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        # Without the scheme, hosts such as `unix` would be taken for one.
        target = "dns:///" + url.partition("://")[2]
        self._channel = (
            grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), OPTIONS)
            if url.startswith(SECURE)
            else grpc.aio.insecure_channel(target, OPTIONS)
        )
        self._ready = self._unary("ModelReady", ModelReadyResponse)
        self._metadata = self._unary("ModelMetadata", ModelMetadataResponse)
        self._config = self._unary("ModelConfig", ModelConfigResponse)
        self._infer = self._unary("ModelInfer", InferResponse)
        self._stream = self._channel.stream_stream(
            SERVICE + "ModelStreamInfer", _serialized, StreamInferResponse.FromString
        )

    def _unary(self, method: str, response: type[ResponseT]) -> Any:
        return self._channel.unary_unary(SERVICE + method, _serialized, response.FromString)

    async def close(self) -> None:
        """Close the connection; what is under way is cancelled."""
        await self._channel.close()

    async def ready(self, model: str, version: str) -> bool:
        """Whether the model can be asked now."""
        answer = await self._told(self._ready, model, version)
        return bool(answer.ready)

    async def metadata(self, model: str, version: str) -> ModelMetadataResponse:
        """The model's versions and tensors."""
        found: ModelMetadataResponse = await self._told(self._metadata, model, version)
        return found

    async def config(self, model: str, version: str) -> ModelConfig:
        """The model's configuration."""
        answer = await self._told(self._config, model, version)
        found: ModelConfig = answer.config
        return found

    async def _told(self, method: Any, model: str, version: str) -> Any:
        with _about_model(self.url):
            answer = await method(ModelRequest(name=model, version=version))
        if answer is None:
            raise CallerError(
                f"{self.url} is no Triton: its answer does not decode", code="not_triton"
            )
        return answer

    async def infer(self, request: InferRequest) -> InferResponse:
        """One answer to one request. Cancelling it cancels the request at the server.

        Raises:
            Unavailable: `triton_unavailable`, `model_unavailable` or `sequence_unknown`.
            InvalidInput: `model_refused` or `model_failed`: with what the server says of it.
        """
        with _about_request():
            found: InferResponse | None = await self._infer(request)
        if found is None:
            # gRPC logs what is wrong with it.
            raise InvalidInput("the model's answer does not decode", code="model_failed")
        return found

    async def stream(self, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        """All answers to one request; closing the iterator cancels the request at the server.

        Raises:
            DirectContactError: as `infer` does.
        """
        # Newer servers give errors of a stream as its status then, as for single answers.
        call = self._stream(_only(request), metadata=(("triton_grpc_error", "true"),))
        try:
            with _about_request():
                async for response in call:
                    if response.error_message:
                        raise _refused(response.error_message, grpc.StatusCode.UNKNOWN)
                    yield response.infer_response
        finally:
            call.cancel()


async def _only(request: InferRequest) -> AsyncGenerator[InferRequest, None]:
    yield request


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


@contextmanager
def _about_model(url: str) -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise _no_answer(error, url) or _unknown(error, url) from error


@contextmanager
def _about_request() -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        told = _refused(error.details() or "", error.code())
        raise told from error


def _unknown(error: grpc.aio.AioRpcError, url: str) -> DirectContactError:
    said = (error.details() or "")[:MESSAGE_CHARACTERS]
    code = error.code()
    if code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN):
        return CallerError(f"{url} is no Triton: {said}", code="not_triton")
    return NotFound(f"{url}: {said}", code="unknown_model")


def _no_answer(error: grpc.aio.AioRpcError, url: str) -> DirectContactError | None:
    said = (error.details() or "")[:MESSAGE_CHARACTERS]
    if error.code() is not grpc.StatusCode.UNAVAILABLE or _not_served(said):
        return None
    return Unavailable(f"{url} does not answer: {said}", code="triton_unavailable")


def _not_served(said: str) -> bool:
    return any(text in said for text in NOT_SERVED)


def _refused(said: str, code: grpc.StatusCode) -> DirectContactError:
    """The error of a request that was not answered."""
    said = said[:MESSAGE_CHARACTERS]
    if NO_SEQUENCE in said:
        return Unavailable(f"Triton has no such sequence: {said}", code="sequence_unknown")
    if code is grpc.StatusCode.NOT_FOUND or _not_served(said):
        return Unavailable(f"Triton does not serve the model now: {said}", code="model_unavailable")
    if code in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    ):
        return Unavailable(f"Triton does not answer: {said}", code="triton_unavailable")
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidInput(f"Triton refused the input: {said}", code="model_refused")
    return InvalidInput(f"the model failed on this input: {said}", code="model_failed")
