"""The `direct-contact` command with stand-ins for the services."""

from __future__ import annotations

from launcher.__main__ import main
from launcher.supervisor import Role, options

STANDINS = dict.fromkeys(
    (Role.REST_API, Role.GATEWAY, Role.WORKER), "tests.support.standin_service"
)

if __name__ == "__main__":
    options.MODULES = STANDINS
    main()
