"""Bars of recordings on their way; on the error output, so that the answer can be piped."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Steps = Mapping[str, tuple[float, float]]
"""Where on a recording's bar each step begins and ends."""

ENHANCING: Steps = {"check": (0.0, 0.05), "upload": (0.05, 0.3), "enhance": (0.3, 0.9), "download": (0.9, 1.0)}
UPLOADING: Steps = {"check": (0.0, 0.1), "upload": (0.1, 1.0)}
WATCHING: Steps = {"enhance": (0.0, 1.0)}

Advance = Callable[[str, float], None]
NewBar = Callable[[str], Advance]


@contextmanager
def bars(steps: Steps, *, hidden: bool = False) -> Iterator[NewBar]:
    """Show bars; what is yielded makes one more."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[step]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=hidden) as progress:

        def new_bar(name: str) -> Advance:
            task = progress.add_task(name, total=1.0, step="")

            def advance(step: str, share: float) -> None:
                begin, end = steps[step]
                progress.update(task, completed=begin + (end - begin) * share, step=step)

            return advance

        yield new_bar
