"""The audio demo: speech in real time, through the death of the worker."""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from pathlib import Path

from tests.support.launched import ROOT
from tests.support.silero import RATE, silero_file

EXAMPLE = ROOT / "docs" / "examples" / "voice_activity"
SECONDS = 2.5


async def test_demo_hears_the_voice_as_onnxruntime_does_when_a_worker_dies(tmp_path: Path) -> None:
    short = tmp_path / "short.wav"
    with wave.open(str(EXAMPLE / "speech.wav")) as speech, wave.open(str(short), "wb") as file:
        file.setparams(speech.getparams())
        file.writeframes(speech.readframes(int(SECONDS * RATE)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLE / "listen.py", silero_file(), "--wav", short, "--json",
        cwd=ROOT, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 0, err.decode()
    figures = json.loads(out)
    assert figures["chunks"] == int(SECONDS * RATE) // 512
    assert figures["killed"].startswith("ann-worker-")
    assert 10 < figures["with_voice"] < figures["chunks"] - 10
    assert figures["largest_difference"] < 1e-4
