"""The page of correlation matrices over time: what it holds, and that it plays in a browser."""

from __future__ import annotations

import base64
import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.dynamics.small_runs import made_reel, small_config
from trine.dynamics.animation import animation_document, render_animation, write_animation
from trine.dynamics.films import Reel, shoot
from trine.dynamics.pictures import winner_order

START = [[[[0.5, 0.2, 0.1, 0.0], [0.1, 0.3, 0.4, 0.2]]]]
END = [[[[-1.0, 0.2, 0.1, 0.9], [0.1, 1.0, 0.4, 0.2]]]]
LAYER = {"teacher": "2", "student": "4", "seeds": 1}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture
def reel() -> Reel:
    return made_reel(START, END, [[[0.5, 0.0]]], **LAYER)


def matrices(layer: dict[str, Any]) -> np.ndarray[Any, Any]:
    data = np.frombuffer(base64.b64decode(layer["data"]), dtype=np.uint8)
    return data.reshape(-1, layer["teachers"], layer["students"]) / 127.5 - 1


def test_winners_come_first_in_the_order_of_their_teacher_nodes():
    correlation = np.array([[0.1, 0.2, 0.9, 0.8, 0.3], [0.7, 0.6, 0.0, 0.1, 0.2]])
    # Winners 2 and 0; then the others by the teacher node they are nearest to: 3 and 4, then 1.
    assert winner_order(correlation).tolist() == [2, 0, 3, 4, 1]


def test_a_student_node_that_wins_twice_stands_once():
    correlation = np.array([[0.9, 0.2], [0.8, 0.1]])
    assert winner_order(correlation).tolist() == [0, 1]


def test_the_document_holds_the_correlations(reel: Reel):
    document = animation_document(reel.snapshots, 0)
    assert [frame["epoch"] for frame in document["frames"]] == [0, 3]
    assert document["frames"][0]["loss"] == 1
    assert document["frames"][1]["best"] == [0.9]  # of the living node alone
    (layer,) = document["layers"]
    assert (layer["teachers"], layer["students"], layer["winners"]) == (2, 4, 2)
    assert layer["dead"] == [1]
    assert layer["order"] == [3, 1, 2, 0]
    # Half of a step of 2/255 is lost, no more.
    shown = matrices(layer)
    for moment, correlation in enumerate((START, END)):
        wanted = np.asarray(correlation[0][0])[:, layer["order"]]
        np.testing.assert_allclose(shown[moment], wanted, atol=1 / 255 + 1e-9)


def test_long_films_are_thinned_and_keep_their_ends(reel: Reel):
    many = [reel.first, *[reel.last] * 50]
    document = animation_document(many, 0, most_bytes=8 * 10)  # ten moments of 2 x 4 bytes
    assert len(document["frames"]) == 10
    assert document["frames"][0]["step"] == 0
    few = animation_document(many, 0, most_bytes=1)
    assert [frame["step"] for frame in few["frames"]] == [0, 96]


class Resources(html.parser.HTMLParser):
    """Every attribute through which a page can fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {n}" for n, _ in attrs if n in ("src", "href", "srcset", "action")]


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(reel: Reel, tmp_path: Path):
    page = write_animation(tmp_path / "animation.html", reel).read_text()
    parser = Resources()
    parser.feed(page)
    assert parser.found == []
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttpRequest|WebSocket", page)
    assert 'type="range"' in page
    assert "prefers-color-scheme: dark" in page
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert json.loads(data[1]) == animation_document(reel.snapshots, 0)


def test_names_cannot_break_out_of_the_page():
    document = {"frames": [], "layers": [], "note": "</script><script>alert(1)</script>"}
    page = render_animation("<b>", document, caption="a & b")
    assert "alert(1)</script>" not in page
    assert "<title>&lt;b&gt;</title>" in page
    assert "a &amp; b" in page


# ---- in a browser -------------------------------------------------------------------------------

# Runs inside the page after its own script, and writes what it saw where --dump-dom shows it.
PROBE = """
<script>
addEventListener("load", () => {
  const seen = {}, key = name => dispatchEvent(new KeyboardEvent("keydown", { key: name }));
  const text = id => document.getElementById(id).textContent;
  const pixel = () => Array.from(document.querySelector("main canvas").getContext("2d")
    .getImageData(2, 2, 1, 1).data);
  seen.start = text("now"); seen.first = pixel();
  key("End"); seen.end = text("now"); seen.last = pixel(); seen.slider = time.value;
  key("ArrowLeft"); seen.back = text("now");
  time.value = 1; time.dispatchEvent(new Event("input")); seen.dragged = text("now");
  key("1"); seen.one = [...document.querySelectorAll("figure")].map(f => f.hidden);
  key("a"); seen.all = [...document.querySelectorAll("figure")].map(f => f.hidden);
  key(" "); seen.playing = text("play"); key(" "); seen.paused = text("play");
  seen.captions = [...document.querySelectorAll("figcaption")].map(c => c.textContent);
  const out = document.createElement("output");
  out.id = "seen"; out.textContent = JSON.stringify(seen); document.body.append(out);
});
addEventListener("error", event => document.documentElement.dataset.error = event.message);
</script>
"""


def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium or Chrome on this machine")
    return found


def test_it_plays_in_a_browser(tmp_path: Path):
    program = browser()
    (reel,) = shoot([small_config(seeds=1)], tmp_path / "cells")
    page = write_animation(tmp_path / "animation.html", reel)
    page.write_text(page.read_text().replace("</head>", PROBE + "</head>"))
    done = subprocess.run(
        [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "data-error" not in done.stdout
    out = re.search(r'<output id="seen">(.*?)</output>', done.stdout, re.DOTALL)
    assert out is not None, done.stdout[-2000:]
    seen = json.loads(out[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert seen["start"].startswith("epoch 0, step 0, evaluation loss ")
    assert seen["end"].startswith("epoch 3, step 96,")
    assert seen["slider"] == str(len(reel.snapshots) - 1)
    assert seen["back"].startswith("epoch 2, step 64,")
    assert seen["dragged"].startswith("epoch 0.31")  # step 10 of 32
    assert seen["one"] == [True, False]
    assert seen["all"] == [False, False]
    assert (seen["playing"], seen["paused"]) == ("Pause", "Play")
    assert seen["captions"][0].startswith("Layer 0: 3 teacher nodes, ")
    # The first cell is what the colours say: white at 0, orange above.
    value = matrices(animation_document(reel.snapshots, 0)["layers"][0])
    for pixel, moment in ((seen["first"], 0), (seen["last"], -1)):
        part = float(value[moment, 0, 0])
        end = (196, 78, 0) if part > 0 else (0, 92, 150)
        wanted = [255 + (e - 255) * abs(part) for e in end]
        np.testing.assert_allclose(pixel[:3], wanted, atol=2)
