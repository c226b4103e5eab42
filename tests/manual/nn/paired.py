"""The same module on both wings: same parameters, same inputs, same draws, random incoming gradients."""

import warnings

import numpy as np
import torch

import manual
from compare.conformance.draws import Drawing
from manual import nn

from ..oracle import BOUNDS, assert_close, outputs_of, random


def pair(name, *args, dtype="float64", **options):
    """Construct both; no parameter keeps a default that hides a mistake (weights of one, biases of zero)."""
    mine = getattr(nn, name)(*args, **options).to(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TransformerEncoder says which fast path it will not take
        theirs = getattr(torch.nn, name)(*args, **options).to(getattr(torch, dtype))
    state = mine.state_dict()
    assert list(state) == list(theirs.state_dict())
    for number, (key, value) in enumerate(theirs.state_dict().items()):
        assert state[key].shape == tuple(value.shape), key
        value.copy_(torch.tensor(0.6 * random(*value.shape, seed=100 + number)))
    mine.load_state_dict({key: value.numpy().copy() for key, value in theirs.state_dict().items()})
    return mine, theirs


def agree(mine, theirs, *inputs, dtype="float64", factor=4.0, **keywords):
    """Call both, compare outputs and all gradients, and hand the manual wing's outputs back.

    Arrays of floating numbers among the inputs and keywords require a gradient; the same array given again is the same
    tensor. What torch draws is replayed.
    """
    made = {}

    def tensors(value, wing):
        if not isinstance(value, np.ndarray):
            return value
        key = (id(value), wing)
        if key not in made:
            floating = value.dtype.kind == "f"
            array = (value.astype(dtype) if value.dtype == np.float64 else value).copy()
            tensor = torch.tensor(array) if wing is torch else manual.tensor(array)
            made[key] = tensor.requires_grad_() if floating else tensor
        return made[key]

    for module in (mine, theirs):
        if hasattr(module, "zero_grad"):
            module.zero_grad()
    with Drawing() as drawn:
        expected = theirs(*(tensors(x, torch) for x in inputs), **{k: tensors(x, torch) for k, x in keywords.items()})
    with manual.random.replaying(drawn.made):
        actual = mine(*(tensors(x, manual) for x in inputs), **{k: tensors(x, manual) for k, x in keywords.items()})
    actual, expected = outputs_of(actual), outputs_of(expected)
    assert [output is None for output in actual] == [output is None for output in expected]
    pairs = [(a, b) for a, b in zip(actual, expected, strict=True) if b is not None]
    bound = BOUNDS[dtype] * factor
    for number, (a, b) in enumerate(pairs):
        assert_close(a.data, b.detach().numpy(), bound, f"output {number}")
    roots = [(a, b) for a, b in pairs if b.requires_grad]
    assert roots
    assert all(a.requires_grad for a, _ in roots)
    seeds = [random(*b.shape, seed=11 + n).astype(a.dtype) for n, (a, b) in enumerate(roots)]
    manual.autograd.backward([a for a, _ in roots], seeds)
    torch.autograd.backward([b for _, b in roots], [torch.tensor(seed) for seed in seeds])
    gradients = [
        (made[key, manual].grad, tensor.grad, f"input {number}")
        for number, ((key, wing), tensor) in enumerate(list(made.items()))
        if wing is torch and tensor.requires_grad
    ]
    if hasattr(mine, "named_parameters"):
        named = dict(theirs.named_parameters())
        gradients += [(p.grad, named[name].grad, name) for name, p in mine.named_parameters()]
    assert gradients
    for ours, reference, what in gradients:
        if reference is None:
            assert ours is None, what
        else:
            assert ours is not None, what
            assert_close(ours, reference.numpy(), bound, f"gradient of {what}")
    return actual
