"""The file of Silero VAD: a real model with state, from the package `silero-vad`, without torch."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.support.requirements import missing

REQUIREMENT = "silero-vad==6.2.3"
FOLDER = Path(sys.prefix) / "silero-vad"
STATE = [{"input": "state", "output": "stateN", "initial": "zeros"}]
RATE = 16_000
CHUNK = 512
CONTEXT = 64


def silero_file() -> Path:
    """Where the file is; installed beside the environment when it is not there yet."""
    path = FOLDER / "silero_vad" / "data" / "silero_vad.onnx"
    if path.is_file():
        return path
    with tempfile.TemporaryDirectory(dir=sys.prefix) as fresh:
        done = subprocess.run(
            [
                sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet",
                "--no-deps", "--target", f"{fresh}/silero-vad", REQUIREMENT,
            ],
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            missing(REQUIREMENT, install=f"pip install --no-deps --target {FOLDER} {REQUIREMENT}")
        if not FOLDER.exists():
            (Path(fresh) / "silero-vad").rename(FOLDER)
    return path


def chunks(audio: np.ndarray) -> np.ndarray:
    """float32[chunks, 1, 576]: each has the last 64 samples of the one before it in front."""
    count = len(audio) // CHUNK
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), audio[: count * CHUNK]])
    return np.stack([padded[i * CHUNK : i * CHUNK + CONTEXT + CHUNK][None] for i in range(count)])
