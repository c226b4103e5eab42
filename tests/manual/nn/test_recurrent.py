"""Recurrent layers and cells against torch, over their options and every form of input."""

import warnings

import numpy as np
import pytest
import torch

import manual
from compare.conformance.draws import Drawing
from manual import nn, rules

from ..oracle import assert_close, check, random

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")

PARAMETERS = {"float64": 1e-12, "float32": 2e-5}
LENGTHS = [2, 5, 1, 5]

LAYERS = [
    ("RNN", {}), ("RNN", {"nonlinearity": "relu", "num_layers": 2}), ("RNN", {"bidirectional": True, "num_layers": 2, "batch_first": True}),
    ("RNN", {"bias": False, "nonlinearity": "relu", "bidirectional": True}),
    ("GRU", {}), ("GRU", {"num_layers": 3, "batch_first": True}), ("GRU", {"bidirectional": True, "num_layers": 2}), ("GRU", {"bias": False}),
    ("LSTM", {}), ("LSTM", {"num_layers": 3, "batch_first": True}), ("LSTM", {"bidirectional": True, "num_layers": 2}),
    ("LSTM", {"bias": False, "bidirectional": True}), ("LSTM", {"proj_size": 2}),
    ("LSTM", {"proj_size": 3, "bidirectional": True, "num_layers": 2, "batch_first": True}), ("LSTM", {"proj_size": 1, "bias": False, "num_layers": 2}),
]  # fmt: skip
FORMS = ["batched", "unbatched", "packed", "packed in another order"]


def pair(name, options, dtype="float64", sizes=(4, 5)):
    """The same layer on both wings."""
    torch.manual_seed(3)
    theirs = getattr(torch.nn, name)(*sizes, **options).to(getattr(torch, dtype))
    mine = getattr(nn, name)(*sizes, **options).to(dtype)
    mine.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return mine, theirs


def arrays(form, theirs, given):
    """An input of this form, and initial states where they are given."""
    batch = () if form == "unbatched" else (len(LENGTHS),)
    shape = (5, *batch, 4) if form == "unbatched" or not theirs.batch_first else (*batch, 5, 4)
    layers = theirs.num_layers * (2 if theirs.bidirectional else 1)
    widths = [theirs.proj_size or theirs.hidden_size] + [theirs.hidden_size] * (theirs.mode == "LSTM")
    return [random(*shape, seed=1)] + [random(layers, *batch, w, seed=2 + i) for i, w in enumerate(widths) if given]


def runner(library, module, form):
    """Call a module on arrays of this form; returns all that it hands out, flat."""
    rnn = library.nn.utils.rnn

    def run(x, *states):
        hx = None if not states else states if module.mode == "LSTM" else states[0]
        if not form.startswith("packed"):
            output, last = module(x, hx)
            return [output, *(last if module.mode == "LSTM" else [last])]
        shuffled = form != "packed"
        lengths = LENGTHS if shuffled else sorted(LENGTHS, reverse=True)
        packed = rnn.pack_padded_sequence(x, lengths, batch_first=module.batch_first, enforce_sorted=not shuffled)
        output, last = module(packed, hx)
        assert type(output).__name__ == "PackedSequence"
        assert (output.sorted_indices is not None) == shuffled
        padded, found = rnn.pad_packed_sequence(output, batch_first=module.batch_first)
        assert found.tolist() == lengths
        return [output.data, padded, *(last if module.mode == "LSTM" else [last])]

    return run


def check_layers(mine, theirs, form, given, dtype):
    check(runner(manual, mine, form), runner(torch, theirs, form), arrays(form, theirs, given), dtype, factor=2)
    for (key, a), (other, b) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        assert key == other
        assert_close(a.grad, b.grad.numpy(), PARAMETERS[dtype], key)


@pytest.mark.parametrize("given", [False, True], ids=["zeros", "given"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "options"), LAYERS, ids=str)
def test_layers(name, options, form, given):
    check_layers(*pair(name, options), form, given, "float64")


@pytest.mark.parametrize("form", ["batched", "packed in another order"])
@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_layers_in_float32(name, form):
    check_layers(*pair(name, {"num_layers": 2, "bidirectional": True}, "float32"), form, True, "float32")


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_a_batch_of_none(name):
    mine, theirs = pair(name, {"bidirectional": True})
    output, _ = mine(np.zeros((3, 0, 4)))
    expected, _ = theirs(torch.zeros(3, 0, 4).double())
    assert output.shape == tuple(expected.shape) == (3, 0, 10)


# -- dropout between layers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "options"), [("RNN", {}), ("GRU", {"bidirectional": True}), ("LSTM", {"batch_first": True})], ids=str
)
def test_dropout_between_layers_is_drawn_as_torch_draws_it(name, options, form):
    mine, theirs = pair(name, {"num_layers": 3, "dropout": 0.4, **options})
    drawn = []

    def recorded(*inputs):
        with Drawing() as drawing:
            outputs = runner(torch, theirs, form)(*inputs)
        drawn.extend(drawing.made)
        return outputs

    inputs = arrays(form, theirs, True)
    recorded(*map(torch.tensor, inputs))
    assert len(drawn) == 2
    torch.manual_seed(0)
    expected = recorded(*(leaves := [torch.tensor(x, requires_grad=True) for x in inputs]))
    with manual.random.replaying(drawn[2:]):
        actual = runner(manual, mine, form)(*(own := [manual.tensor(x, requires_grad=True) for x in inputs]))
    seeds = [random(*value.shape, seed=20 + i) for i, value in enumerate(actual)]
    manual.autograd.backward(actual, seeds)
    torch.autograd.backward(expected, [torch.tensor(seed) for seed in seeds])
    for a, b in zip(actual, expected, strict=True):
        assert_close(a.data, b.detach().numpy(), 1e-12, "output")
    for a, b in zip(own, leaves, strict=True):
        assert_close(a.grad, b.grad.numpy(), 1e-12, "gradient")
    for (key, a), (_, b) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        assert_close(a.grad, b.grad.numpy(), 1e-12, key)


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_dropout_of_all_draws_nothing_and_evaluation_drops_nothing(name):
    mine, theirs = pair(name, {"num_layers": 2, "dropout": 1.0})
    with manual.random.replaying([]):
        check_layers(mine, theirs, "batched", True, "float64")
    mine, theirs = pair(name, {"num_layers": 2, "dropout": 0.5})
    mine.eval()
    theirs.eval()
    with manual.random.replaying([]):
        check_layers(mine, theirs, "batched", True, "float64")


def test_dropout_drops_its_share():
    manual.manual_seed(1)
    layer = nn.RNN(3, 400, 2, dropout=0.25)
    for weight in layer.parameters():
        weight.data[...] = 0
    layer.bias_ih_l0.data[...] = 10
    layer.weight_ih_l1.data[...] = np.eye(400)
    output, _ = layer(np.zeros((5, 2, 3), np.float32))
    kept = output.data > 0
    assert np.unique(output.data[kept]) == pytest.approx([np.tanh(1 / 0.75)], rel=1e-6)
    assert 0.72 < kept.mean() < 0.78


# -- cells ---------------------------------------------------------------------------------------------------------------

CELLS = [
    ("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("RNNCell", {"bias": False}), ("GRUCell", {}), ("GRUCell", {"bias": False}),
    ("LSTMCell", {}), ("LSTMCell", {"bias": False}),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("given", [False, True], ids=["zeros", "given"])
@pytest.mark.parametrize("batch", [(), (3,)], ids=["unbatched", "batched"])
@pytest.mark.parametrize(("name", "options"), CELLS, ids=str)
def test_cells(name, options, batch, given, dtype):
    mine, theirs = pair(name, options, dtype)
    kinds = 2 if name == "LSTMCell" else 1
    inputs = [random(*batch, 4, seed=1)] + [random(*batch, 5, seed=2 + i) for i in range(kinds) if given]

    def stepped(cell):
        return lambda x, *states: cell(x, None if not states else states if kinds == 2 else states[0])

    check(stepped(mine), stepped(theirs), inputs, dtype, factor=2)
    for (key, a), (_, b) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        assert_close(a.grad, np.zeros(b.shape, dtype) if b.grad is None else b.grad.numpy(), PARAMETERS[dtype], key)


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_a_layer_is_its_cell_step_by_step(name):
    layer, cell = getattr(nn, name)(4, 5).double(), getattr(nn, name + "Cell")(4, 5).double()
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in layer.state_dict().items()})
    x, seed = random(6, 3, 4, seed=1), random(6, 3, 5, seed=2)
    output, _ = layer(x)
    output.backward(seed)
    state, steps = None, []
    for step in x:
        state = cell(step, state)
        steps.append(state[0] if name == "LSTM" else state)
    unrolled = manual.stack(steps)
    unrolled.backward(seed)
    assert_close(unrolled.data, output.data, 1e-14, "output")
    for (key, a), (_, b) in zip(cell.named_parameters(), layer.named_parameters(), strict=True):
        assert_close(a.grad, b.grad, 1e-12, key)


# -- what modules show -----------------------------------------------------------------------------------------------------

SHOWN = [
    ("RNN", {}), ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bias": False}), ("GRU", {"batch_first": True, "bidirectional": True}),
    ("LSTM", {"num_layers": 2, "dropout": 0.5, "proj_size": 2}), ("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu", "bias": False}),
    ("GRUCell", {"bias": False}), ("LSTMCell", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), SHOWN, ids=str)
def test_names_shapes_and_repr_are_torchs(name, options):
    mine, theirs = getattr(nn, name)(2, 3, **options), getattr(torch.nn, name)(2, 3, **options)
    assert repr(mine) == repr(theirs)
    assert [(k, v.shape) for k, v in mine.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in theirs.state_dict().items()
    ]
    for key, value in vars(theirs).items():
        if not key.startswith("_"):
            assert getattr(mine, key) == value, key
    if name.endswith("Cell"):
        assert list(mine._parameters) == list(theirs._parameters)
    else:
        assert [[w.shape for w in layer] for layer in mine.all_weights] == [
            [tuple(w.shape) for w in layer] for layer in theirs.all_weights
        ]
        assert mine.all_weights[0][0] is mine.weight_ih_l0
        assert mine.flatten_parameters() is None


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("RNN", [2, 3, 2, "relu", False, True, 0.5, True]),
        ("GRU", [2, 3, 2, False, True, 0.5, True]),
        ("LSTM", [2, 3, 2, False, True, 0.5, True, 1]),
    ],
    ids=str,
)
def test_arguments_by_position(name, places):
    mine, theirs = getattr(nn, name)(*places), getattr(torch.nn, name)(*places)
    assert repr(mine) == repr(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert mine.mode == theirs.mode


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell"])
def test_initial_values_are_uniform(name):
    manual.manual_seed(0)
    module = getattr(nn, name)(60, 100, dtype=np.float64)
    for parameter in module.parameters():
        assert parameter.dtype == np.float64
        assert 0.08 < np.abs(parameter.data).max() <= 0.1
        assert np.abs(parameter.data.mean()) < 0.02
    weight = module.parameters().__next__().data
    assert weight.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.05)


def test_the_base_of_all_has_no_forward():
    base = nn.RNNBase("GRU", 2, 3, 2)
    assert list(base.state_dict()) == list(torch.nn.RNNBase("GRU", 2, 3, 2).state_dict())
    with pytest.raises(NotImplementedError):
        base(np.zeros((2, 2), np.float32))


def test_nothing_is_recorded_without_gradients():
    layer = nn.LSTM(2, 3)
    with manual.no_grad():
        output, (h, c) = layer(np.zeros((4, 1, 2), np.float32))
    assert not any(value.requires_grad for value in (output, h, c))


# -- what is refused -----------------------------------------------------------------------------------------------------

REFUSED = [
    *(lambda nn, z, n=n: getattr(nn, n)(2, 3, num_layers=0) for n in ("RNN", "GRU", "LSTM")),
    lambda nn, z: nn.RNN(2, 3, nonlinearity="sine"), lambda nn, z: nn.LSTM(0, 3), lambda nn, z: nn.LSTM(2, 0), lambda nn, z: nn.LSTM(2, 3.0),
    lambda nn, z: nn.GRU("2", 3), lambda nn, z: nn.GRU(2, 3, proj_size=1), lambda nn, z: nn.RNN(2, 3, proj_size=0), lambda nn, z: nn.LSTM(2, 3, proj_size=3),
    lambda nn, z: nn.LSTM(2, 3, proj_size=-1), lambda nn, z: nn.LSTM(2, 3, 2, dropout=1.5), lambda nn, z: nn.LSTM(2, 3, 2, dropout=True),
    lambda nn, z: nn.LSTM(2, 3, 2, dropout="some"), lambda nn, z: nn.RNNBase("ELMAN", 2, 3), lambda nn, z: nn.LSTM(2, 3, 2.0),
    lambda nn, z: nn.RNN(2, 3)(z(2)), lambda nn, z: nn.GRU(2, 3)(z(2, 2, 2, 2)), lambda nn, z: nn.LSTM(2, 3)(z(2)),
    *(lambda nn, z, n=n: getattr(nn, n)(2, 3)(z(2, 2, 5)) for n in ("RNN", "GRU", "LSTM")),
    *(lambda nn, z, n=n: getattr(nn, n)(2, 3)(z(2, 5)) for n in ("RNN", "GRU", "LSTM")),
    *(lambda nn, z, n=n: getattr(nn, n)(2, 3)(z(0, 2, 2)) for n in ("RNN", "GRU", "LSTM")),
    *(lambda nn, z, n=n: getattr(nn, n)(2, 3, bidirectional=True)(z(2, 2, 2), z(1, 2, 3)) for n in ("RNN", "GRU")),
    lambda nn, z: nn.GRU(2, 3)(z(2, 2, 2), z(2, 3)), lambda nn, z: nn.RNN(2, 3)(z(2, 2), z(1, 1, 3)), lambda nn, z: nn.RNN(2, 3)(z(2, 2), z(2, 3)),
    lambda nn, z: nn.GRU(2, 3, batch_first=True)(z(2, 4, 2), z(1, 4, 3)),
    lambda nn, z: nn.LSTM(2, 3)(z(2, 2, 2), (z(1, 2, 3), z(1, 2, 4))), lambda nn, z: nn.LSTM(2, 3)(z(2, 2, 2), (z(1, 2, 4), z(1, 2, 3))),
    lambda nn, z: nn.LSTM(2, 3)(z(2, 2, 2), (z(1, 2, 3), z(1, 3))), lambda nn, z: nn.LSTM(2, 3)(z(2, 2), (z(1, 1, 3), z(1, 3))),
    lambda nn, z: nn.LSTM(2, 3)(z(2, 2, 2), (z(1, 2, 3),) * 3), lambda nn, z: nn.LSTM(2, 3, proj_size=2)(z(2, 2, 2), (z(1, 2, 3), z(1, 2, 3))),
    *(lambda nn, z, n=n: getattr(nn, n)(2, 3)(z()) for n in ("RNNCell", "GRUCell", "LSTMCell")),
    *(lambda nn, z, n=n: getattr(nn, n)(2, 3)(z(2, 2, 2)) for n in ("RNNCell", "GRUCell", "LSTMCell")),
    *(lambda nn, z, n=n: getattr(nn, n)(2, 3)(z(2, 5)) for n in ("RNNCell", "GRUCell", "LSTMCell")),
    *(lambda nn, z, n=n: getattr(nn, n)(2, 3)(z(5)) for n in ("RNNCell", "GRUCell", "LSTMCell")),
    *(lambda nn, z, n=n: getattr(nn, n)(2, 3)(z(2, 2), z(2, 4)) for n in ("RNNCell", "GRUCell")),
    *(lambda nn, z, n=n: getattr(nn, n)(2, 3)(z(2, 2), z(1, 3)) for n in ("RNNCell", "GRUCell")),
    *(lambda nn, z, n=n: getattr(nn, n)(2, 3)(z(2), z(1, 3)) for n in ("RNNCell", "GRUCell")),
    *(lambda nn, z, n=n: getattr(nn, n)(2, 3)(z(2, 2), z(1, 2, 3)) for n in ("RNNCell", "GRUCell")),
    lambda nn, z: nn.LSTMCell(2, 3)(z(2, 2), (z(2, 3), z(2, 4))), lambda nn, z: nn.LSTMCell(2, 3)(z(2, 2), (z(2, 3), z(1, 3))),
    lambda nn, z: nn.LSTMCell(2, 3)(z(2, 2), (z(1, 2, 3), z(2, 3))), lambda nn, z: nn.LSTMCell(2, 3)(z(2, 2), z(2, 3)),
    lambda nn, z: nn.RNNCell(2, 3, nonlinearity="sine")(z(2, 2)),
    lambda nn, z: nn.RNN(2, 3)(nn.utils.rnn.pack_padded_sequence(z(4, 2, 5), [4, 2])),
    lambda nn, z: nn.GRU(2, 3)(nn.utils.rnn.pack_padded_sequence(z(4, 2, 2), [4, 2]), z(1, 3, 3)),
    lambda nn, z: nn.GRU(2, 3)(nn.utils.rnn.pack_padded_sequence(z(4, 2, 2), [4, 2]), z(1, 3)),
    lambda nn, z: nn.RNN(2, 3)(nn.utils.rnn.pack_padded_sequence(z(4, 2, 2, 2), [4, 2])),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_torch_refuses_is_refused_in_its_words(number):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((RuntimeError, TypeError, ValueError)) as expected:
            REFUSED[number](torch.nn, lambda *shape: torch.zeros(shape))
        with pytest.raises(type(expected.value)) as actual:
            REFUSED[number](nn, lambda *shape: manual.tensor(np.zeros(shape, np.float32)))
    assert str(actual.value) == str(expected.value)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.GRU(2, 3)(np.zeros((2, 2, 2))), ValueError, r"RNN input dtype \(float64\) does not match weight dtype \(float32\)"),
        (lambda: nn.GRU(2, 3)(np.zeros((2, 2, 2), np.float32), np.zeros((1, 2, 3))), RuntimeError, "same dtype"),
        (lambda: nn.LSTM(2, 3)(nn.utils.rnn.pack_padded_sequence(np.zeros((4, 2, 5), np.float32), [4, 2])), RuntimeError, "Expected 2, got 5"),
        (lambda: nn.LSTM(2, 3)(np.zeros((4, 2, 2), np.float32), np.zeros((1, 2, 3), np.float32)), RuntimeError, "two hidden states"),
        (lambda: nn.GRU(2, 3, depth=1), TypeError, "unexpected keyword argument 'depth'"),
        (lambda: rules.rnn_layer(np.zeros((4, 2)), np.zeros((2, 3)), np.zeros((3, 2)), np.zeros((3, 3))), RuntimeError, r"or batch_sizes: got \(4, 2\)"),
        (lambda: rules.rnn_layer(np.zeros((4, 2)), np.zeros((2, 3)), np.zeros((3, 2)), np.zeros((3, 3)), batch_sizes=[1, 3]), RuntimeError, "must not rise"),
        (lambda: rules.rnn_layer(np.zeros((4, 2)), np.zeros((2, 3)), np.zeros((3, 2)), np.zeros((3, 3)), batch_sizes=[2, 1]), RuntimeError, "expected an input of 3 rows"),
        (lambda: rules.gru_layer(np.zeros((4, 2, 2)), np.zeros((1, 3)), np.zeros((9, 2)), np.zeros((9, 3))), RuntimeError, r"Expected hidden size \(2, 3\), got \[1, 3\]"),
        (lambda: rules.gru_layer(np.zeros((4, 2, 2)), np.zeros((2, 3)), np.zeros((9, 5)), np.zeros((9, 3))), RuntimeError, "Expected 5, got 2"),
        (lambda: rules.rnn_layer(np.zeros((4, 2, 2)), np.zeros((2, 3)), np.zeros((3, 2)), np.zeros((3, 3)), nonlinearity="sine"), ValueError, "Unknown nonlinearity 'sine'"),
        (lambda: rules.pad_rows(np.zeros((4, 2)), mask=np.ones((2, 3), bool)), RuntimeError, "4 rows for a mask that holds 6 times"),
    ],
)  # fmt: skip
def test_what_else_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_dropout_after_a_lone_layer_is_warned_of():
    with pytest.warns(UserWarning, match="dropout option") as expected:
        torch.nn.GRU(2, 3, dropout=0.5)
    with pytest.warns(UserWarning, match="dropout option") as actual:
        nn.GRU(2, 3, dropout=0.5)
    assert [str(w.message) for w in actual] == [str(w.message) for w in expected]
    assert actual[0].filename == __file__
