"""Debian's nginx with the configuration of docker/, in a directory of its own."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.requirements import program
from tests.support.servers import Server

DOCKER = Path(__file__).parents[2] / "docker"
TEMPLATE = DOCKER / "nginx" / "templates" / "nginx.conf.template"
INSTALL = "apt-get install nginx"
VARIABLE = re.compile(r"\$\{(NGINX_\w+)\}")


class NginxServer(Server):
    """One nginx on 127.0.0.1, made from the template that the compose file uses.

    Args:
        directory: where its files and its log go.
        port: to listen on.
        rest: of the variable NGINX_REST.
        gateways: of the variable NGINX_GATEWAYS.
        groups: servers by group, for `rest` and `gateways` to name.
        resolver: ADDRESS:PORT of a name server.
        max_body: the largest body.
    """

    kind = "nginx"

    def __init__(
        self,
        directory: Path,
        *,
        port: int,
        rest: str,
        gateways: str,
        groups: Mapping[str, list[str]] | None = None,
        resolver: str = "127.0.0.1:9",
        max_body: str = "65m",
    ) -> None:
        super().__init__(directory)
        self._binary = program("nginx", install=INSTALL)
        self.port = port
        self.certificate = directory / "tls" / "tls.crt"
        self._make_certificate()
        upstreams = directory / "upstreams"
        upstreams.mkdir(exist_ok=True)
        for name, servers in (groups or {}).items():
            lines = "".join(f"    server {server} max_fails=0;\n" for server in servers)
            (upstreams / f"{name}.conf").write_text(f"upstream {name} {{\n{lines}}}\n")
        self.configuration = directory / "nginx.conf"
        self.configuration.write_text(
            rendered(
                {
                    "NGINX_LISTEN": f"127.0.0.1:{port}",
                    "NGINX_TLS_CERTIFICATE": str(self.certificate),
                    "NGINX_TLS_KEY": str(self.certificate.with_suffix(".key")),
                    "NGINX_REST": rest,
                    "NGINX_GATEWAYS": gateways,
                    "NGINX_UPSTREAMS": f"{upstreams}/*.conf",
                    "NGINX_RESOLVER": resolver,
                    "NGINX_MAX_BODY": max_body,
                    "NGINX_TEMP": str(directory),
                }
            )
        )

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def stream_url(self) -> str:
        """Where clients open WebSockets."""
        return f"wss://localhost:{self.port}/v1/stream"

    @property
    def tls(self) -> ssl.SSLContext:
        """A client's, which trusts its certificate alone."""
        return ssl.create_default_context(cafile=self.certificate)

    def check(self) -> subprocess.CompletedProcess[str]:
        """`nginx -t`."""
        return subprocess.run(
            [*self._command(self.port), "-t"],
            cwd=self.directory, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip

    def _make_certificate(self) -> None:
        program("openssl", install="apt-get install openssl")
        subprocess.run(
            ["/bin/sh", str(DOCKER / "nginx" / "self-signed.sh"), str(self.certificate.parent),
             "localhost", "127.0.0.1"],
            check=True, capture_output=True, timeout=30,
        )  # fmt: skip

    def _command(self, port: int) -> list[str]:
        own = f"daemon off; pid {self.directory}/pid;"
        if os.geteuid() == 0:
            # Its workers must reach this directory, which is closed to other users.
            own += " user root;"
        return [
            self._binary, "-p", str(self.directory), "-c", str(self.configuration), "-g", own,
            "-e", "stderr",
        ]  # fmt: skip

    def _greets(self, port: int) -> bool:
        try:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection,
                self.tls.wrap_socket(connection, server_hostname="localhost"),
            ):
                return True
        except OSError:
            return False


def rendered(values: Mapping[str, str]) -> str:
    """The template as the image's envsubst renders it.

    Raises:
        KeyError: the template has a variable that is not given.
    """
    return VARIABLE.sub(lambda found: values[found[1]], TEMPLATE.read_text())
