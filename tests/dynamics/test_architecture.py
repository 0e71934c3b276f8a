import pytest
from hypothesis import given
from hypothesis import strategies as st

from trine.core.errors import UsageError
from trine.dynamics.architecture import Architecture, parse_widths

REFERENCE = Architecture(20, (10, 15, 20, 25), 100)


def test_the_reference_student_of_tian_2019_is_ten_times_as_wide():
    student = REFERENCE.wider(10)
    assert student.widths == (20, 100, 150, 200, 250, 100)
    assert student.num_weights == 20 * 100 + 100 * 150 + 150 * 200 + 200 * 250 + 250 * 100
    assert student.label == "100-150-200-250"
    REFERENCE.check_student(student)


def test_a_factor_may_be_fractional_if_all_widths_are_whole():
    assert Architecture(5, (10, 20), 3).wider(1.5).hidden == (15, 30)
    with pytest.raises(UsageError, match=r"15-22\.5"):
        Architecture(5, (10, 15), 3).wider(1.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"outputs": 0}, "outputs: width 0"),
        ({"inputs": -1}, "inputs: width -1"),
        ({"hidden": (10, 0)}, "hidden layer 1: width 0"),
        ({"hidden": ()}, "without hidden layer"),
        ({"slope": 1.5}, "slope 1.5"),
        ({"slope": float("nan")}, "slope nan"),
        ({"batch_norm": "before"}, "unknown place of BatchNorm 'before'"),
    ],
)
def test_impossible_networks_are_refused_in_one_line(values, message):
    with pytest.raises(UsageError, match=message) as caught:
        Architecture(**{"inputs": 5, "hidden": (4,), "outputs": 3, **values})
    assert "accepted" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (Architecture(5, (4, 5), 3), "hidden layer 1: student width 5 is narrower"),
        (Architecture(5, (4,), 3), "hidden layers: teacher 2, student 1"),
        (Architecture(6, (4, 6), 3), "inputs: teacher 5, student 6"),
        (Architecture(5, (4, 6), 2), "outputs: teacher 3, student 2"),
    ],
)
def test_a_student_that_does_not_fit_is_refused(student, message):
    with pytest.raises(UsageError, match=message):
        Architecture(5, (4, 6), 3).check_student(student)


def test_a_student_narrower_than_its_teacher_cannot_be_asked_for():
    with pytest.raises(UsageError, match="narrower than the teacher"):
        REFERENCE.wider(0.5)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=6))
def test_widths_go_through_text(widths):
    assert parse_widths("-".join(map(str, widths))) == tuple(widths)


@pytest.mark.parametrize("text", ["", "10-", "10-x", "0-5", "10,15", "-5", "1.5"])
def test_other_texts_are_refused(text):
    with pytest.raises(UsageError, match="widths"):
        parse_widths(text)
