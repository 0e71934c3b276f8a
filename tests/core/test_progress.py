import io

from rich.console import Console

from trine.core.progress import (
    EventProgress,
    LineProgress,
    Progress,
    ProgressEvent,
    RichProgress,
    SilentProgress,
)


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


def test_a_log_gets_a_line_now_and_then():
    now = [0.0]
    lines: list[str] = []
    progress = LineProgress(lines.append, seconds=10, clock=lambda: now[0])
    with progress.task("training", total=1000) as task, progress.task("inner") as inner:
        for second in range(0, 40, 4):
            now[0] = second
            task.advance(100, note=f"loss {second}")
            inner.advance()
    assert lines == [
        "training: 400 of 1,000 (loss 12)",
        "training: 700 of 1,000 (loss 24)",
        "training: 1,000 of 1,000 (loss 36)",
    ]


def test_a_terminal_shows_bars_and_silence_is_silent():
    terminal = io.StringIO()
    work(RichProgress(Console(file=terminal, force_terminal=True, width=100)))
    assert "outer" in terminal.getvalue()
    assert "value 1" in terminal.getvalue()
    work(SilentProgress())
