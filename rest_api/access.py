"""What endpoints ask for: the services of this process, and a caller whose role is enough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypedDict

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from foundation.errors import Forbidden
from registry.records import Role
from rest_api.edge.authentication import Principal
from rest_api.services import Services


class State(TypedDict):
    """What the application's lifespan gives to every request."""

    services: Services


# Dependencies are asynchronous though they never wait: others would each cost a hop to a thread.
# The key itself is verified before any endpoint; this one only tells OpenAPI about it.
_documented = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="An API key: `dck_<id>_<secret>`"
)


async def services(request: Request) -> Services:
    """The services of this process."""
    found: Services = request.state.services
    return found


def _require(needed: Role) -> Callable[..., Awaitable[Principal]]:
    async def check(
        request: Request,
        _key: Annotated[HTTPAuthorizationCredentials | None, Security(_documented)],
    ) -> Principal:
        principal: Principal = request.state.principal
        if not principal.role.covers(needed):
            raise Forbidden(
                f"this needs the role {needed.value}; the key has {principal.role.value}",
                code="role_too_low",
            )
        return principal

    return check


Api = Annotated[Services, Depends(services)]
Viewer = Annotated[Principal, Depends(_require(Role.VIEWER))]
User = Annotated[Principal, Depends(_require(Role.USER))]
Operator = Annotated[Principal, Depends(_require(Role.OPERATOR))]
Admin = Annotated[Principal, Depends(_require(Role.ADMIN))]
