"""Dynamic loss scaling against ``torch.amp.GradScaler`` on the CPU, call by call."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch

import manual
from manual import amp

INF, NAN = float("inf"), float("nan")


class Wing:
    """A scaler, and as many optimizers as wanted, of one wing."""

    def __init__(self, torchs, optimizers=1, dtype="float32", **options):
        self.torchs = torchs
        self.scaler = (torch.amp if torchs else amp).GradScaler("cpu", **options)
        self.parameters = [self.tensor([1.0, -2.0, 0.5], dtype, True) for _ in range(optimizers)]
        package = torch.optim if torchs else manual.optim
        self.optimizers = [package.SGD([p], lr=0.1, momentum=0.9) for p in self.parameters]

    def tensor(self, values, dtype="float32", requires_grad=False):
        if self.torchs:
            return torch.tensor(values, dtype=getattr(torch, dtype), requires_grad=requires_grad)
        return manual.tensor(np.array(values, dtype), requires_grad=requires_grad)

    def array(self, gradient):
        return torch.tensor(gradient) if self.torchs else gradient.copy()

    def iterate(self, gradients, between=None):
        """One iteration: each optimizer is given scaled gradients (``None``: none) and steps; then the scale moves."""
        self.scaler.scale(self.tensor(1.0))
        for parameter, optimizer, gradient in zip(self.parameters, self.optimizers, gradients, strict=True):
            parameter.grad = (
                None if gradient is None else self.array(gradient * gradient.dtype.type(self.scaler.get_scale()))
            )
            if between:
                between(self, parameter, optimizer)
            self.scaler.step(optimizer)
        self.scaler.update()

    def values(self):
        numbers = [p.detach().numpy() for p in self.parameters]
        grads = [None if p.grad is None else np.asarray(p.grad).copy() for p in self.parameters]
        return numbers, grads


def both(**options):
    return Wing(False, **options), Wing(True, **options)


def assert_agree(mine, reference):
    assert mine.scaler.state_dict() == reference.scaler.state_dict()
    assert mine.scaler.get_scale() == reference.scaler.get_scale()
    parameters, grads = zip(mine.values(), reference.values(), strict=True)
    for one, other in zip(*grads, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(*parameters, strict=True):  # torch's SGD adds the product of rate and gradient unrounded
        np.testing.assert_allclose(one, other, rtol=0, atol=8 * np.finfo(one.dtype).eps * 2)  # of values up to 2


def gradients(step, dtype="float32", bad=None, optimizers=1):
    made = [np.random.default_rng([step, k]).normal(size=3).astype(dtype) for k in range(optimizers)]
    if bad is not None:
        made[-1][1] = bad
    return made


SETTINGS = [
    {},
    {"init_scale": 3.0, "growth_interval": 2},
    {"init_scale": 7.0, "growth_interval": 1, "growth_factor": 1.1, "backoff_factor": 0.3},
    {"init_scale": 2.0**126, "growth_interval": 1},
    {"init_scale": 1e-44, "growth_interval": 3},
    {"init_scale": 1000.0, "growth_interval": 4, "backoff_factor": 0.9},
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_a_run_with_overflows(options, dtype):
    mine, reference = both(dtype=dtype, **options)
    bad = {3: INF, 4: NAN, 9: -INF, 15: NAN}
    for step in range(20):
        with np.errstate(over="ignore", invalid="ignore"):  # of the update, where the scale is tiny
            for wing in (mine, reference):
                wing.iterate(gradients(step, dtype, bad.get(step)))
        assert_agree(mine, reference)


def test_a_skipped_step_leaves_everything_as_it_was():
    mine, reference = both(init_scale=8.0)
    for wing in (mine, reference):
        wing.iterate(gradients(0))
        before = copy.deepcopy(wing.values()[0]), len(wing.optimizers[0].state)
        wing.iterate(gradients(1, bad=NAN))
        np.testing.assert_array_equal(wing.values()[0][0], before[0][0])
        assert wing.scaler.get_scale() == 4.0
    assert_agree(mine, reference)


@pytest.mark.parametrize("bad", [1.0, INF])
def test_sparse_gradients_are_unscaled(bad):
    found = []
    for wing in both(init_scale=4.0):
        package = torch if wing.torchs else manual
        table = package.nn.Embedding(5, 3, sparse=True)
        looked_up = table(torch.tensor([1, 3, 1]) if wing.torchs else np.array([1, 3, 1]))
        looked_up.backward(wing.array(np.outer(np.array([1.0, bad, 3.0], np.float32), np.ones(3, np.float32))))
        wing.scaler.scale(wing.tensor(1.0))
        optimizer = package.optim.SGD([table.weight], lr=0.1)
        wing.scaler.unscale_(optimizer)
        gradient = table.weight.grad
        found.append(gradient.to_dense().numpy() if wing.torchs else np.asarray(gradient))
        wing.scaler.step(optimizer)
        wing.scaler.update()
        assert wing.scaler.get_scale() == (4.0 if bad == 1.0 else 2.0)
    np.testing.assert_array_equal(*found)
    assert found[0][1, 0] == 1.0


def test_only_the_optimizer_that_overflowed_is_skipped():
    mine, reference = both(optimizers=3, growth_interval=2)
    for step, bad in enumerate((None, INF, None, None, NAN)):
        for wing in (mine, reference):
            wing.iterate(gradients(step, bad=bad, optimizers=3))
        assert_agree(mine, reference)
    assert not np.array_equal(mine.values()[0][0], mine.values()[0][2])


def test_an_optimizer_without_gradients_may_be_unscaled_but_not_stepped():
    for wing in both(optimizers=2):
        wing.scaler.scale(wing.tensor(1.0))
        wing.scaler.unscale_(wing.optimizers[1])
        with pytest.raises(AssertionError, match=r"No inf checks were recorded for this optimizer\."):
            wing.scaler.step(wing.optimizers[1])


@pytest.mark.parametrize("bad", [None, INF])
def test_clipping_after_unscaling(bad):
    """The threshold means the true gradient's norm: the same steps as without a scale (a power of two)."""

    def clip(wing, parameter, optimizer):
        wing.scaler.unscale_(optimizer)
        package = torch.nn.utils if wing.torchs else manual.nn.utils
        package.clip_grad_norm_([parameter], 0.5)

    mine, reference = both()
    plain = Wing(False, enabled=False)
    for step in range(6):
        for wing in (mine, reference):
            wing.iterate(gradients(step, bad=bad if step == 3 else None), clip)
        np.testing.assert_allclose(mine.values()[0][0], reference.values()[0][0], rtol=3e-7)
        assert mine.scaler.state_dict() == reference.scaler.state_dict()
        if bad is None or step != 3:
            plain.parameters[0].grad = gradients(step)[0]
            manual.nn.utils.clip_grad_norm_(plain.parameters, 0.5)
            plain.optimizers[0].step()
            np.testing.assert_array_equal(mine.values()[0][0], plain.values()[0][0])


def test_clipping_before_unscaling_is_another_step():
    """The mistake that the order of calls prevents."""

    def clip_too_early(wing, parameter, optimizer):
        manual.nn.utils.clip_grad_norm_([parameter], 0.5)

    right, wrong = Wing(False), Wing(False)
    right.iterate(gradients(0))
    wrong.iterate(gradients(0), clip_too_early)
    assert np.abs(wrong.values()[0][0] - right.values()[0][0]).max() > 0.01


def test_scaled_losses_and_gradients():
    """Through a backward pass in half precision: what underflows without a scale arrives with one."""
    found = []
    for wing in both(init_scale=2.0**12):
        weight = wing.tensor([1.0, 2.0], "float32", True)
        x = wing.tensor([3e-5, 2e-5], "float16")
        half = weight.half() if wing.torchs else weight.to(np.float16)
        loss = (half * x).sum() * 1e-4
        wing.scaler.scale(loss).backward()
        found.append(np.asarray(weight.grad) / wing.scaler.get_scale())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
    assert np.all(found[0] > 0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
@pytest.mark.parametrize("shape", [(), (3,)], ids=str)
def test_dtype_of_scaled_outputs(dtype, shape):
    mine, reference = (w.scaler.scale(w.tensor(np.full(shape, 3).tolist(), dtype)) for w in both(init_scale=3.0))
    assert str(mine.dtype) == str(reference.dtype).removeprefix("torch.")
    np.testing.assert_array_equal(mine.numpy(), reference.numpy())


def test_nested_outputs():
    for wing in both(init_scale=4.0):
        one = wing.tensor([1.0, 2.0])
        scaled = wing.scaler.scale([one, (one, [one])])
        assert isinstance(scaled, list)
        assert isinstance(scaled[1], tuple)
        assert isinstance(scaled[1][1], list)
        np.testing.assert_array_equal(scaled[1][1][0].numpy(), [4.0, 8.0])
        np.testing.assert_array_equal(next(iter(wing.scaler.scale(iter([one])))).numpy(), [4.0, 8.0])
        for wrong in (3.0, [one, None]):
            with pytest.raises(ValueError, match="outputs must be a Tensor or an iterable of Tensors"):
                wing.scaler.scale(wrong)


# -- order of calls -----------------------------------------------------------------------------------------------------


def ready(wing):
    wing.scaler.scale(wing.tensor(1.0))
    wing.parameters[0].grad = wing.array(gradients(0)[0])
    return wing.scaler, wing.optimizers[0]


def unscaled_twice(wing):
    scaler, optimizer = ready(wing)
    scaler.unscale_(optimizer)
    scaler.unscale_(optimizer)


def unscaled_after_the_step(wing):
    scaler, optimizer = ready(wing)
    scaler.step(optimizer)
    scaler.unscale_(optimizer)


def stepped_twice(wing):
    scaler, optimizer = ready(wing)
    scaler.step(optimizer)
    scaler.step(optimizer)


def with_a_closure(wing):
    scaler, optimizer = ready(wing)
    scaler.step(optimizer, closure=lambda: 0.0)


def updated_without_a_step(wing):
    scaler, _ = ready(wing)
    scaler.update()


def half_gradients(wing):
    wing.parameters[0] = wing.tensor([1.0], "float16", True)
    package = torch.optim if wing.torchs else manual.optim
    optimizer = package.SGD([wing.parameters[0]], lr=0.1)
    wing.scaler.scale(wing.tensor(1.0))
    wing.parameters[0].grad = wing.array(np.ones(1, np.float16))
    wing.scaler.unscale_(optimizer)


def pickled_in_between(wing):
    scaler, optimizer = ready(wing)
    scaler.unscale_(optimizer)
    pickle.dumps(scaler)


def loaded_from_nothing(wing):
    wing.scaler.load_state_dict({})


def new_scale(make):
    def call(wing):
        scaler, _ = ready(wing)
        scaler.update(make(wing))

    return call


MISTAKES = [
    (unscaled_twice, RuntimeError, r"unscale_() has already been called on this optimizer since the last update()."),
    (unscaled_after_the_step, RuntimeError, "unscale_() is being called after step()."),
    (stepped_twice, RuntimeError, "step() has already been called since the last update()."),
    (with_a_closure, RuntimeError, "Closure use is not currently supported if GradScaler is enabled."),
    (updated_without_a_step, AssertionError, "No inf checks were recorded prior to update."),
    (half_gradients, ValueError, "Attempting to unscale FP16 gradients."),
    (pickled_in_between, AssertionError, "A GradScaler instance may only be pickled at the beginning of an iteration, or at the end after scaler.update()."),
    (loaded_from_nothing, RuntimeError, "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."),
    (lambda wing: wing.scaler.update(), AssertionError, "Attempted update but _scale is None.  This may indicate your script did not use scaler.scale(loss or outputs) earlier in the iteration."),
    (lambda wing: wing.scaler.step(wing.optimizers[0]), AssertionError, "Attempted step but _scale is None."),
    (new_scale(lambda wing: wing.tensor([1.0, 2.0])), AssertionError, "new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor with requires_grad=False."),
    (new_scale(lambda wing: wing.tensor([1.0], requires_grad=True)), AssertionError, "new_scale should be a float"),
]  # fmt: skip


@pytest.mark.parametrize("torchs", [False, True], ids=["manual", "torch"])
@pytest.mark.parametrize(("call", "error", "message"), MISTAKES, ids=[message[:45] for _, _, message in MISTAKES])
def test_mistakes(call, error, message, torchs):
    with pytest.raises(error) as caught:
        call(Wing(torchs))
    assert message in str(caught.value)


@pytest.mark.parametrize("torchs", [False, True], ids=["manual", "torch"])
def test_factors_out_of_range(torchs):
    with pytest.raises(AssertionError, match=r"The growth factor must be > 1\.0\."):
        Wing(torchs, growth_factor=1.0)
    with pytest.raises(AssertionError, match=r"The backoff factor must be < 1\.0\."):
        Wing(torchs, backoff_factor=1.0)
    Wing(torchs, growth_factor=1.0, backoff_factor=2.0, enabled=False)


# -- settings and state -------------------------------------------------------------------------------------------------


def test_a_new_scale_keeps_the_count():
    mine, reference = both(growth_interval=3)
    for step, scale in enumerate((None, 6.0, "tensor", None, None)):
        for wing in (mine, reference):
            wing.iterate(gradients(step))
            if scale is not None:
                wing.scaler.scale(wing.tensor(1.0))
                wing.scaler.update(wing.tensor(5.0) if scale == "tensor" else scale)
        assert_agree(mine, reference)


def test_settings_can_be_changed():
    mine, reference = both()
    for wing in (mine, reference):
        scaler = wing.scaler
        scaler.set_growth_factor(3.0)
        scaler.set_backoff_factor(0.25)
        scaler.set_growth_interval(2)
        assert (scaler.get_growth_factor(), scaler.get_backoff_factor(), scaler.get_growth_interval()) == (3.0, 0.25, 2)
        assert scaler.is_enabled()
    for step in range(7):
        for wing in (mine, reference):
            wing.iterate(gradients(step, bad=INF if step == 4 else None))
        assert_agree(mine, reference)


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("to_torch", [False, True])
def test_states_are_handed_over(to_torch, used):
    """In the middle of a count, to a scaler that has or has not been used."""
    pair = both(growth_interval=3, init_scale=32.0)
    for step in range(4):
        for wing in pair:
            wing.iterate(gradients(step))
    source, kept = pair[not to_torch], pair[to_torch]
    fresh = Wing(to_torch)
    if used:
        fresh.scaler.scale(fresh.tensor(1.0))
    fresh.scaler.load_state_dict(source.scaler.state_dict())
    assert fresh.scaler.state_dict() == source.scaler.state_dict()
    for step in range(4, 9):
        for wing in (fresh, kept):
            wing.iterate(gradients(step, bad=NAN if step == 7 else None))
        assert fresh.scaler.state_dict() == kept.scaler.state_dict()


def test_pickled_between_iterations():
    for wing in both(init_scale=32.0, growth_interval=1):
        wing.iterate(gradients(0))
        copied = pickle.loads(pickle.dumps(wing.scaler))
        assert copied.state_dict() == wing.scaler.state_dict()
        assert copied.get_scale() == 64.0


def test_a_disabled_scaler_hands_through():
    mine, reference = both(enabled=False)
    for wing in (mine, reference):
        loss = wing.tensor(2.0)
        assert wing.scaler.scale(loss) is loss
        assert wing.scaler.get_scale() == 1.0
        assert wing.scaler.state_dict() == {}
        assert not wing.scaler.is_enabled()
        wing.scaler.load_state_dict({"scale": 3.0})
        wing.parameters[0].grad = wing.array(gradients(0, bad=INF)[0])
        wing.scaler.unscale_(wing.optimizers[0])
        assert wing.scaler.step(wing.optimizers[0], closure=lambda: 5.0) == 5.0
        wing.scaler.update()
    np.testing.assert_array_equal(mine.values()[0][0], reference.values()[0][0])


def test_public_names_are_torchs():
    mine = {name for name in vars(amp.GradScaler) if not name.startswith("_")}
    assert mine == {name for name in vars(torch.amp.GradScaler) if not name.startswith("_")}
    for name in sorted(mine | {"__init__"}):
        arguments = [
            [
                (p.name, p.default)
                for p in inspect.signature(getattr(scaler, name)).parameters.values()
                if p.name != "device"
            ]
            for scaler in (amp.GradScaler, torch.amp.GradScaler)
        ]
        assert arguments[0] == arguments[1], name
