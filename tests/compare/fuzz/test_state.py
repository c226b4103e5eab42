"""The file from which a campaign is resumed."""

import json

import pytest

from compare.batches import InputError
from compare.fuzz.campaign import Finding
from compare.fuzz.state import StateFile, heading

FIRST = json.dumps(heading(7))


def finding(number, outcome="equivalent"):
    return Finding(number, outcome, "", 0.5, phase="update", noise=float("inf"), nonfinite=True)


def line(number):
    return json.dumps(finding(number).as_dict())


def resumed(path, seed=7):
    state = StateFile(path, seed)
    state.close()
    return state.earlier


def test_what_was_found_is_found_again(tmp_path):
    path = tmp_path / "state"
    state = StateFile(path, 7)
    state.add(finding(4))
    assert path.read_text().count("\n") == 2  # at once, not when it is closed
    state.add(finding(2, "abstained"))
    state.close()
    assert resumed(path) == {4: finding(4), 2: finding(2, "abstained")}


@pytest.mark.parametrize(
    "tail", ['{"number": 9, "outc', "{", line(9), "\N{SNOWMAN}"], ids=["half", "brace", "no newline", "bytes"]
)
def test_a_broken_last_line_is_cut_off(tmp_path, tail):
    path = tmp_path / "state"
    path.write_bytes("\n".join([FIRST, line(1), ""]).encode() + tail.encode()[:-1])
    assert resumed(path) == {1: finding(1)}
    state = StateFile(path, 7)
    state.add(finding(2))
    state.close()
    assert resumed(path) == {1: finding(1), 2: finding(2)}


@pytest.mark.parametrize("content", ["", '{"gradlock_fu'])
def test_a_file_that_was_hardly_begun_is_begun_again(tmp_path, content):
    path = tmp_path / "state"
    path.write_text(content)
    assert resumed(path) == {}
    assert path.read_text() == FIRST + "\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello\n", "is not the state of a campaign; name another file, or remove it"),
        ("[1, 2]\n", "is not the state of a campaign"),
        ('{"seed": 7}\n', "is not the state of a campaign"),
        (f"{FIRST}\nhello\n{line(1)}\n", "is broken in line 2; name another file, or remove it"),
        (f'{FIRST}\n{{"number": 3}}\n', "is broken in line 2"),
        (f'{FIRST}\n{line(1)}\n{{"much": "else"}}\n', "is broken in line 3"),
        (json.dumps(heading(8)) + "\n", "is the state of seed 8, not 7; name another file"),
        (json.dumps({**heading(7), "gradlock_fuzz": 99}) + "\n", "was written by another version"),
        (
            json.dumps({**heading(7), "cases": "other"}) + "\n",
            "was written by another version of gradlock; name another file",
        ),
    ],
)
def test_what_is_no_state_of_this_campaign_is_refused_and_kept(tmp_path, content, message):
    path = tmp_path / "state"
    path.write_text(content)
    with pytest.raises(InputError) as refused:
        StateFile(path, 7)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert path.read_text() == content


def test_no_text_and_no_file_are_refused(tmp_path):
    path = tmp_path / "state"
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(InputError, match="is not the state of a campaign: it is no text"):
        StateFile(path, 7)
    with pytest.raises(InputError, match=r"cannot use .*: Is a directory; try another place"):
        StateFile(tmp_path, 7)
    with pytest.raises(InputError, match=r"cannot use .*: No such file or directory; try another place"):
        StateFile(tmp_path / "nowhere" / "state", 7)
