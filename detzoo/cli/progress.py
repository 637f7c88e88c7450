"""A progress bar with images per second."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def image_progress(*, is_shown: bool = True, console: Console | None = None) -> Progress:
    """A bar that disappears at its end, for tasks that count images.

    Shows how many are done, how many per second, and the time left. ``console`` prints above it.
    """
    from rich import get_console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.1f}/s")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        # Without a terminal, it would print empty lines.
        disable=not (is_shown and (console or get_console()).is_terminal),
    )
