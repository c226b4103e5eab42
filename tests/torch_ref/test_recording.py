"""What the recorder hands out of a module with several outputs, of which one is made of another."""

import numpy as np
import torch
from torch import nn

from torch_ref.recording import Recorder


def recorded(cell, state, loss):
    found = {}

    def record(kind, name, call, label, array):
        found[kind, label] = array.copy()

    recorder = Recorder(cell, record)
    recorder.start()
    outputs = cell(torch.ones(2, 3, dtype=torch.float64), state)
    loss(*outputs).backward()
    recorder.remove()
    return outputs, found


def test_of_several_outputs_only_the_gradient_from_outside_is_seen():
    torch.manual_seed(0)
    cell = nn.LSTMCell(3, 4).double()
    state = tuple(torch.randn(2, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    share = torch.linspace(-1, 2, 8, dtype=torch.float64).reshape(2, 4)
    outputs, found = recorded(cell, state, lambda h, c: (share * h).sum() + 3 * (share * c).sum())
    assert type(outputs) is tuple
    np.testing.assert_array_equal(found["output_gradient", "output.0"], share.numpy())
    np.testing.assert_array_equal(found["output_gradient", "output.1"], 3 * share.numpy())  # the cell also made h
    plain = [tensor.detach().clone().requires_grad_() for tensor in state]
    h, c = nn.LSTMCell.forward(cell, torch.ones(2, 3, dtype=torch.float64), tuple(plain))
    ((share * h).sum() + 3 * (share * c).sum()).backward()
    for watched, alone in zip(state, plain, strict=True):
        np.testing.assert_array_equal(watched.grad.numpy(), alone.grad.numpy())


def test_an_output_that_nobody_uses_has_no_gradient():
    torch.manual_seed(0)
    cell = nn.LSTMCell(3, 4).double()
    _, found = recorded(cell, None, lambda h, c: h.square().sum())
    assert ("output_gradient", "output.0") in found
    assert ("output_gradient", "output.1") not in found
