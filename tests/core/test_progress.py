import io

from rich.console import Console

from trine.core.progress import EventProgress, Progress, ProgressEvent, RichProgress, SilentProgress


def work(progress: Progress) -> None:
    with progress.task("outer", total=2) as outer:
        for step in range(2):
            with progress.task("inner") as inner:
                inner.advance()
            outer.advance(note=f"value {step}")


def test_events_tell_everything():
    events: list[ProgressEvent] = []
    work(EventProgress(events.append))
    outer = [event for event in events if event.description == "outer"]
    assert [(event.done, event.note, event.ended) for event in outer] == [
        (0, "", False),
        (1, "value 0", False),
        (2, "value 1", False),
        (2, "", True),
    ]


def test_a_terminal_shows_bars_and_a_pipe_nothing():
    terminal = io.StringIO()
    work(RichProgress(Console(file=terminal, force_terminal=True, width=100)))
    assert "outer" in terminal.getvalue()
    assert "value 1" in terminal.getvalue()
    work(SilentProgress())
