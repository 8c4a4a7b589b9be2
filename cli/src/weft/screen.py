"""`weft viz top` on a terminal: a full screen that sorts, pauses and hides by single keys."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Static

from weft.errors import Failure
from weft.taps import Event
from weft.views.exchange import Exchange
from weft.views.top import HEADER, Top, cells, left_out

REDRAW_SECONDS = 0.5
SHOWN = 200
"""Rows on the screen; what does not fit is scrolled to, what is beyond is not looked at by anyone."""

Read = Callable[[Callable[[str], None]], Iterator[Event | None]]
"""Gives events until the app ends; what it is called with takes notes for the user."""


class TopScreen(App[None]):
    """Reads events in a thread and draws their totals twice a second."""

    CSS = "#notes { dock: bottom; height: auto; margin-bottom: 1; color: $text-warning; }"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "order('count')", "by Count"),
        Binding("w", "order('worst')", "by Worst"),
        Binding("l", "order('last')", "by Last"),
        Binding("f", "order('failures')", "Failing first"),
        Binding("s", "sources", "Sources on/off"),
        Binding("p", "pause", "Pause"),
        Binding("r", "reset", "Reset"),
        Binding("q,ctrl+c", "quit", "Quit"),
    ]

    def __init__(self, read: Read) -> None:
        super().__init__()
        self._read = read
        self._lock = threading.Lock()
        self._totals = Top()
        self._notes: list[str] = []
        self._order = "count"
        self._sources = True
        self._paused = False
        self.failure: Failure | None = None
        """Why the events ended, if they should not have."""

    def compose(self) -> ComposeResult:
        """A table, notes, and the keys."""
        yield DataTable(cursor_type="row")
        yield Static(id="notes")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to read and to draw."""
        self.set_interval(REDRAW_SECONDS, self.redraw)
        threading.Thread(target=self._follow, daemon=True).start()

    def action_order(self, name: str) -> None:
        """Sort by it."""
        self._order = name
        self.redraw()

    def action_sources(self) -> None:
        """Rows by source, or all sources together."""
        self._sources = not self._sources
        self.redraw()

    def action_pause(self) -> None:
        """Keep what is on the screen; it goes on counting."""
        self._paused = not self._paused

    def action_reset(self) -> None:
        """Count anew."""
        with self._lock:
            self._totals = Top()
        self.redraw()

    def redraw(self) -> None:
        """The rows as they are now, with the cursor where it was."""
        if self._paused:
            return
        with self._lock:
            rows = cells(self._totals.rows(self._order, self._sources)[:SHOWN], self._sources)
            notes = "\n".join(filter(None, [*self._notes, left_out(self._totals)]))
        if not self.query("#notes"):  # it closes: its parts are gone one by one
            return
        table: DataTable[Any] = self.query_one(DataTable)
        row = table.cursor_row
        table.clear(columns=True)
        table.add_columns(*(HEADER if self._sources else HEADER[1:]))
        table.add_rows([*map(Text, row)] for row in rows)
        table.move_cursor(row=row)
        self.query_one("#notes", Static).update(notes or ("" if rows else "waiting for requests …"))

    def _follow(self) -> None:
        try:
            for event in self._read(self._tell):
                if event is not None:
                    with self._lock:
                        self._totals.add(Exchange.parse(event))
        except Failure as failure:
            self.failure = failure
        if self.is_running:
            self.call_from_thread(self.exit)

    def _tell(self, note: str) -> None:
        with self._lock:
            self._notes = [*self._notes, note][-3:]
