"""`trine bridge bid` from end to end."""

import json
from pathlib import Path

import pytest

from tests.bridge.positions import small_network
from tests.conftest import Command
from trine.bridge.cards import format_hand, parse_deal
from trine.bridge.network import save_network

HAND = "AKQ52.K83.A4.J72"


@pytest.fixture
def weights(tmp_path: Path) -> str:
    return str(save_network(tmp_path / "small.safetensors", small_network(3, scale=2.0)))


def test_the_call_with_its_reasons(trine: Command, weights: str):
    line = (
        "bridge", "bid", "--hand", HAND, "--seat", "S", "--dealer", "N", "--vul", "both",
        "--auction", "P 1D", "--bot", weights, "--samples", "16",
    )  # fmt: skip
    done = trine(*line, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["hand"], found["seat"], found["dealer"]) == (HAND, "S", "N")
    assert (found["vulnerability"], found["auction"]) == ("Both", ["P", "1D"])
    named = [each["call"] for each in found["alternatives"]]
    assert found["call"] == named[0]
    p = [each["probability"] for each in found["alternatives"]]
    assert p == sorted(p, reverse=True) and 0.5 < sum(p) <= 1.001
    judged = [each for each in found["alternatives"] if each["expected_imps"] is not None]
    assert judged and all(each["contracts"] for each in judged)
    shows = found["shows"]
    assert shows["call"] == found["call"] and set(shows["lengths"]) == set("CDHS")
    assert 0 <= shows["hcp"][0] <= shows["hcp"][1] <= 37
    assert [each["call"] for each in found["shown_before"]] == ["P", "1D"]
    assert found["sampling"]["deals"] == found["sampling"]["wanted"] == 16
    assert found["sampling"]["effective"] > 10
    for example in found["sampling"]["examples"]:
        assert format_hand(parse_deal(example).hand(2)) == HAND
    # The same question has the same answer.
    again = json.loads(trine(*line, "--json").stdout)
    assert {**again, "seconds": 0} == {**found, "seconds": 0}
    text = trine(*line).stdout
    assert text.startswith(found["call"] + "\nshows: ")
    assert "so far:\n  N P " in text and "16 deals that fit the auction" in text


def test_without_samples_only_the_call(trine: Command, weights: str):
    done = trine("bridge", "bid", "--hand", HAND, "--bot", weights, "--samples", "0", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["sampling"] is None and found["shows"] is None
    assert found["seat"] == found["dealer"] == "N"
    assert found["alternatives"][0]["expected_imps"] is None


def test_rules_explain_themselves_and_search_takes_the_better_call(trine: Command, weights: str):
    done = trine("bridge", "bid", "--hand", HAND, "--bot", "rules", "--json", "--samples", "4")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["explanation"]
    done = trine(
        "bridge", "bid", "--hand", HAND, "--bot", weights, "--search", "--json", "--samples", "32"
    )
    found = json.loads(done.stdout)
    assert found["searched"]
    by_call = {each["call"]: each for each in found["alternatives"]}
    assert by_call[found["call"]]["expected_imps"] >= found["alternatives"][0]["expected_imps"]


@pytest.mark.parametrize(
    ("hand", "options"),
    [
        ("akq52.k83.a4.j72", ("--dealer", "north", "--vul", "All", "--auction", "pass, 1d")),
        ("AKQ102.K83.A4.J72", ("--dealer", "n", "--vul", "e", "--auction", "p 1D")),
        ("AKQJT98765432.-.-.-", ("--seat", "South", "--vul", "love", "--auction", "-- 1d")),
    ],
    ids=["words", "letters", "void"],
)
def test_other_spellings(trine: Command, hand: str, options: tuple[str, ...]):
    done = trine(
        "bridge", "bid", "--hand", hand, *options, "--bot", "pass", "--samples", "0", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["seat"], found["auction"], found["call"]) == ("S", ["P", "1D"], "P")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--hand", "AKQ52.K83.A4.J7"), 2, "--hand: hand 'AKQ52.K83.A4.J7' has 12 cards"),
        (("--hand", "AKQQ2.K83.A4.J72"), 2, "--hand: SQ is twice in hand"),
        (("--hand", "AKQ52.K83.A4J72"), 2, "has 3 suits; accepted: spades.hearts"),
        (("--hand", "AKQ52.K83.A4.J7Z"), 2, "card 'Z' in hand"),
        (("--auction", "1N 1D"), 2, "call 2 of the auction, 1D by E, is not legal: it is not"),
        (("--auction", "P X"), 2, "call 2 of the auction, X by E, is not legal: nobody has bid"),
        (("--auction", "P 1Z"), 2, "--auction: call '1Z'; accepted: P, X, XX, 1C"),
        (("--auction", "1N P P P"), 2, "--auction: '1N P P P' is over"),
        (("--auction", "1N P P P P"), 2, "call 5 of the auction, P by N, is not legal: the"),
        (("--seat", "W", "--auction", "P 1D"), 2, "it is not W's turn but S's after 'P 1D'"),
        (("--seat", "S"), 2, "it is not S's turn but N's at the start, with dealer N"),
        (("--seat", "X"), 2, "--seat: seat 'X'; accepted: N, E, S, W"),
        (("--dealer", "Q"), 2, "--dealer: seat 'Q'; accepted: N, E, S, W"),
        (("--vul", "some"), 2, "--vul: vulnerability 'some'; accepted: None, NS, EW, Both"),
        (("--bot", "wbridge5"), 2, "bot 'wbridge5'; accepted: pass, random, rules, trine"),
        (("--bot", "none.safetensors"), 3, "no file none.safetensors"),
        (("--samples", "0", "--search"), 2, "--search with --samples 0"),
        (("--samples", "-1"), 2, "Invalid value for '--samples'"),
    ],
    ids=[
        "12 cards", "twice", "suits", "card", "low bid", "double", "no call", "over", "beyond",
        "turn", "first turn", "seat", "dealer", "vul", "bot", "file", "search", "samples",
    ],
)  # fmt: skip
def test_mistakes_are_one_line(trine: Command, options: tuple[str, ...], code: int, message: str):
    usual = ("--hand", HAND, "--bot", "pass")
    done = trine("bridge", "bid", *usual, *options)  # the last of an option given twice counts
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1 and not done.stdout


def test_a_call_that_nobody_would_make_is_told(trine: Command):
    done = trine("bridge", "bid", "--hand", HAND, "--bot", "pass", "--auction", "7N")
    assert done.returncode == 0, done.stderr
    assert "hardly any hand makes call 1, 7NT by N: nothing is concluded from it" in done.stdout
