"""How many microphones one machine serves in real time: `python -m benchmarks.microphones`.

Each microphone is a session of Silero VAD that sends 32 ms of sound every 32 ms. The figures stand
beside what bare onnxruntime computes on one core, and every answer is compared with it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

from direct_contact.client import Client
from launcher.supervisor import Line, StackOptions, running

RATE, CHUNK, CONTEXT = 16_000, 512, 64
CHUNK_S = CHUNK / RATE
STATE = [{"input": "state", "output": "stateN", "initial": "zeros"}]
SAMPLING_RATE = np.array(RATE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="silero_vad.onnx: `make demo-audio` fetches it")
    parser.add_argument("--microphones", type=int, nargs="+", default=[25, 50, 100])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0, help="workers killed on the way")
    asked = parser.parse_args()
    for batch in (1, 8, 32):
        print(json.dumps({"bare_batch": batch, "microphones_a_core": bare(asked.model, batch)}))
    for count in asked.microphones:
        print(json.dumps(asyncio.run(measure(asked, count))), flush=True)


def session_of(model: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def bare(model: Path, batch: int, rounds: int = 7, runs: int = 60) -> int:
    """Microphones that onnxruntime alone computes on one core: the median of some rounds."""
    session = session_of(model)
    feeds = {
        "input": np.zeros((batch, CHUNK + CONTEXT), np.float32),
        "state": np.zeros((2, batch, 128), np.float32),
        "sr": SAMPLING_RATE,
    }
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(runs):
            session.run(None, feeds)
        seconds.append((time.perf_counter() - started) / runs / batch)
    return int(CHUNK_S / np.median(seconds))


def noise(seed: int, seconds: float) -> np.ndarray:
    """float32[chunks, 1, 576] of noise that comes and goes."""
    rng = np.random.default_rng(seed)
    count = int(seconds / CHUNK_S)
    loud = np.repeat(rng.integers(0, 2, count), CHUNK)
    audio = np.zeros(CONTEXT + count * CHUNK, np.float32)
    audio[CONTEXT:] = rng.normal(scale=0.1, size=count * CHUNK) * loud
    return np.stack([audio[i * CHUNK : (i + 1) * CHUNK + CONTEXT][None] for i in range(count)])


async def measure(asked: argparse.Namespace, count: int) -> dict[str, float]:
    """Latencies in ms, and the largest difference to onnxruntime called directly."""
    streams = [noise(seed, asked.seconds) for seed in range(count)]
    voices: list[list[float]] = [[] for _ in streams]
    latencies: list[float] = []
    ready = asyncio.Barrier(count + 1)
    lines: list[Line] = []

    async def microphone(client: Client, number: int) -> None:
        stream = streams[number]
        async with client.session("vad") as session:
            await ready.wait()
            loop = asyncio.get_running_loop()
            started = loop.time() + CHUNK_S * number / count

            async def speak() -> None:
                for place, chunk in enumerate(stream, 1):
                    await asyncio.sleep(started + place * CHUNK_S - loop.time())
                    await session.send({"input": chunk, "sr": SAMPLING_RATE})

            speaking = asyncio.create_task(speak())
            async for output in session:
                voices[number].append(float(output.array[0, 0]))
                latencies.append(output.latency_s * 1000)
                if len(voices[number]) == len(stream):
                    break
            await speaking

    async def killer(client: Client) -> None:
        await ready.wait()
        for _ in range(asked.kills):
            await asyncio.sleep(asked.seconds / (asked.kills + 1))
            workers = [w for w in await client.workers() if w.state == "ready"]
            with contextlib.suppress(ProcessLookupError):
                os.kill(max(workers, key=lambda worker: worker.sessions).pid, signal.SIGKILL)

    with tempfile.TemporaryDirectory() as folder:
        options = StackOptions(data_dir=Path(folder), port=0, stream_port=0, workers=asked.workers)
        async with (
            running(options, lines.append) as stack,
            Client(stack.rest_url, stack.api_key) as client,
        ):
            await client.create_onnx_network("vad", asked.model, STATE)
            await asyncio.gather(killer(client), *(microphone(client, n) for n in range(count)))
    p50, p99 = np.percentile(latencies, [50, 99])
    return {
        "microphones": count,
        "workers": asked.workers,
        "kills": asked.kills,
        "chunks": len(latencies),
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
        "longest_ms": round(max(latencies), 1),
        "largest_difference": difference(asked.model, streams, voices),
    }


def difference(model: Path, streams: list[np.ndarray], voices: list[list[float]]) -> float:
    session = session_of(model)
    largest = 0.0
    for stream, found in zip(streams, voices, strict=True):
        state = np.zeros((2, 1, 128), np.float32)
        for chunk, voice in zip(stream, found, strict=True):
            feeds = {"input": chunk, "state": state, "sr": SAMPLING_RATE}
            probability, state = session.run(None, feeds)
            largest = max(largest, abs(float(probability[0, 0]) - voice))
    return largest


if __name__ == "__main__":
    main()
