"""What the demo shows while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from launcher.demo.drawing import beside, draw

_NAME_WIDTH = len("ann-worker-1-012345")


class Bar(Protocol):
    """A progress bar."""

    def update(self, done: int, note: str) -> None:
        """Show that `done` of the total is done, with a note."""


class Screen(Protocol):
    """Where the steps tell what they do."""

    def step(self, number: int, title: str) -> None:
        """A step begins."""

    def say(self, text: str) -> None:
        """One line of it."""

    def bar(self, total: int) -> contextlib.AbstractContextManager[Bar]:
        """A progress bar, while inside."""

    def digits(self, images: Sequence[npt.NDArray[np.float32]], captions: Sequence[str]) -> None:
        """Draw digits, each with a caption."""

    def table(self, rows: Sequence[Mapping[str, object]]) -> None:
        """The figures, one row for each step."""


class _NoBar:
    def update(self, done: int, note: str) -> None:
        """Show nothing."""


class SilentScreen:
    """Shows nothing: for `--json`, and for tests."""

    def step(self, number: int, title: str) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""

    @contextlib.contextmanager
    def bar(self, total: int) -> Iterator[Bar]:  # noqa: ARG002  # the Screen's signature
        """Show nothing."""
        yield _NoBar()

    def digits(self, images: Sequence[npt.NDArray[np.float32]], captions: Sequence[str]) -> None:
        """Show nothing."""

    def table(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Show nothing."""


class TerminalScreen:
    """Shows it on standard output; colours and a moving bar when that is a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False)

    def step(self, number: int, title: str) -> None:
        """A numbered heading."""
        self._console.print(f"\n[bold cyan]{number}[/bold cyan] [bold]{title}[/bold]")

    def say(self, text: str) -> None:
        """An indented line."""
        self._console.print(f"  {text}", markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def bar(self, total: int) -> Iterator[Bar]:
        """A bar with its note; only its end remains where nothing can move."""
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (
            TextColumn(" "), BarColumn(bar_width=40), TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task("", total=total, note="")

            class Moving:
                def update(self, done: int, note: str) -> None:
                    progress.update(task, completed=done, note=note)

            yield Moving()

    def digits(self, images: Sequence[npt.NDArray[np.float32]], captions: Sequence[str]) -> None:
        """The digits side by side."""
        colours = self._console.is_terminal and not self._console.no_color
        drawn = beside([draw(image, colours=colours) for image in images], captions)
        for line in drawn.splitlines():
            self._console.file.write(f"  {line}\n")

    def table(self, rows: Sequence[Mapping[str, object]]) -> None:
        """A table with a column for each figure."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE, pad_edge=False, collapse_padding=True)
        names = list(rows[0])
        for name in names:
            sample = rows[0][name]
            table.add_column(
                name.replace("_per_s", "/s").replace("_", " "),
                justify="right" if isinstance(sample, int | float) else "left",
                no_wrap=not isinstance(sample, list),
                min_width=_NAME_WIDTH if isinstance(sample, list) else None,
            )
        for row in rows:
            table.add_row(*(_cell(row[name]) for name in names))
        self._console.print(table)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
