import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.core import errors
from trine.core.errors import ExitCode, UsageError, UserError, nearest, one_line

KINDS = [getattr(errors, name) for name in errors.__all__ if name[0].isupper()]
KINDS = [kind for kind in KINDS if issubclass(kind, UserError)]


def test_exit_codes_are_the_documented_ones():
    codes = {kind.__name__: int(kind.exit_code) for kind in KINDS}
    assert codes == {
        "CheckFailed": 1,
        "ConfigError": 2,
        "DataError": 3,
        "Interrupted": 130,
        "MissingExtra": 3,
        "UsageError": 2,
        "UserError": 2,
    }
    assert ExitCode.DONE == 0


@given(st.text(), st.text(), st.text())
def test_a_message_is_always_one_line(given_part: str, accepted: str, hint: str):
    assert len(one_line(given_part, accepted, hint).splitlines()) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_errors_keep_their_message_through_a_process_pool(kind: type[UserError]):
    error = kind("size 0", accepted="1 to 8", hint="try 4")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error) == "size 0; accepted: 1 to 8; try 4"


def test_an_unknown_name_gets_the_nearest_ones():
    error = UsageError.unknown("game", "comn", ["comm", "kuhn"], hint="try: trine games list")
    assert str(error) == (
        "unknown game 'comn'; accepted: comm, kuhn; did you mean 'comm'?; try: trine games list"
    )
    assert "did you mean" not in str(UsageError.unknown("game", "zzz", ["comm", "kuhn"]))
    assert nearest("COMM", ["comm"]) == ["comm"]
