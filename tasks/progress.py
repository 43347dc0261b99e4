"""One line a stage on the terminal: its name, what it does, how long it took or that it was there already."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.status import Status
from rich.text import Text

CONSOLE: Final = Console(stderr=True, highlight=False)

_DOES: Final = {
    "ingest": "read the source's files",
    "check": "gate the tables, set bad rows aside",
    "encode": "ids to dense rows, purchases by user",
    "windows": "lay out training and test windows",
    "embed": "item words and pictures to vectors",
    "fusion": "one vector an item, from purchases before",
    "retrievers": "fit the retrievers as of",
    "lists": "candidates and features,",
    "lists-part": "the same of some users,",
    "cluster": "finish what runs on",
    "ranker": "fit and calibrate the ranker on all training windows",
    "evaluate": "judge the test window against the baselines",
    "rules": "answer the test window with and without rules",
    "reference": "what days to come will be compared with",
    "release": "write and verify the release",
    "promote": "judge it against what is in production",
    "production": "open and verify the release to go on from",
    "follow": "new purchases behind those it knows",
    "place": "all items by the network that it has",
    "refresh": "fit the retrievers, going on from its own, as of",
    "forward": "judge it by what was bought since,",
    "drift": "hold a day against the release's reference",
    "choose": "verify the release that goes inside",
    "score": "lists for users, part by part,",
    "packages": "the service's wheels, pinned and hashed",
    "bento": "code and release, packed by BentoML",
    "image": "build it and list what is in it",
    "push": "to the registry, and compare digests",
}


@dataclass
class Line:
    """A stage's line while the stage runs."""

    status: Status
    text: str
    cached: bool = False

    def report(self, done: int, total: int) -> None:
        """Show how far the stage is."""
        self.status.update(f"{self.text} {done:,} of {total:,} …")


@contextmanager
def line(stage: str, label: str = "") -> Iterator[Line]:
    """Show that a stage runs, then how it ended."""
    text = f"{_DOES.get(stage, stage)} {label}".strip()
    start = time.perf_counter()
    with CONSOLE.status(f"[bold]{stage:<11}[/] {text} …") as status:
        ending = Line(status, f"[bold]{stage:<11}[/] {text}")
        try:
            yield ending
        except BaseException:
            CONSOLE.print(_row("✗", "red", stage, text, "failed"))
            raise
    seconds = f"{time.perf_counter() - start:.1f} s"
    CONSOLE.print(_row("=", "dim", stage, text, "unchanged") if ending.cached else _row("✓", "green", stage, text, seconds))


def note(text: str) -> None:
    """Say something worth knowing that is no failure, above the line of the stage that runs."""
    CONSOLE.print(Text(f"  {text}", style="dim"), soft_wrap=True)


def _row(mark: str, style: str, stage: str, text: str, end: str) -> Text:
    return Text.assemble((f"{mark} ", style), (f"{stage:<11} ", "bold"), f"{text:<46} ", (f"{end:>10}", style))
