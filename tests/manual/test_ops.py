"""Every op, by torch's name, against torch: one line a case."""

import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, mutually_broadcastable_shapes

import manual
from manual import ops
from manual.nn import functional

from .oracle import assert_close, check, check_central, random
from .test_arranging import OPS as ARRANGING

x34, x4, x31, x23, positive = (
    random(3, 4),
    random(4, seed=1),
    random(3, 1, seed=2),
    random(2, 3),
    random(3, 4, low=0.5, high=2),
)
x234 = random(2, 3, 4, seed=3)
inside = random(3, 4, low=-0.8, high=0.8, seed=4)
ties = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [-1.0, 0.0, -5.0]])
kinks = np.array([[-3.0, -1.0, 0.0, 1.0], [3.0, 6.0, -0.5, 0.5], [2.0, -2.0, 20.0, -20.0]])
far = np.array([[-800.0, -40.0, -5.0, 0.0], [5.0, 40.0, 90.0, 800.0]])
zeros = np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 1.0], [1.5, 2.0, -1.0]])
index = np.array([[0, 2, 1, 1], [1, 1, 0, 2]])
mask = random(3, 4, seed=5) > 0

SMOOTH = [  # op, inputs, options
    ("add", [x34, x4]), ("add", [x34, x31]), ("sub", [x34, x4]), ("mul", [x34, x31]), ("div", [x34, positive]),
    ("div", [x31, positive]), ("neg", [x34]), ("reciprocal", [positive]), ("pow", [positive, x34]),
    ("pow", [positive, x4]), ("sqrt", [positive]), ("rsqrt", [positive]), ("square", [x34]), ("exp", [x34]),
    ("expm1", [x34]), ("exp2", [x34]), ("log", [positive]), ("log2", [positive]), ("log10", [positive]),
    ("log1p", [positive]), ("sin", [x34]), ("cos", [x34]), ("tan", [inside]), ("erf", [x34 * 2]), ("clone", [x34]),
    ("tanh", [x34]), ("sigmoid", [x34]), ("matmul", [x34, random(4, 2)]), ("matmul", [x4, random(4, 2)]),
    ("matmul", [x34, x4]), ("matmul", [x4, x4 + 1]), ("matmul", [x234, random(4, 5)]), ("matmul", [x234, x4]),
    ("matmul", [random(2, 1, 3, 4), random(5, 4, 2)]), ("matmul", [x4, random(2, 4, 3)]),
    ("mm", [x34, random(4, 2)]), ("bmm", [x234, random(2, 4, 5)]), ("dot", [x4, x4 + 1]), ("outer", [x4, random(3)]),
    ("addmm", [random(3, 2), x34, random(4, 2)]), ("addmm", [random(2), x34, random(4, 2)], {"beta": 0.5, "alpha": 2}),
    ("sum", [x234]), ("sum", [x234], {"dim": 1}), ("sum", [x234], {"dim": (0, 2), "keepdim": True}),
    ("mean", [x234]), ("mean", [x234], {"dim": -1}), ("mean", [x234], {"dim": (0, 1), "keepdim": True}),
    ("var", [x234]), ("var", [x234], {"dim": 2}), ("var", [x234], {"dim": (0, 2), "correction": 0, "keepdim": True}),
    ("std", [x234], {"dim": 1}), ("std", [x34], {"correction": 0}), ("prod", [positive]),
    ("prod", [zeros], {"dim": 1}), ("prod", [zeros]), ("logsumexp", [x34], {"dim": 1}),
    ("logsumexp", [x234], {"dim": (0, 2), "keepdim": True}), ("norm", [x34]), ("norm", [x34], {"p": 3, "dim": 1}),
    ("norm", [x34], {"p": 2, "dim": 0, "keepdim": True}), ("softmax", [x234], {"dim": 1}),
    ("log_softmax", [x234], {"dim": -1}), ("reshape", [x34], {"shape": (2, 6)}), ("flatten", [x234], {"start_dim": 1}),
    ("transpose", [x234], {"dim0": 0, "dim1": 2}), ("permute", [x234], {"dims": (2, 0, 1)}), ("t", [x34]),
    ("squeeze", [x31]), ("squeeze", [x31], {"dim": 1}), ("unsqueeze", [x34], {"dim": -1}),
    ("movedim", [x234], {"source": 0, "destination": 2}), ("broadcast_to", [x31], {"size": (2, 3, 4)}),
    ("flip", [x234], {"dims": (0, 2)}), ("roll", [x34], {"shifts": 2, "dims": 1}), ("tile", [x34], {"dims": (2, 2)}),
    ("split", [x34], {"split_size_or_sections": 3, "dim": 1}), ("chunk", [x34], {"chunks": 2, "dim": 1}),
    ("unbind", [x34], {"dim": 1}), ("tril", [x34], {"diagonal": -1}), ("triu", [x34], {"diagonal": 1}),
]  # fmt: skip

KINKED = [
    ("abs", [zeros]), ("sign", [zeros]), ("maximum", [ties, np.full((3, 3), 2.0)]), ("maximum", [ties, ties * 1.0]),
    ("minimum", [ties, np.full(3, 2.0)]), ("clamp", [kinks], {"min": -1.0, "max": 1.0}),
    ("clamp", [kinks], {"min": 0.5}), ("amax", [ties], {"dim": 1}), ("amin", [ties], {"dim": (0, 1)}),
    ("amax", [ties], {"dim": 0, "keepdim": True}), ("max", [ties]), ("min", [ties]), ("max", [ties], {"dim": 1}),
    ("min", [ties], {"dim": 0, "keepdim": True}), ("pow", [np.array([0.0, 0.0, 2.0]), np.array([2.0, 1.0, 0.0])]),
    ("norm", [np.zeros((2, 3))]), ("norm", [ties], {"p": float("inf"), "dim": 1}), ("norm", [zeros], {"p": 1}),
    ("sqrt", [np.array([0.0, 4.0])]), ("log", [np.array([0.0, 1.0])]), ("sum", [np.zeros((0, 3))]),
    ("softmax", [np.array([[0.0, -np.inf, 1.0]])], {"dim": 1}), ("logsumexp", [np.array([[0.0, -np.inf]])], {"dim": 1}),
    ("sigmoid", [far]), ("tanh", [far]),
]  # fmt: skip

ACTIVATIONS = [
    ("relu", {}), ("relu6", {}), ("leaky_relu", {}), ("leaky_relu", {"negative_slope": 0.3}), ("elu", {"alpha": 0.7}),
    ("selu", {}), ("celu", {"alpha": 2.0}), ("gelu", {}), ("gelu", {"approximate": "tanh"}), ("sigmoid", {}),
    ("logsigmoid", {}), ("tanh", {}), ("hardtanh", {}), ("hardtanh", {"min_val": -2.0, "max_val": 0.5}),
    ("softplus", {}), ("softplus", {"beta": 2.0, "threshold": 3.0}), ("softsign", {}), ("silu", {}), ("mish", {}),
    ("tanhshrink", {}), ("hardshrink", {}), ("softshrink", {"lambd": 0.5}), ("hardsigmoid", {}), ("hardswish", {}),
    ("threshold", {"threshold": 0.5, "value": -3.0}), ("glu", {"dim": 1}), ("glu", {"dim": 0}),
    ("softmax", {"dim": 1}), ("log_softmax", {"dim": 0}), ("softmin", {"dim": 1}),
]  # fmt: skip


def parts(case):
    name, inputs, *options = case
    return name, inputs, options[0] if options else {}


def case_id(case):
    name, inputs, options = parts(case)
    return "-".join([name, *("x".join(map(str, x.shape)) or "scalar" for x in inputs), *map(str, options.values())])


def theirs(name):
    if name == "norm":
        return torch.norm
    return getattr(torch, name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", SMOOTH, ids=case_id)
def test_smooth_ops(case, dtype):
    name, inputs, options = parts(case)
    gradients, seeds = check(getattr(manual, name), theirs(name), inputs, dtype, options=options)
    if dtype == "float64":
        check_central(getattr(manual, name), inputs, gradients, seeds, options=options)


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", KINKED, ids=case_id)
def test_kinks_ties_and_ends(case, dtype):
    name, inputs, options = parts(case)
    check(getattr(manual, name), theirs(name), inputs, dtype, options=options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("values", [random(4, 6, seed=9), kinks, far], ids=["ordinary", "kinks", "far out"])
@pytest.mark.parametrize(("name", "options"), ACTIVATIONS, ids=str)
def test_activations(name, options, values, dtype):
    ours = getattr(functional, name)
    if name == "glu" and options["dim"] == 0 and len(values) % 2:
        values = values[:2]
    # torch multiplies hardsigmoid's gradient by 1/6 as a float32 constant, in float64 too
    factor = 1e5 if name == "hardsigmoid" and dtype == "float64" else 4
    gradients, seeds = check(ours, getattr(F, name), [values], dtype, options=options, factor=factor)
    if dtype == "float64" and values.shape == (4, 6) and name != "threshold":
        check_central(ours, [values], gradients, seeds, options=options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 4), (4,), (2, 3, 4), (0, 4)], ids=str)
def test_linear(shape, bias, dtype):
    inputs = [random(*shape), random(3, 4, seed=1), *([random(3, seed=2)] if bias else [])]
    gradients, seeds = check(functional.linear, F.linear, inputs, dtype)
    if dtype == "float64" and 0 not in shape:
        check_central(functional.linear, inputs, gradients, seeds)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("weight", [random(1), random(4, seed=3)], ids=["one", "per channel"])
def test_prelu(weight, dtype):
    check(functional.prelu, F.prelu, [kinks, weight], dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout_by_a_given_mask_is_the_product_that_torch_makes(p, dtype):
    def reference(x):
        return x * torch.from_numpy(mask).to(x.dtype) / (1 - p) if p < 1 else x * 0

    check(lambda x: functional.dropout(x, p, mask=mask), reference, [x34], dtype)


def pick(name, *rest):
    return lambda *tensors: getattr(manual, name)(tensors[0], *rest), lambda *tensors: getattr(torch, name)(
        tensors[0], *(torch.from_numpy(r) if isinstance(r, np.ndarray) else r for r in rest)
    )


OTHERS = {
    "cat": ((lambda a, b: manual.cat([a, b], 1)), (lambda a, b: torch.cat([a, b], 1)), [x34, random(3, 2)]),
    "cat of one twice": ((lambda a: manual.cat([a, a], 0)), (lambda a: torch.cat([a, a], 0)), [x34]),
    "stack": ((lambda a, b: manual.stack([a, b], 1)), (lambda a, b: torch.stack([a, b], 1)), [x34, x34 + 1]),
    "where": (
        lambda a, b: manual.where(mask, a, b),
        lambda a, b: torch.where(torch.from_numpy(mask), a, b),
        [x34, x4],
    ),
    "where with a branch not taken": (
        lambda a: manual.where(zeros > 0, manual.log(a), 0.0),
        lambda a: torch.where(torch.from_numpy(zeros > 0), torch.log(a), 0.0),
        [np.abs(zeros) + 0.5],
    ),
    "masked_fill": (
        lambda a: manual.masked_fill(a, mask, -1.0),
        lambda a: a.masked_fill(torch.from_numpy(mask), -1.0),
        [x34],
    ),
    "masked_select": (*pick("masked_select", mask), [x34]),
    "index_select": (*pick("index_select", 0, np.array([2, 0, 2])), [x34]),
    "gather": (*pick("gather", 1, index), [x23]),
    "take_along_dim": (*pick("take_along_dim", index, 1), [x23]),
    "slices": ((lambda a: a[1:, ::2]), (lambda a: a[1:, ::2]), [x34]),
    "integer": ((lambda a: a[1]), (lambda a: a[1]), [x34]),
    "newaxis and ellipsis": ((lambda a: a[..., None, 1]), (lambda a: a[..., None, 1]), [x234]),
    "integer arrays, repeated": (
        lambda a: a[np.array([0, 2, 0]), np.array([1, 1, 1])],
        lambda a: a[torch.tensor([0, 2, 0]), torch.tensor([1, 1, 1])],
        [x34],
    ),
    "boolean mask": ((lambda a: a[mask]), (lambda a: a[torch.from_numpy(mask)]), [x34]),
    "operators": (
        lambda a, b: (2 - a) * b / (b**2 + 1) - 3 / (abs(a) + 1) + 2 ** (a * 0.1) - (-b),
        lambda a, b: (2 - a) * b / (b**2 + 1) - 3 / (abs(a) + 1) + 2 ** (a * 0.1) - (-b),
        [x34, x4],
    ),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", OTHERS)
def test_joining_indexing_and_operators(name, dtype):
    ours, reference, inputs = OTHERS[name]
    gradients, seeds = check(ours, reference, inputs, dtype)
    if dtype == "float64":
        check_central(ours, inputs, gradients, seeds)


def test_no_nan_from_the_branch_not_taken():
    x = manual.tensor(np.array([0.0, 1.0]), requires_grad=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        manual.where(x.data > 0, manual.log(manual.where(x.data > 0, x, 1.0)), 0.0).backward(np.array([2.0, 3.0]))
    np.testing.assert_array_equal(x.grad, [0.0, 3.0])


METHODS = [
    "sum",
    "mean",
    "var",
    "std",
    "exp",
    "log",
    "sqrt",
    "abs",
    "square",
    "relu",
    "sigmoid",
    "tanh",
    "flatten",
    "prod",
]


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_the_ops(name):
    check(lambda a: getattr(a, name)(), lambda a: getattr(a, name)(), [positive])


def test_methods_that_take_arguments():
    check(lambda a: a.sum(1).reshape(1, 3), lambda a: a.sum(1).reshape(1, 3), [x34])
    check(
        lambda a: a.transpose(0, 1).permute(1, 0).clamp(-1, 1),
        lambda a: a.transpose(0, 1).permute(1, 0).clamp(-1, 1),
        [x34],
    )
    check(lambda a: a.softmax(1).log(), lambda a: a.softmax(1).log(), [x34])
    check(lambda a: a.T @ a, lambda a: a.T @ a, [x34])
    check(lambda a: a.float().double(), lambda a: a.float().double(), [x34], factor=1e6)


# -- dtypes ------------------------------------------------------------------------------------------------------------

f32, f64, i64 = np.ones((2, 3), np.float32), np.ones((2, 3)), np.arange(1, 7).reshape(2, 3)
PAIRS = [
    (f32, f64), (f32, i64), (f64, i64), (i64, i64), (f32, np.float64(2)), (f32, np.sqrt(2)), (f32, 2), (f32, 2.5),
    (f32, np.array(2.0)), (f32, np.array(2)), (i64, 2.5), (i64, np.array(2.0, np.float32)), (i64, True),
    (f32, np.ones(3, np.float16)), (f32 > 0, f32), (f32 > 0, 2),
]  # fmt: skip


@pytest.mark.parametrize("op", ["add", "mul", "sub", "div", "maximum"])
@pytest.mark.parametrize(
    "pair", PAIRS, ids=lambda pair: "-".join(f"{getattr(x, 'dtype', type(x).__name__)}" for x in pair)
)
def test_dtypes_promote_as_in_torch(op, pair):
    def as_torch(value):
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else getattr(value, "item", lambda: value)()

    if op == "maximum" and not all(isinstance(value, np.ndarray) for value in pair):
        pair = tuple(value if isinstance(value, np.ndarray) else np.asarray(value) for value in pair)
    if op == "sub" and any(np.asarray(value).dtype == bool for value in pair):
        pytest.skip("torch refuses to subtract booleans")
    expected = getattr(torch, op)(*map(as_torch, pair))
    found = getattr(manual, op)(*(manual.tensor(v) if isinstance(v, np.ndarray) else v for v in pair))
    assert str(found.dtype) == str(expected.dtype).removeprefix("torch.")
    assert_close(found.data, expected.numpy(), 1e-6, op)


def test_gradients_keep_the_dtype_of_their_inputs():
    a, b = manual.tensor(f32, requires_grad=True), manual.tensor(f64, requires_grad=True)
    (a * b).backward(f64)
    assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.float64)


@pytest.mark.parametrize("op", ["matmul", "mm"])
def test_contractions_refuse_mixed_dtypes(op):
    with pytest.raises(RuntimeError, match="same dtype"):
        getattr(manual, op)(manual.tensor(f32), manual.tensor(f64.T))
    with pytest.raises(RuntimeError):
        getattr(torch, op)(torch.from_numpy(f32), torch.from_numpy(f64.T))


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
def test_other_floating_dtypes_stay_what_they_are(dtype):
    x = manual.tensor(x34.astype(dtype), requires_grad=True)
    y = manual.softmax(manual.tanh(x) * 2.0, 1)
    y.backward(x34.astype(dtype))
    assert y.dtype == x.grad.dtype == dtype


# -- shapes ------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4), data=st.data())
@pytest.mark.parametrize("op", ["add", "mul", "sub"])
def test_broadcasting(op, shapes, data):
    inputs = [random(*shape, seed=i) for i, shape in enumerate(shapes.input_shapes)]
    check(getattr(manual, op), getattr(torch, op), inputs)


@settings(max_examples=60, deadline=None)
@given(shape=array_shapes(min_dims=1, max_dims=4, max_side=4), data=st.data())
def test_reductions_over_any_axes(shape, data):
    axes = data.draw(st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, unique_by=lambda a: a % len(shape)))
    keepdim = data.draw(st.booleans())
    for op in ("sum", "mean", "amax", "logsumexp"):
        options = {"dim": tuple(axes), "keepdim": keepdim}
        check(getattr(manual, op), getattr(torch, op), [random(*shape)], options=options)


def test_axes_out_of_range_are_refused_as_in_torch():
    with pytest.raises(IndexError, match="Dimension out of range"):
        manual.sum(manual.tensor(x34), 2)
    with pytest.raises(RuntimeError):
        manual.sum(manual.tensor(x34), (0, 0))


def test_inputs_may_have_any_layout():
    def reference(a):
        return torch.tanh(a) @ a.T

    for view in (x34.T, x34[::-1], x34[:, ::2], np.asfortranarray(x34)):
        check(lambda a: manual.tanh(a) @ a.T, reference, [np.ascontiguousarray(view)])
        a = manual.Tensor(view, requires_grad=True)
        (manual.tanh(a) @ a.T).sum().backward()
        b = torch.tensor(view.copy(), requires_grad=True)
        reference(b).sum().backward()
        assert_close(a.grad, b.grad.numpy(), 1e-12, "layout")


# -- the contract of a rule --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case", [c for c in SMOOTH if c[0] not in ("sum", "mean", "prod", "var", "std", "tile")], ids=case_id
)
def test_gradients_share_no_memory_with_inputs_or_values(case):
    name, inputs, options = parts(case)
    tensors = [manual.tensor(x, requires_grad=True) for x in inputs]
    result = getattr(manual, name)(*tensors, **options)
    outputs = result if isinstance(result, tuple) else [result]
    node = outputs[0]._node
    seeds = tuple(random(*output.shape, seed=3) for output in outputs)
    kept = [seed.copy() for seed in seeds]
    gradients = node.pullback(seeds if node.shapes else seeds[0], node.needs)
    for gradient in gradients:
        if gradient is None:
            continue
        assert not any(np.shares_memory(gradient, tensor.data) for tensor in tensors)
        # a value may be a view of its input; the gradient must still be nobody's but the incoming one
        assert not any(np.shares_memory(gradient, output.data) for output in outputs)
    for seed, before in zip(seeds, kept, strict=True):
        np.testing.assert_array_equal(seed, before, err_msg="the incoming gradient was written to")
    if len(inputs) > 1:
        assert node.pullback(seeds[0], (False,) * len(inputs)) == (None,) * len(inputs)


def test_every_op_is_in_a_table():
    tested = {case[0] for case in (*SMOOTH, *KINKED)} | {name for name, _ in ACTIVATIONS} | set(METHODS)
    tested |= {
        "cat",
        "stack",
        "where",
        "masked_fill",
        "masked_select",
        "index_select",
        "gather",
        "take_along_dim",
        "prelu",
    }
    tested |= ARRANGING
    aliases = {"concat", "argmax", "argmin", "softmin"}
    assert set(ops.__all__) - tested - aliases == set()
    assert all(hasattr(torch, name) for name in ops.__all__)


def test_argmax_takes_the_first_of_equals_as_torch_does():
    np.testing.assert_array_equal(manual.argmax(ties, 1).data, torch.argmax(torch.tensor(ties), 1).numpy())
    np.testing.assert_array_equal(manual.argmin(ties, 0).data, torch.argmin(torch.tensor(ties), 0).numpy())
    assert manual.concat is manual.cat


def test_rules_are_documented():
    for name in ops.__all__:
        rule = getattr(manual.rules, name, None)
        if rule is not None and not inspect.ismodule(rule):
            assert rule.__doc__, name
