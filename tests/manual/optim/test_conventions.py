"""The conventions, at their exact point."""

import math

import numpy as np
import pytest
import torch

from manual import optim
from manual.tensor import Tensor

from .cases import OVERRIDES
from .pair import Pair, one_step


def test_the_first_momentum_step_has_no_dampening():
    assert one_step("SGD", 3.0, lr=1.0, momentum=0.9, dampening=0.5) == pytest.approx(2 - 3)
    assert one_step("SGD", 3.0, steps=2, lr=1.0, momentum=0.9, dampening=0.5) == pytest.approx(2 - 3 - (2.7 + 1.5))


def test_without_memory_adams_first_moment_is_the_gradient_itself():
    """``m + (g − m)`` would lose a small gradient after a large one."""
    tensor = Tensor(np.zeros(2, np.float32), requires_grad=True)
    optimizer = optim.Adam([tensor], betas=(0.0, 0.9))
    for size in (1e6, 1.1):
        tensor.grad = np.full(2, size, np.float32)
        optimizer.step()
    assert np.array_equal(optimizer.state[tensor]["exp_avg"], tensor.grad)


def test_adam_adds_eps_after_bias_correction_and_outside_the_root():
    assert one_step("Adam", 3.0, lr=1.0, eps=1.0) == pytest.approx(2 - 3 / (3 + 1))


def test_rmsprop_adds_eps_outside_the_root():
    assert one_step("RMSprop", 3.0, lr=1.0, alpha=0.75, eps=1.0) == pytest.approx(2 - 3 / (1.5 + 1))


def test_adagrad_adds_eps_outside_the_root_and_the_rate_decays_from_the_second_step():
    assert one_step("Adagrad", 3.0, lr=1.0, eps=1.0, lr_decay=1.0) == pytest.approx(2 - 3 / 4)
    second = 0.5 * 3 / (math.sqrt(18) + 1)
    assert one_step("Adagrad", 3.0, steps=2, lr=1.0, eps=1.0, lr_decay=1.0) == pytest.approx(2 - 3 / 4 - second)


def test_adamw_decays_by_the_rate_times_the_decay():
    assert one_step("AdamW", 0.0, lr=0.5, weight_decay=0.5) == 2 * (1 - 0.25)


def test_weight_decay_shrinks_also_when_maximising():
    assert one_step("SGD", 0.0, lr=0.5, weight_decay=0.5, maximize=True) == 2 * (1 - 0.25)


def test_a_centered_root_of_a_rounded_negative_is_nan_as_in_torch():
    """alpha 0: v = g² and a = g, so v − a² is exactly 0; a hair below it the root is not a number."""
    assert one_step("RMSprop", 3.0, lr=1.0, alpha=0.0, eps=1.0, centered=True) == -1.0
    ours, theirs = Tensor(np.array([2.0]), requires_grad=True), torch.tensor([2.0], dtype=torch.float64)
    ours_optimizer = optim.RMSprop([ours], alpha=1.0, centered=True)
    theirs_optimizer = torch.optim.RMSprop([theirs], alpha=1.0, centered=True)
    for _ in range(2):
        ours.grad, theirs.grad = np.array([3.0]), torch.tensor([3.0], dtype=torch.float64)
        with np.errstate(invalid="ignore"):
            ours_optimizer.step()
        theirs_optimizer.step()
        ours_optimizer.state[ours]["grad_avg"][...] = 1e-3
        theirs_optimizer.state[theirs]["grad_avg"].fill_(1e-3)
    assert np.isnan(ours.data).all()
    assert torch.isnan(theirs).all()


def test_adamax_adds_eps_before_the_maximum():
    assert one_step("Adamax", 3.0, lr=1.0, eps=1.0) == pytest.approx(2 - 3 / (3 + 1))


def test_adadelta_adds_eps_inside_both_roots_and_it_alone_sets_the_first_step():
    assert one_step("Adadelta", 3.0, rho=0.75, eps=1.0) == pytest.approx(2 - 3 * math.sqrt(1 / (9 / 4 + 1)))
    assert one_step("Adadelta", 3e9, rho=0.75, eps=0.01) == pytest.approx(2 - 0.1 / math.sqrt(0.25))


def test_nadam_averages_by_beta1_and_steps_by_the_scheduled_momentum():
    options = {"betas": (0.8, 0.5), "momentum_decay": 1.0, "lr": 1.0, "eps": 1.0}
    now, ahead = 0.8 * (1 - 0.96 / 2), 0.8 * (1 - 0.96**2 / 2)
    change = (1 - now) * 3 / (1 - now) + ahead * (0.2 * 3) / (1 - now * ahead)
    assert one_step("NAdam", 3.0, **options) == pytest.approx(2 - change / (3 + 1))


def test_nadam_keeps_its_product_in_float32_until_it_is_loaded():
    pair = Pair.of("NAdam", {})
    pair.run(2)
    state = pair.ours.state_dict()
    assert {slots["mu_product"].dtype for slots in state["state"].values()} == {np.dtype(np.float32)}
    pair.ours.load_state_dict(state)
    pair.theirs.load_state_dict(pair.theirs.state_dict())
    assert {slots["mu_product"].dtype for slots in pair.ours.state.values()} == {np.dtype(np.float64)}
    pair.run(2)


@pytest.mark.parametrize(("steps", "adapts"), [(5, False), (6, True)])
def test_radam_adapts_once_it_has_seen_more_than_five(steps, adapts):
    """Equal gradients g: plain momentum moves by lr g at each step, the adaptive step by about r lr."""
    before = one_step("RAdam", 3.0, lr=0.1, steps=steps - 1) if steps > 1 else 2.0
    move = before - one_step("RAdam", 3.0, lr=0.1, steps=steps)
    assert (move == pytest.approx(0.3)) != adapts
    assert move < 0.1 or not adapts


def test_radam_adds_eps_to_the_uncorrected_root():
    betas = (0.0, 0.9)  # at step 6 rho is past 5
    before, after = (one_step("RAdam", 3.0, lr=1.0, eps=1.0, betas=betas, steps=steps) for steps in (5, 6))
    longest, power = 19, 0.9**6
    length = longest - 12 * power / (1 - power)
    r = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
    root = math.sqrt(1 - power)
    assert length > 5
    assert before - after == pytest.approx(r * root * 3 / (3 * root + 1))


def test_rprop_rests_where_the_sign_turns_and_keeps_its_step_for_another():
    pair = Pair("float64", [(3,)]).optimizers("Rprop", {"lr": 0.1})
    sizes, moves = [], []
    for gradient in ([1.0, 1.0, 1.0], [2.0, -2.0, 0.0], [2.0, -2.0, 1.0], [2.0, -2.0, 1.0]):
        before = pair.actual[0].data.copy()
        pair.step(gradients=[np.array(gradient)])
        pair.assert_agree(len(sizes) + 1)
        sizes.append(pair.ours.state[pair.actual[0]]["step_size"].tolist())
        moves.append((before - pair.actual[0].data).tolist())
    np.testing.assert_allclose(sizes, [[0.1] * 3, [0.12, 0.05, 0.1], [0.144, 0.05, 0.1], [0.1728, 0.06, 0.12]])
    np.testing.assert_allclose(moves, [[0.1] * 3, [0.12, 0, 0], [0.144, -0.05, 0.1], [0.1728, -0.06, 0.12]])


def test_rprop_takes_the_rate_for_the_first_step_size_only():
    pair = Pair("float64", [(3,)]).optimizers("Rprop", {"lr": 0.1})
    pair.step()
    pair.set_rate(100.0)
    pair.step(gradients=[np.zeros(3)])
    assert pair.ours.state[pair.actual[0]]["step_size"].tolist() == [0.1] * 3
    pair.assert_agree(2)


def test_a_product_that_underflows_leaves_rprops_step_size():
    pair = Pair("float32", [(1,)]).optimizers("Rprop", {"lr": 0.1})
    for _ in range(2):
        pair.step(gradients=[np.array([1e-30], np.float32)])
    assert pair.ours.state[pair.actual[0]]["step_size"] == np.float32(0.1)
    pair.assert_agree(2)


def test_asgd_uses_a_new_rate_one_step_late_and_averages_from_the_second_step_after_t0():
    assert one_step("ASGD", 3.0, lr=1.0, lambd=0.5) == 2 * (1 - 0.5) - 3
    pair = Pair("float64", [(3,)]).optimizers("ASGD", {"lr": 0.5, "lambd": 0.0, "t0": 2})
    path = []
    for step in range(1, 7):
        pair.set_rate(0.5 if step == 3 else 1.0)
        before = pair.actual[0].data.copy()
        pair.step(gradients=[np.ones(3)])
        path.append(pair.actual[0].data.copy())
        assert np.allclose(before - path[-1], 0.5 if step <= 3 else 0.25)
        expected = path[-1] if step < 4 else np.mean(path[3:], axis=0)
        np.testing.assert_allclose(pair.ours.state[pair.actual[0]]["ax"], expected, rtol=1e-6)  # mu is float32
        pair.assert_agree(step)


def test_adafactor_gives_a_matrix_of_rank_one_its_own_squares():
    """V is then G² exactly, and the first step is the sign of the gradient."""
    gradient = np.outer([1.0, -2.0, 3.0], [0.5, 4.0])
    pair = Pair("float64", [(3, 2)]).optimizers("Adafactor", {"lr": 0.1})
    before = pair.actual[0].data.copy()
    pair.step(gradients=[gradient])
    pair.assert_agree(1)
    size = np.sqrt((before**2).mean())
    np.testing.assert_allclose(before - pair.actual[0].data, 0.1 * size * np.sign(gradient))


def test_adafactors_first_epsilon_is_that_of_the_first_parameter():
    """A gradient so small that the floor under the mean of R decides: 1e-4 squared is below float32's epsilon only."""
    results = []
    for dtypes in ((np.float64, np.float32), (np.float32, np.float64)):
        arrays = [np.full((2, 2), 1.0, dtype) for dtype in dtypes]
        ours = [Tensor(array.copy(), requires_grad=True) for array in arrays]
        theirs = [torch.tensor(array, requires_grad=True) for array in arrays]
        optimizers = optim.Adafactor(ours, d=1e6), torch.optim.Adafactor(theirs, d=1e6, foreach=False)
        for mine, reference in zip(ours, theirs, strict=True):
            mine.grad = np.array([[1e-4, 2e-4], [-1e-4, 1e-4]], mine.dtype)
            reference.grad = torch.tensor(mine.grad)
        for optimizer in optimizers:
            optimizer.step()
        for mine, reference in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine.data, reference.detach().numpy(), rtol=1e-6)
        results.append(1 - ours[1].data)
    assert not np.allclose(results[0], results[1], rtol=0.1)


def test_adafactor_leaves_an_empty_parameter_where_torch_divides_by_zero():
    ours, theirs = Tensor(np.zeros((0, 3)), requires_grad=True), torch.zeros(0, 3, requires_grad=True)
    ours.grad, theirs.grad = np.zeros((0, 3)), torch.zeros(0, 3)
    optimizer = optim.Adafactor([ours])
    optimizer.step()
    slots = optimizer.state[ours]
    assert {name: slot.shape for name, slot in slots.items()} == {"step": (), "row_var": (0, 1), "col_var": (1, 3)}
    assert slots["step"] == 1
    with pytest.raises(ZeroDivisionError):
        torch.optim.Adafactor([theirs]).step()


GRADIENTS = [
    [[1.0, 1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0, 1.0]],
    [[math.nan, math.inf, -math.inf, 0.0, 1e10], [0.0, 1.0, -2.0, 1e-10, 1e-200]],
    [[0.0, 1.0, -2.0, 1e-10, 1e-200], [math.nan, math.inf, -math.inf, 0.0, 1e10]],
]


@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
@pytest.mark.parametrize("shape", [(2, 5), (10,)], ids=str)
@pytest.mark.parametrize("name", OVERRIDES)
def test_what_is_not_finite_spreads_as_in_torch(name, shape):
    pair = Pair("float64", [shape]).optimizers(name, {"momentum": 0.9} if name == "SGD" else {})
    for gradient in GRADIENTS:
        pair.step(gradients=[np.array(gradient).reshape(shape)])
        slots, reference = pair.ours.state[pair.actual[0]], pair.theirs.state[pair.expected[0]]
        np.testing.assert_allclose(pair.actual[0].data, pair.expected[0].detach(), rtol=1e-12)
        for slot in reference:
            np.testing.assert_allclose(slots[slot], reference[slot], rtol=1e-12, err_msg=slot)


def test_adafactor_on_views_with_strides():
    base = np.random.default_rng(5).normal(size=(6, 8))
    views = [base[:, :3].T, base[::-2, 4:6], base[3, 7:]]
    ours = [Tensor(view, requires_grad=True) for view in views]
    theirs = [torch.tensor(view.copy(), requires_grad=True) for view in views]
    optimizers = optim.Adafactor(ours, lr=0.1), torch.optim.Adafactor(theirs, lr=0.1)
    for seed in range(3):
        for mine, reference in zip(ours, theirs, strict=True):
            mine.grad = np.asfortranarray(np.random.default_rng(seed).normal(size=mine.shape))
            reference.grad = torch.tensor(mine.grad)
        for optimizer in optimizers:
            optimizer.step()
        for mine, reference, view in zip(ours, theirs, views, strict=True):
            assert mine.data is view
            np.testing.assert_allclose(view, reference.detach(), rtol=1e-13)
