"""The reverse sweep: order, accumulation, hooks, and what it refuses."""

import numpy as np
import pytest
import torch

import manual
from manual.rules.core import unbroadcast
from manual.tensor import Tensor, apply, backward, lift, tensor

generator = np.random.default_rng(0)


def leaf(*shape):
    return Tensor(generator.standard_normal(shape), requires_grad=True)


def twin(t):
    return torch.tensor(t.data, requires_grad=True)


def double(x):
    def double_pullback(incoming, needs):
        return (incoming * 2,)

    return x * 2, double_pullback


def halves(x):
    def halves_pullback(incoming, needs):
        return (np.concatenate(incoming),)

    return (x[:2].copy(), x[2:].copy()), halves_pullback


def test_a_diamond_sums_its_shares_as_torch_does():
    x, w = leaf(3, 4), leaf(4, 2)
    a, b = twin(x), twin(w)
    seed = generator.standard_normal((3, 2))
    hidden = (x @ w) * 1.5
    (hidden * hidden + hidden).backward(seed)
    hidden = (a @ b) * 1.5
    (hidden * hidden + hidden).backward(torch.tensor(seed))
    np.testing.assert_allclose(x.grad, a.grad.numpy(), rtol=1e-13)
    np.testing.assert_allclose(w.grad, b.grad.numpy(), rtol=1e-13)


def test_a_chain_of_a_hundred_thousand_ops_needs_no_recursion():
    x = leaf(2)
    y = x
    for _ in range(100_000):
        y = apply(double, y) * 0.5
    seed = generator.standard_normal(2)
    y.backward(seed)
    np.testing.assert_array_equal(x.grad, seed)


def test_leaves_accumulate_and_intermediates_keep_nothing():
    x = leaf(3)
    for _ in range(2):
        y = x * 3.0
        y.backward(np.array([1.0, -2.0, 0.5]))
        assert y.grad is None
    np.testing.assert_array_equal(x.grad, [6.0, -12.0, 3.0])


def test_a_leaf_never_shares_memory_with_the_incoming_gradient():
    x = leaf(3)
    seed = generator.standard_normal(3)
    x.backward(seed)
    assert not np.shares_memory(x.grad, seed)
    y, z = leaf(3), leaf(3)
    (y + z).backward(seed)
    assert not np.shares_memory(y.grad, z.grad)
    y.grad[...] = 7
    np.testing.assert_array_equal(z.grad, seed)


def test_gradients_of_earlier_steps_are_not_overwritten():
    x = leaf(3)
    (x * 2.0).backward(np.ones(3))
    kept = x.grad
    x.grad = None
    (x * 5.0).backward(np.ones(3))
    np.testing.assert_array_equal(kept, [2.0, 2.0, 2.0])


def test_what_needs_no_gradient_gets_none():
    x, w = Tensor(generator.standard_normal((3, 2))), leaf(2, 2)
    asked = []

    def product(a, b):
        def product_pullback(incoming, needs):
            asked.append(needs)
            return (None, a.T @ incoming)

        return a @ b, product_pullback

    apply(product, x, w).backward(generator.standard_normal((3, 2)))
    assert asked == [(False, True)]
    assert x.grad is None


def test_several_outputs_and_the_missing_one_is_zero():
    x = leaf(5)
    first, second = apply(halves, x)
    seed = np.array([1.0, -2.0])
    first.backward(seed)
    np.testing.assert_array_equal(x.grad, [1.0, -2.0, 0, 0, 0])
    x.grad = None
    first, second = apply(halves, x)
    backward([first, second], [seed, np.array([3.0, 4.0, 5.0])])
    np.testing.assert_array_equal(x.grad, [1.0, -2.0, 3.0, 4.0, 5.0])


def test_hooks_see_complete_gradients_once_and_may_replace_them():
    x = leaf(2)
    y = x * 2.0
    seen = []
    y.register_hook(lambda g: seen.append(g.copy()))
    remove = x.register_hook(lambda g: g * 10)
    (y * 1.0 + y * 3.0).backward(np.array([1.0, -1.0]))
    np.testing.assert_array_equal(seen, [[4.0, -4.0]])
    np.testing.assert_array_equal(x.grad, [80.0, -80.0])
    remove()
    x.grad = None
    (x * 2.0).backward(np.array([1.0, -1.0]))
    np.testing.assert_array_equal(x.grad, [2.0, -2.0])


def test_retain_grad_keeps_an_intermediate():
    x = leaf(2)
    y = x * 2.0
    y.retain_grad()
    (y * 3.0).backward(np.array([1.0, -1.0]))
    np.testing.assert_array_equal(y.grad, [3.0, -3.0])


def test_no_grad_leaves_no_node():
    x = leaf(2)
    with manual.no_grad():
        assert not (x * 2.0).requires_grad
        with manual.enable_grad():
            assert (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad


def test_a_second_backward_is_refused_unless_the_graph_is_kept():
    x = leaf(2)
    y = x * x
    y.backward(np.array([1.0, 2.0]), retain_graph=True)
    once = x.grad.copy()
    y.backward(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(x.grad, 2 * once)
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward(np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        (lambda g: (g[:1],), r"returned a gradient of shape \(1,\) and dtype float64 for input 0"),
        (lambda g: (g.astype(np.float32),), r"dtype float32 for input 0, which has shape \(3,\) and dtype float64"),
        (lambda g: (g, g), "wrong_pullback returned 2 gradients for 1 inputs"),
    ],
    ids=["shape", "dtype", "count"],
)
def test_a_wrong_gradient_is_refused_by_the_name_of_its_pullback(gradient, message):
    def wrong(x):
        def wrong_pullback(incoming, needs):
            return gradient(incoming)

        return x * 1.0, wrong_pullback

    with pytest.raises(RuntimeError, match=message):
        apply(wrong, leaf(3)).backward(np.array([1.0, 2.0, 3.0]))


def test_backward_of_what_is_no_scalar_asks_for_a_gradient():
    with pytest.raises(RuntimeError, match=r"only for scalar outputs, not for shape \(3,\)"):
        (leaf(3) * 2.0).backward()
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        tensor([1.0]).backward()
    with pytest.raises(RuntimeError, match=r"the gradient has shape \(2,\), the tensor has shape \(3,\)"):
        (leaf(3) * 2.0).backward(np.zeros(2))


def test_integers_cannot_require_gradients():
    with pytest.raises(RuntimeError, match="floating point dtype"):
        Tensor(np.arange(3), requires_grad=True)


def test_unbroadcast_sums_what_was_repeated():
    gradient = generator.standard_normal((2, 3, 4))
    np.testing.assert_array_equal(unbroadcast(gradient, (3, 1)), gradient.sum((0, 2))[:, None])
    assert unbroadcast(gradient, (2, 3, 4)) is gradient


def test_lift_takes_options_by_position_as_torch_does():
    op = lift(manual.rules.sum)
    x = generator.standard_normal((2, 3))
    np.testing.assert_allclose(op(x, 1).data, x.sum(1))
    with pytest.raises(TypeError, match="multiple values for argument 'dim'"):
        op(x, 1, dim=0)
