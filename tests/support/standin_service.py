"""Stands in for a service under the supervisor: ready file, drain on SIGTERM, REST's pool calls.

Which service it is follows from the DC_* variables that the launcher gave. It knows only the
standard library, so that it starts in an instant.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

STATE = Path(os.environ["STANDIN_DIR"])
# Subjects and leases outlive processes: names are new at each start.
MARK = secrets.token_hex(3)
if "DC_REST_PORT" in os.environ:
    ROLE, NAME = "rest_api", "rest-api"
elif "DC_GATEWAY_NAME" in os.environ:
    ROLE, NAME = "direct_contact", f"{os.environ['DC_GATEWAY_NAME']}-{MARK}"
else:
    ROLE, NAME = "ann_worker", f"{os.environ['DC_WORKER_NAME']}-{MARK}"


class Rest(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/v1/pools/"):
            self._answer(200, {"name": "default", "replicas": replicas()})
        elif self.path.startswith("/v1/workers"):
            workers = [json.loads(path.read_text()) for path in STATE.glob("worker.*")]
            self._answer(200, {"items": workers, "next_cursor": None})
        elif self.path.startswith("/v1/sessions"):
            self._answer(200, {"items": [], "next_cursor": None})
        else:
            self._answer(404, {"title": "Not found", "detail": f"there is no {self.path}"})

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {os.environ['DC_REST_ADMIN_KEY']}":
            self._answer(401, {"title": "Unauthorized", "detail": "the key is unknown"})
            return
        replace(STATE / "replicas", str(body["replicas"]))
        tell({"pool": "default", "replicas": body["replicas"]})
        self._answer(200, {"name": "default", "replicas": body["replicas"]})

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def replicas() -> int:
    path = STATE / "replicas"
    return int(path.read_text()) if path.exists() else 2


def replace(path: Path, text: str) -> None:
    draft = STATE / f"draft.{os.getpid()}"
    draft.write_text(text)
    draft.replace(path)


def tell(change: dict[str, object]) -> None:
    parts = urlsplit(os.environ["DC_NATS_URL"])
    payload = json.dumps(change).encode()
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as nats:
        nats.recv(4096)
        nats.sendall(
            b'CONNECT {"verbose":false}\r\nPUB dc.pools.changed %d\r\n%s\r\nPING\r\n'
            % (len(payload), payload)
        )
        nats.recv(4096)


def main() -> None:
    stop = threading.Event()
    if os.environ.get("STANDIN_DEAF") != ROLE:
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, lambda *_: os._exit(66))
    if os.environ.get("STANDIN_CRASH") == ROLE:
        sys.stderr.write("its settings are wrong\n")
        sys.exit(3)
    server = None
    port = 0
    if ROLE == "rest_api":
        port = int(os.environ["DC_REST_PORT"])
        server = ThreadingHTTPServer((os.environ["DC_REST_HOST"], port), Rest)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    me = {"name": NAME, "pid": os.getpid(), "probe_port": 0, "port": port}
    card = STATE / f"worker.{NAME}"
    if ROLE == "ann_worker":
        replace(card, json.dumps({**me, "pool": "default", "state": "ready", "sessions": 0}))
    sys.stderr.write(f"12:00:00.000 I {NAME}: started with {os.environ['DC_LOG_LEVEL']}\n")
    ready = Path(os.environ["DC_READY_FILE"])
    ready.with_suffix(".draft").write_text(json.dumps(me))
    ready.with_suffix(".draft").replace(ready)
    stop.wait()
    with (STATE / "stopped").open("a") as file:
        file.write(f"{ROLE}\n")
    card.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
