"""Answers that come together, for callers that wait one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any


def settle(futures: Iterable[asyncio.Future[Any]], answers: Sequence[Any]) -> None:
    """Give each future its answer, or raise it there when it is an `Exception`.

    A future whose caller went away is passed over, and its answer with it.

    Raises:
        ValueError: there are more of the ones than of the others.
    """
    for future, answer in zip(futures, answers, strict=True):
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
