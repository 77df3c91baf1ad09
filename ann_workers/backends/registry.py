"""Finds backends by the entry point group `direct_contact.backends`: others can add theirs."""

from __future__ import annotations

from importlib.metadata import entry_points

from ann_workers.backends.port import Backend
from foundation.errors import NotFound, Unavailable
from foundation.settings import Settings

GROUP = "direct_contact.backends"


def known_backends() -> list[str]:
    """The names of the backends that are installed, sorted."""
    return sorted(entry_points(group=GROUP).names)


def find_backend(name: str, settings: Settings | None = None) -> Backend:
    """The backend of that name.

    A class with a classmethod `configured` is made by calling that with `settings`, the worker's
    own; any other, or without settings, by calling the class without arguments.

    Raises:
        NotFound: no installed distribution offers it; the message lists those that are.
        Unavailable: it is installed but can't be imported here, such as for a missing extra.
    """
    found = tuple(entry_points(group=GROUP, name=name))
    if not found:
        known = ", ".join(known_backends()) or "none"
        raise NotFound(
            f"no backend {name!r} is installed; known are: {known}",
            code="unknown_backend",
            field="backend",
        )
    try:
        made = found[0].load()
        configured = getattr(made, "configured", None)
        backend: Backend
        if settings is not None and configured is not None:
            backend = configured(settings)
        else:
            backend = made()
    except ImportError as error:
        raise Unavailable(
            f"the backend {name!r} ({found[0].value}) can't be imported here: {error}",
            code="backend_unavailable",
            field="backend",
        ) from error
    return backend
