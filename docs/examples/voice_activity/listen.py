"""Stream speech as a microphone would, and draw where a neural network hears a voice.

    python docs/examples/voice_activity/listen.py silero_vad.onnx

It starts a stack with two workers, creates a network from the ONNX file of Silero VAD, and sends
speech.wav in pieces of 32 ms, each when its last sample would have been spoken. Half-way, the
worker that computes is killed: the drawing goes on, since another one has the session's state.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
import onnxruntime
from rich.console import Console
from rich.live import Live
from rich.text import Text

from direct_contact.client import Client
from launcher.supervisor import Line, StackOptions, running

RATE, CHUNK, CONTEXT = 16_000, 512, 64
STATE = [{"input": "state", "output": "stateN", "initial": "zeros"}]
VOICE = 0.5
BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH = 96


def read_chunks(path: Path) -> np.ndarray:
    """float32[chunks, 1, 576]: 512 new samples behind the last 64 of the chunk before."""
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
            sys.exit(f"{path}: 16-bit mono at {RATE} Hz is needed")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    count = len(samples) // CHUNK
    audio = np.zeros(CONTEXT + count * CHUNK, np.float32)
    audio[CONTEXT:] = samples[: count * CHUNK] / 32768
    return np.stack([audio[i * CHUNK : (i + 1) * CHUNK + CONTEXT][None] for i in range(count)])


def direct(model: Path, chunks: np.ndarray) -> list[float]:
    """What onnxruntime says of the same chunks, called directly."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    state = np.zeros((2, 1, 128), np.float32)
    found = []
    for chunk in chunks:
        feeds = {"input": chunk, "state": state, "sr": np.array(RATE)}
        probability, state = session.run(None, feeds)
        found.append(float(probability[0, 0]))
    return found


def drawing(loudness: list[float], voices: list[float], note: str) -> Text:
    """Two lines: how loud it is, and how sure the network is that somebody speaks."""
    text = Text("sound  ", style="dim")
    for value in loudness[-WIDTH:]:
        text.append(BLOCKS[min(8, int(value * 40))], style="cyan")
    text.append("\nvoice  ", style="dim")
    for value in voices[-WIDTH:]:
        text.append(BLOCKS[min(8, int(value * 8.99))], style="green" if value >= VOICE else "red")
    speaking = bool(voices) and voices[-1] >= VOICE
    text.append("\n       ● speaking" if speaking else "\n       ○ silence ", style="bold")
    text.append(f"   {note}", style="yellow")
    return text


async def listen(client: Client, model: Path, chunks: np.ndarray, live: Live | None) -> dict:
    await client.create_onnx_network("voice-activity", model, STATE)
    loudness: list[float] = []
    voices: list[float] = []
    latencies: list[float] = []
    note = ""
    async with client.session("voice-activity") as session:
        # The first answer loads the network; a microphone would be opened after it.
        loop = asyncio.get_running_loop()

        async def speak() -> None:
            started = loop.time()
            for number, chunk in enumerate(chunks):
                await asyncio.sleep(started + (number + 1) * CHUNK / RATE - loop.time())
                await session.send({"input": chunk, "sr": np.array(RATE)})

        speaking = asyncio.create_task(speak())
        killed = ""
        async for output in session:
            if output.error is not None:
                raise output.error
            voices.append(float(output.array[0, 0]))
            loudness.append(float(np.abs(chunks[len(voices) - 1]).mean()))
            latencies.append(output.latency_s)
            if len(voices) == len(chunks) // 2:
                worker = next(w for w in await client.workers() if w.name == session.worker)
                os.kill(worker.pid, signal.SIGKILL)
                killed = worker.name
            if killed:
                now = session.worker
                note = f"{killed} was killed" + (f", {now} goes on" if now != killed else "")
            if live is not None:
                live.update(drawing(loudness, voices, note))
            if len(voices) == len(chunks):
                break
        await speaking
    expected = direct(model, chunks)
    p50, p99 = np.percentile(np.array(latencies) * 1000, [50, 99])
    return {
        "chunks": len(chunks),
        "with_voice": sum(one >= VOICE for one in voices),
        "largest_difference": float(np.abs(np.array(voices) - expected).max()),
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
        "longest_pause_ms": round(float(max(latencies)) * 1000, 1),
        "killed": killed,
    }


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="silero_vad.onnx, of the package silero-vad")
    parser.add_argument("--wav", type=Path, default=Path(__file__).with_name("speech.wav"))
    parser.add_argument("--json", action="store_true", help="print the figures only, as JSON")
    asked = parser.parse_args()
    chunks = read_chunks(asked.wav)
    console = Console(quiet=asked.json)
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="direct-contact-") as folder:
        options = StackOptions(data_dir=Path(folder), port=0, stream_port=0, workers=2)
        console.print("Starting NATS, Redis, REST, a gateway and two workers …")
        async with (
            running(options, lines.append) as stack,
            Client(stack.rest_url, stack.api_key) as client,
        ):
            with contextlib.ExitStack() as opened:
                live = None
                if not asked.json:
                    live = opened.enter_context(Live(console=console, refresh_per_second=30))
                figures = await listen(client, asked.model, chunks, live)
    if asked.json:
        print(json.dumps(figures))
        return
    console.print(
        f"{figures['chunks']} chunks, {figures['with_voice']} of them with voice; an answer after "
        f"{figures['p50_ms']} ms (p50), {figures['p99_ms']} ms (p99); the longest pause, over the "
        f"worker's death, {figures['longest_pause_ms']} ms.\n"
        f"Largest difference to onnxruntime called directly: {figures['largest_difference']:.1e}"
    )


asyncio.run(main())
