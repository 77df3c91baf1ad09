"""The socket layer against Autobahn's test suite, which fuzzes it as a client.

The suite runs on Python 2.7 alone: it lives in an environment of its own, `.venv-autobahn`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.requirements import program

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
INSTALL = (
    "`make .venv-autobahn/bin/wstest` installs it; it needs a Python 2.7, "
    "which PYTHON27=/path/to/python2.7 names"
)
COMPRESSION = ("12.*", "13.*")
"""dc.v1 offers none: its payloads are tensors, which do not shrink."""
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}
"""Text that is not UTF-8 is refused when the message is whole, not at its first bad byte: that is
"non-strict", and dc.v1 has no text anyway."""
KNOWN = {
    # A Close within a fragmented message: `websockets` answers 1002, the suite wants its code back.
    "7.1.5",
}


def test_socket_layer_keeps_rfc_6455_when_autobahn_fuzzes_it(tmp_path: Path) -> None:
    wstest = program("wstest", install=INSTALL, folders=[ROOT / ".venv-autobahn/bin"])
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.echo_server"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        spec = tmp_path / "spec.json"
        spec.write_text(
            json.dumps(
                {
                    "outdir": str(tmp_path / "reports"),
                    "servers": [{"agent": "ours", "url": f"ws://127.0.0.1:{port}"}],
                    "cases": ["*"],
                    "exclude-cases": COMPRESSION,
                    "exclude-agent-cases": {},
                }
            )
        )
        fuzzing = subprocess.run(
            [wstest, "--mode", "fuzzingclient", "--spec", str(spec)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert fuzzing.returncode == 0, fuzzing.stderr[-2000:]
    finally:
        server.terminate()
        server.communicate(timeout=10)
    assert server.returncode == 0
    cases = json.loads((tmp_path / "reports" / "index.json").read_text())["ours"]
    assert len(cases) > 240
    assert {
        case: (found["behavior"], found["behaviorClose"])
        for case, found in cases.items()
        if case not in KNOWN and not {found["behavior"], found["behaviorClose"]} <= GOOD
    } == {}
