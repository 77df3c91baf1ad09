"""`python -m launcher.direct_worker`: one worker with a stream endpoint of its own."""

from __future__ import annotations

import sys


def main() -> None:
    """Read the settings, serve until SIGTERM, exit 0 after the drain."""
    try:
        from ann_workers.process import GROUPS, compute_on_one_core, run_worker

        compute_on_one_core()
        from direct_contact.gateway.settings import GatewaySettings
        from foundation.errors import InvalidInput
        from foundation.settings import load
        from launcher.direct_worker.front import OwnEndpoint
        from launcher.direct_worker.settings import EndpointSettings
    except ModuleNotFoundError as error:
        sys.exit(
            f"direct_worker: {error.name} is missing: pip install 'direct-contact[gateway,worker]'"
        )
    settings = load(
        (EndpointSettings, GatewaySettings, *GROUPS),
        program="python -m launcher.direct_worker",
        purpose="An ANN worker to which clients may stream directly, past the gateways.",
    )
    try:
        front = OwnEndpoint(settings)
    except InvalidInput as error:
        sys.exit(f"direct_worker: {error.message}")
    run_worker("direct_worker", settings, front)


if __name__ == "__main__":
    main()
