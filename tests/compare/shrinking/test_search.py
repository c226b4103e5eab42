"""The search alone: what is kept, what is judged, and when it ends."""

import pytest

from compare.shrinking.search import Search, sizes_below


def _smaller(number):
    yield from sizes_below(number)


@pytest.mark.parametrize(
    ("size", "least", "expected"), [(9, 1, [1, 2, 3, 4, 8]), (2, 1, [1]), (1, 1, []), (5, 2, [2, 3, 4])]
)
def test_the_boldest_sizes_are_tried_first(size, least, expected):
    assert sizes_below(size, least) == expected


def test_the_smallest_that_still_fails_is_found():
    assert Search(lambda n: n % 7 == 0, lambda n: n).smallest(64 * 7, [_smaller]) >= 7
    assert Search(lambda n: n >= 13, lambda n: n).smallest(1000, [_smaller]) == 13


def test_no_case_is_judged_twice():
    judged = []
    search = Search(lambda n: judged.append(n) or n >= 5, lambda n: n)
    search.smallest(40, [_smaller, _smaller])
    assert len(judged) == len(set(judged)) == search.tried


def test_time_that_is_up_ends_the_search_and_is_said():
    search = Search(lambda n: True, lambda n: n, seconds=0.0)
    assert search.smallest(40, [_smaller]) == 40
    assert search.out_of_time
    assert search.tried == 0


def test_progress_is_told_of_every_attempt():
    told = []
    Search(lambda n: n >= 3, lambda n: n, on_try=lambda tried, kept: told.append((tried, kept))).smallest(6, [_smaller])
    assert told == [(1, False), (2, False), (3, True)]
