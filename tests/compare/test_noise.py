"""Stochastic arithmetic: what is moved, by how much, and what is not."""

import numpy as np
import pytest
import torch
from torch import nn

from compare.kinks import Deciding
from compare.noise import Perturbing

X = torch.from_numpy(np.random.default_rng(0).standard_normal((40, 30)))


def moved(function, *inputs, seed=0, amplitude=1.0):
    """The largest relative change of an op's result under noise, in units in the last place."""
    plain = function(*inputs)
    with Perturbing(seed, amplitude):
        noisy = function(*inputs)
    eps = torch.finfo(plain.dtype).eps
    return float(((noisy - plain).abs() / (plain.abs() + 1e-300)).max()) / eps


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_result_moves_by_the_last_bit_of_its_own_dtype(dtype):
    found = moved(torch.exp, X.to(dtype))
    assert 0.2 < found <= 2.0  # where the mantissa is near two a unit in the last place is half of eps


def test_the_same_seed_gives_the_same_noise_and_another_another():
    def noisy(seed):
        with Perturbing(seed):
            return torch.tanh(X) @ X.T

    assert torch.equal(noisy(1), noisy(1))
    assert not torch.equal(noisy(1), noisy(2))


def test_the_stream_of_random_numbers_is_left_alone():
    torch.manual_seed(3)
    plain = torch.rand(4)
    torch.manual_seed(3)
    with Perturbing(0):
        torch.exp(X)
        assert torch.equal(torch.rand(4), plain)


EXACT = {
    "a copy": lambda x: x.clone(),
    "a selection": lambda x: x[3:7, ::2],
    "gathered rows": lambda x: x[torch.tensor([3, 1, 1])],
    "a view": lambda x: x.T.reshape(-1),
    "a joined tensor": lambda x: torch.cat([x, x]),
    "relu": torch.relu,
    "a maximum": lambda x: x.max(1).values,
    "a clip": lambda x: x.clamp(-0.5, 0.5),
    "a mask": lambda x: torch.where(x > 0, x, torch.zeros(())),
    "an absolute value": torch.abs,
    "sorted": lambda x: x.sort(1).values,
    "a fill": lambda x: torch.full_like(x, 0.1),
    "padding": lambda x: nn.functional.pad(x, (1, 1)),
    "a fractional pooling": lambda x: nn.functional.fractional_max_pool2d(
        x.reshape(3, 20, 20), 2, 7, _random_samples=torch.full((1, 3, 2), 0.3, dtype=x.dtype)
    ),
    "an unpooling": lambda x: nn.functional.max_unpool2d(x[None], torch.arange(1200).reshape(1, 40, 30), 2),
}


@pytest.mark.parametrize("op", EXACT)
def test_what_copies_selects_or_compares_is_exact(op):
    assert moved(EXACT[op], X) == 0.0


def test_integers_and_step_counters_are_exact():
    step = torch.zeros(())
    with Perturbing(0):
        step += 1
        assert torch.equal(torch.arange(5) + 1, torch.tensor([1, 2, 3, 4, 5]))
    assert step == 1.0


def test_the_operands_of_a_sum_are_moved_not_only_its_result():
    """The terms cancel: one unit in the last place of the *result* would be nothing."""
    terms = torch.cat([X.flatten(), -X.flatten()])
    plain = terms.sum()
    with Perturbing(0):
        noisy = terms.sum()
    assert abs(noisy - plain) > 1e-16 * terms.abs().max()


VOLUME = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 2, 6, 6, 6)))
SAMPLES = torch.full((1, 2, 3), 0.3, dtype=torch.float64)
ADDING = {
    "a mean of windows of a volume": lambda x: nn.functional.adaptive_avg_pool3d(x, (2, 1, 1)),
    "what windows hand back": lambda x: nn.functional.adaptive_avg_pool3d(x, 7),
    "maxima of windows of a volume": lambda x: nn.functional.max_pool3d(x, 3, 1),
    "maxima of as many windows": lambda x: nn.functional.adaptive_max_pool3d(x, 9),
    "maxima of as many windows of a plane": lambda x: nn.functional.adaptive_max_pool2d(x[0], 9),
    "maxima of windows at random": lambda x: nn.functional.fractional_max_pool3d(x, 3, 3, _random_samples=SAMPLES),
    "maxima of windows of a plane at random": lambda x: nn.functional.fractional_max_pool2d(
        x[:, :, 0], 3, 4, _random_samples=SAMPLES[..., :2]
    ),
    "a reflected row": lambda x: nn.functional.pad(x[0, 0], (3, 3), "reflect"),
    "a reflected plane": lambda x: nn.functional.pad(x[0], (3, 3, 3, 3), "reflect"),
    "a reflected volume": lambda x: nn.functional.pad(x, (3, 3, 3, 3, 3, 3), "reflect"),
    "a repeated end of a row": lambda x: nn.functional.pad(x[0, 0], (3, 3), "replicate"),
    "a repeated end of a plane": lambda x: nn.functional.pad(x[0], (3, 3, 3, 3), "replicate"),
    "a repeated end of a volume": lambda x: nn.functional.pad(x, (3, 3, 3, 3, 3, 3), "replicate"),
}


@pytest.mark.parametrize("op", ADDING)
def test_what_adds_up_knows_no_more_than_its_terms(op):
    """Terms that cancel, forward or backward: the smallest sums are moved by much more than their last bit."""
    halves = VOLUME.reshape(1, 2, 2, 3, 6, 6)
    volume = (halves - halves.mean((3, 4, 5), keepdim=True)).reshape(VOLUME.shape)

    def sums(x):
        x = x.clone().requires_grad_()
        out = ADDING[op](x)
        seed = torch.from_numpy(np.random.default_rng(2).choice([-1.0, 1.0, 1e-9], out.shape))
        (gradient,) = torch.autograd.grad(out, x, seed)
        return torch.cat([out.detach().flatten(), gradient.flatten()])

    plain = sums(volume)
    with Perturbing(0, decisions=_decided(sums, volume)):
        noisy = sums(volume)
    eps = torch.finfo(plain.dtype).eps
    assert float(((noisy - plain).abs() / (plain.abs() + 1e-300)).max()) / eps > 50


def _decided(function, x):
    with (deciding := Deciding()):
        function(x)
    return deciding.made


def test_a_matrix_product_knows_no_more_than_its_terms():
    row = torch.cat([X[0], -X[0]])[None]
    column = torch.ones(60, 1, dtype=torch.float64)
    with Perturbing(0):
        assert (row @ column).abs() > 1e-17


def test_more_terms_more_noise():
    """A running sum of n terms loses about sqrt(n) / 8 times as much as a pairwise one."""
    many = torch.ones(40_000, dtype=torch.float32)
    assert moved(lambda x: x.sum(), many) > 4 * moved(lambda x: x.sum(), many[:60])


def test_operands_are_copied_and_parameters_stay_as_they_are():
    layer = nn.Linear(30, 4, dtype=torch.float64)
    before = layer.weight.detach().clone()
    with Perturbing(0):
        layer(X).sum().backward()
    assert torch.equal(layer.weight, before)


def test_what_an_op_changes_in_place_is_moved_too():
    def doubled(x):
        y = x.clone()
        y.mul_(1.0)
        return y

    assert 0.2 < moved(doubled, X) <= 2.0


def test_running_statistics_are_moved_though_no_schema_says_that_they_change():
    def statistics(x):
        layer = nn.BatchNorm1d(30, dtype=torch.float64)
        layer(x)
        return torch.cat([layer.running_mean, layer.running_var])

    assert 0.1 < moved(statistics, X + 5) < 100


def test_an_infinity_stays_one():
    scores = X.clone()
    scores[:, 0] = -torch.inf
    with Perturbing(0):
        found = torch.softmax(scores, 1)
    assert (found[:, 0] == 0).all()
    assert found.isfinite().all()


def test_a_probability_stays_one():
    logits = torch.tensor([[800.0, 0.0], [0.0, 800.0]], dtype=torch.float64)
    with Perturbing(0, 64.0):
        assert torch.softmax(logits, 1).max() <= 1.0
        assert torch.sigmoid(logits).max() <= 1.0


def test_a_saturated_loss_is_a_difference_of_its_logits():
    logits = torch.tensor([[30.0, 0.0]], dtype=torch.float64)
    found = moved(lambda x: nn.functional.cross_entropy(x, torch.tensor([0])), logits)
    assert found > 1e10  # 1e-13 as the difference of numbers of size 30


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_an_update_is_moved(optimizer):
    def stepped(x):
        parameter = nn.Parameter(x.clone())
        parameter.grad = x.cos()
        getattr(torch.optim, optimizer)([parameter], lr=0.1, foreach=False).step()
        return parameter.detach()

    assert 0.2 < moved(stepped, X) < 1e4


def test_the_gates_that_a_fused_lstm_saves_are_moved():
    """Gates that are nearly open have slopes ``1 - y`` that nobody knows better than to the last bit of 1."""
    torch.manual_seed(0)
    lstm = nn.LSTM(3, 2)
    with torch.no_grad():
        lstm.bias_ih_l0[:2] = 12.0  # the input gates: 1 - y is some 6e-6

    def gradient():
        lstm.zero_grad()
        lstm(X[:4, :6].reshape(4, 2, 3).float())[0].sum().backward()
        return lstm.weight_ih_l0.grad.clone()

    plain = gradient()
    reruns = []
    for seed in range(4):
        with Perturbing(seed):
            reruns.append(gradient())
    spread = torch.stack([(rerun - plain).abs() for rerun in reruns]).amax((0, 2)) / plain.abs().amax(1)
    assert (spread[:2] > 1e-3).all()
    assert (spread[4:] < 1e-5).all()


def test_adding_the_same_number_again_and_again_drifts():
    """Rounding goes the same way every time: a running sum of equal terms errs by a share of their number."""
    n = 400
    running = np.cumsum(np.full(n, 0.0016949152542372881))[-1]
    exact = n * 0.0016949152542372881
    same, other = torch.full((n, 3), 0.0016949152542372881, dtype=torch.float64), torch.rand(n, 3, dtype=torch.float64)

    def widest(x, repeats):
        spread = 0.0
        for seed in range(8):
            with Perturbing(seed, repeats=repeats):
                found = x.sum(0)
            spread = max(spread, float((found - x.sum(0)).abs().max() / x.sum(0).max()))
        return spread

    assert abs(running - exact) / exact > 5 * widest(same, False)
    assert abs(running - exact) / exact < 5 * widest(same, True)
    assert widest(other, True) == widest(other, False)


COMPOUND = {
    "a + alpha b": lambda x, y: torch.add(x, y, alpha=0.1),
    "a - alpha b": lambda x, y: torch.sub(x, -y, alpha=0.1),
    "a + alpha b in place": lambda x, y: x.clone().add_(y, alpha=0.1),
    "a + c b d": lambda x, y: torch.addcmul(x, y, torch.full_like(y, 0.5), value=0.2),
    "a + c b / d": lambda x, y: torch.addcdiv(x, y, torch.full_like(y, 2.0), value=0.2),
    "between a and b": lambda x, y: 11 * torch.lerp(x, y, 1 / 11),
}


@pytest.mark.parametrize("name", COMPOUND)
def test_a_sum_with_a_product_that_cancels_moves_by_the_products_last_bit_if_asked(name):
    x = X.abs() + 0.5
    y = -10 * x * (1 + 1e-9)  # what is left is a billionth of either
    function = COMPOUND[name]
    plain = function(x, y)
    found = {}
    for compound in (False, True):
        with Perturbing(0, compound=compound):
            noisy = function(x, y)
        found[compound] = float(((noisy - plain) / plain).abs().max() / torch.finfo(x.dtype).eps)
    assert found[False] <= 4
    assert 1e7 < found[True] < 4e9


def test_a_sum_without_a_product_is_moved_by_its_own_last_bit_alone():
    y = -X * (1 + 1e-9)
    plain = torch.add(X, y)
    with Perturbing(0, compound=True):
        noisy = torch.add(X, y)
    assert float(((noisy - plain) / plain).abs().max() / torch.finfo(X.dtype).eps) <= 2


def test_what_is_put_in_place_is_exact_and_what_is_added_there_is_not():
    def put(x, accumulate):
        return torch.zeros(30, dtype=x.dtype).index_put_((torch.arange(30) % 7,), x[0], accumulate=accumulate)

    assert moved(lambda x: put(x, False), X) == 0
    assert moved(lambda x: put(x, True), X) > 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("saturated", [torch.sigmoid, torch.tanh, lambda x: torch.softmax(x, 1)[:, 1:]])
def test_of_two_runs_one_leaves_the_end_of_a_range(saturated, dtype):
    """What is left of ``1 - y`` is then not zero in every run, however many elements there are."""
    x = torch.tensor([[-90.0, 50.0 + i] for i in range(500)], dtype=dtype)
    found = []
    for seed in (6, 7):
        with Perturbing(seed):
            y = saturated(x)[:, -1]
        found.append(1 - y)
    assert (torch.maximum(*found) > 0).all()
    assert torch.stack(found).max() <= torch.finfo(dtype).eps


@pytest.mark.parametrize("loss", [
    lambda x: torch.nn.functional.multi_margin_loss(x, torch.zeros(len(x), dtype=torch.long), p=2),
    lambda x: torch.nn.functional.multilabel_margin_loss(x, torch.tensor([[0, -1, -1]] * len(x))),
    lambda x: torch.nn.functional.soft_margin_loss(x, torch.ones_like(x)),
])  # fmt: skip
def test_a_fused_loss_of_equal_rows_may_be_added_up_in_a_loop(loss):
    """Each row is rounded the same way when it is added, so that the error grows with the rows."""
    x = torch.tensor([[0.3, 0.7, 0.45]] * 200, dtype=torch.float64)
    plain, gaps = loss(x), []
    for seed in range(8):
        with Perturbing(seed, repeats=True):
            gaps.append(abs(float(loss(x) - plain)) / float(plain))
    assert 4 * 2.0**-52 < max(gaps) < 200 * 2.0**-52


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_numbers_are_moved_alike_if_asked(dtype):
    """A function rounds equal numbers alike, so that a mean over equal rows does not average the rounding away."""
    x = torch.tensor([0.3, 0.7], dtype=dtype).repeat(1000)
    usual, alike = [], []
    for seed in range(8):
        for how, found in ((False, usual), (True, alike)):
            with Perturbing(seed, alike=how):
                y = torch.exp(x)
            found.append(y.double() / torch.exp(x).double() - 1)
    assert all(moved.unique().numel() > 2 for moved in usual)
    assert all(moved.unique().numel() <= 2 for moved in alike)
    assert torch.stack(alike).unique().numel() > 2, "another seed moves them otherwise"
    eps = torch.finfo(dtype).eps
    assert max(abs(float(moved.mean())) for moved in usual) < eps / 5
    assert max(abs(float(moved.mean())) for moved in alike) > eps / 3


def test_values_of_their_own_are_moved_independently_when_equal_ones_are_moved_alike():
    x = torch.linspace(1, 2, 4000, dtype=torch.float64)
    with Perturbing(3, alike=True):
        moved = (x * 1.0 - x) / (x * torch.finfo(x.dtype).eps)
    assert abs(float(moved.mean())) < 0.1
    assert 0.4 < float(moved.std()) < 1.2
    assert abs(float(torch.corrcoef(torch.stack([moved[1:], moved[:-1]]))[0, 1])) < 0.1


def test_what_is_left_of_a_saturated_gelu_is_known():
    """Far out ``1 - tanh(u)^2`` is zero in every computation, however large its factors are."""
    x = torch.tensor([-1e10, -3.0, 0.5, 3.0, 1e10], requires_grad=True)
    gradients = []
    for seed in range(8):
        with Perturbing(seed):
            y = torch.nn.functional.gelu(x, approximate="tanh")
            (gradient,) = torch.autograd.grad(y, x, torch.tensor([0.7, -1.3, 0.9, 1.1, -0.6]))
        gradients.append(gradient)
    spread = (torch.stack(gradients) - gradients[0]).abs().amax(0)
    assert (spread[[0, 4]] < 1e-6).all()
    assert (spread[[1, 3]] > 0).all()


@pytest.mark.parametrize("function", [lambda x: torch.log_softmax(x, 1)[:, 0], lambda x: torch.logsumexp(x, 1)])
def test_a_logarithm_near_that_of_one_knows_no_more_than_the_last_bit_of_one(function):
    """``log(1 + 5e-8)``, of a sum that has been rounded."""
    x = torch.tensor([[0.0, -16.8], [0.0, -17.2]], dtype=torch.float64)
    plain, gaps = function(x), []
    for seed in range(8):
        with Perturbing(seed):
            gaps.append((function(x) - plain).abs())
    widest = torch.stack(gaps).amax(0)
    assert (plain.abs() < 1e-7).all()
    assert (widest > 2.0**-54).all()
    assert (widest < 2.0**-51).all()


ZEROS = {
    "silu": (torch.nn.functional.silu, -1.2784645427610737),
    "mish": (torch.nn.functional.mish, -1.1924312145154952),
    "gelu": (torch.nn.functional.gelu, -0.7517915246935644),
    "hardswish": (torch.nn.functional.hardswish, -1.5),
}


@pytest.mark.parametrize("name", ZEROS)
def test_beside_the_zero_of_a_derivative_its_terms_decide(name):
    """They cancel there, and one honest formula rounds what another does not."""
    function, zero = ZEROS[name]
    x = torch.tensor([zero + 1e-9, 2.0, -1.9], dtype=torch.float64, requires_grad=True)

    def gradient():
        return torch.autograd.grad(function(x), x, torch.tensor([0.7, -0.3, 0.9], dtype=x.dtype))[0]

    plain, gaps = gradient(), []
    for seed in range(8):
        with Perturbing(seed):
            gaps.append((gradient() - plain).abs())
    ulps = torch.stack(gaps).amax(0) / plain.abs() / torch.finfo(x.dtype).eps
    assert ulps[0] > 1e8
    assert (ulps[1:] < 20).all()


@pytest.mark.parametrize("function", [torch.nn.functional.hardsigmoid, torch.nn.functional.hardswish])
def test_beside_its_kink_a_hard_function_is_a_difference_and_beyond_it_exactly_zero(function):
    x = torch.tensor([-3 + 1e-9, -3.5], dtype=torch.float64)
    gaps = []
    for seed in range(8):
        with Perturbing(seed):
            gaps.append((function(x) - function(x.clone())).abs())
    widest = torch.stack(gaps).amax(0)
    assert widest[0] > 1e-17
    assert widest[1] == 0
