"""Functions of torch.nn.functional that no module has."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import manual
from compare.conformance.draws import Drawing
from manual.nn import functional

from ..oracle import BOUNDS, assert_close, check_central, random

x, kernel, bias = random(5, 2, 3), random(2, 3, 4), random(4)


@pytest.mark.parametrize(
    "inputs",
    [
        (x, kernel[:, :2], bias), (x, kernel, bias[:2]), (x[0], kernel, bias), (x, kernel[0], bias), (x, kernel, bias[None]),
        (x[:1], np.concatenate([kernel] * 3), bias),
    ],
)  # fmt: skip
def test_conv_tbc_refuses_what_torch_refuses_in_its_words(inputs):
    with pytest.raises(RuntimeError) as refusal:
        F.conv_tbc(*map(torch.tensor, inputs))
    with pytest.raises(RuntimeError) as ours:
        functional.conv_tbc(*inputs)
    assert str(ours.value) == str(refusal.value)


def test_conv_tbc_refuses_negative_padding():
    with pytest.raises(RuntimeError, match="negative padding"):
        functional.conv_tbc(x, kernel, bias, -1)


OPTIONS = [{}, {"tau": 0.5}, {"hard": True}, {"tau": 2.0, "hard": True, "dim": 0}, {"dim": 1}]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gumbel_softmax_with_torchs_draws(options, dtype):
    logits = random(3, 4, 5).astype(dtype)
    theirs = torch.tensor(logits, requires_grad=True)
    torch.manual_seed(3)
    with Drawing() as drawing:
        expected = F.gumbel_softmax(theirs, **options)
    mine = manual.tensor(logits, requires_grad=True)
    with manual.random.replaying(drawing.made):
        actual = functional.gumbel_softmax(mine, **options)
    seed = random(3, 4, 5, seed=9).astype(dtype)
    actual.backward(seed)
    expected.backward(torch.tensor(seed))
    assert_close(actual.data, expected.detach().numpy(), BOUNDS[dtype], "value")
    assert_close(mine.grad, theirs.grad.numpy(), BOUNDS[dtype], "gradient")
    if dtype == "float64" and not options.get("hard"):

        def replayed(logits):
            with manual.random.replaying(drawing.made):
                return functional.gumbel_softmax(logits, **options)

        check_central(replayed, [logits], [mine.grad], [seed])


def test_gumbel_softmax_draws_classes_with_the_probabilities_of_the_softmax():
    manual.random.manual_seed(0)
    logits = np.log(np.array([0.5, 0.2, 0.3]))
    drawn = functional.gumbel_softmax(np.tile(logits, (20_000, 1)), hard=True).data
    np.testing.assert_allclose(drawn.sum(axis=1), 1)
    np.testing.assert_allclose(drawn.mean(axis=0), [0.5, 0.2, 0.3], atol=0.015)  # four standard deviations


def test_gumbel_softmax_warns_of_an_argument_without_effect():
    for wing, logits in ((functional, x), (F, torch.tensor(x))):
        with pytest.warns(UserWarning, match="`eps` parameter is deprecated and has no effect") as caught:
            wing.gumbel_softmax(logits, eps=1e-5)
        assert caught[0].filename == __file__
