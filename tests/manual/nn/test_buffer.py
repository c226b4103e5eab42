"""Buffers by assignment, and other small arguments of torch.nn that are easily forgotten."""

import copy

import numpy as np
import pytest
import torch

import manual
from manual import nn


def counting(wing, as_array):
    class Counting(wing.nn.Module):
        def __init__(self):
            super().__init__()
            self.kept = wing.nn.Buffer(as_array([1.0, 2.0]))
            self.passing = wing.nn.Buffer(as_array([3.0]), persistent=False)

    return Counting()


def test_an_assigned_buffer_is_registered():
    mine, theirs = counting(manual, np.array), counting(torch, torch.tensor)
    assert (
        [name for name, _ in mine.named_buffers()]
        == [name for name, _ in theirs.named_buffers()]
        == ["kept", "passing"]
    )
    assert list(mine.state_dict()) == list(theirs.state_dict()) == ["kept"]
    assert not list(mine.parameters())
    assert type(mine.kept) is np.ndarray
    mine.load_state_dict({"kept": np.array([5.0, 6.0])})
    np.testing.assert_array_equal(mine.kept, [5, 6])
    mine.kept = np.array([7.0, 8.0])
    np.testing.assert_array_equal(mine.state_dict()["kept"], [7, 8])


def test_an_assigned_buffer_takes_the_place_of_an_attribute_and_may_change_its_persistence():
    module = counting(manual, np.array)
    module.plain = 1
    module.plain = nn.Buffer(np.zeros(2), persistent=False)
    module.kept = nn.Buffer(np.ones(3), persistent=False)
    assert not module.state_dict()
    assert [name for name, _ in module.named_buffers()] == ["kept", "passing", "plain"]
    module.passing = nn.Buffer(np.ones(3))
    assert list(module.state_dict()) == ["passing"]


def test_a_buffer_views_its_array_and_survives_copying():
    array = np.zeros(3)
    buffer = nn.Buffer(array, persistent=False)
    buffer[1] = 4
    assert array[1] == 4
    assert not copy.deepcopy(buffer).persistent
    assert nn.Buffer(manual.tensor([1.0])).dtype == np.float32
    assert nn.Buffer().shape == tuple(torch.nn.Buffer().shape) == (0,)
    assert nn.Parameter().shape == tuple(torch.nn.Parameter().shape) == (0,)
    assert nn.Parameter().dtype == np.float32


def test_a_buffer_before_the_constructor_of_module_is_refused():
    class Hasty(nn.Module):
        def __init__(self):
            self.early = nn.Buffer(np.zeros(1))

    with pytest.raises(AttributeError, match=r"call super\(\)"):
        Hasty()


@pytest.mark.parametrize(("options", "bounds"), [({"min_value": -3.0}, (-3.0, 1.0)), ({"max_value": 0.5}, (-1.0, 0.5))])
def test_old_names_of_hardtanh_warn_and_work(options, bounds):
    for wing in (manual, torch):
        with pytest.warns(FutureWarning, match="is deprecated and renamed to") as caught:
            module = wing.nn.Hardtanh(**options)
        assert (module.min_val, module.max_val) == bounds
        assert caught[0].filename == __file__
    for wing in (manual, torch):
        with pytest.raises(AssertionError, match=r"max_val \(1\.0\) must be greater than min_val \(2\.0\)"):
            wing.nn.Hardtanh(2.0)
