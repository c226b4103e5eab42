"""The machinery under the mutations: which calls are seen, formulas that equal their ops, replacements, pins, bounds."""

import time
from functools import cache, partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import torch_ref.training
from compare.batches import cut
from compare.diagnosis.evidence import Evidence, Recording
from compare.diagnosis.mutants import search as searching
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.formulas import formula_of
from compare.diagnosis.mutants.mutation import backward_only, forward_only, through, with_pullback
from compare.diagnosis.mutants.replay import Bench
from compare.diagnosis.mutants.sites import Sites, Watch, name_of, slots_of, with_tensors
from compare.lockstep import lockstep, walk


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def watched(function, **options):
    """The result of a function of a tensor under the mode, its gradient, and what was listed."""
    x = drawn(3, 4).requires_grad_(True)
    listing = Sites()
    with Watch(listing=listing, **options) if not options else Watch(**options):
        result = function(x)
    result.sum().backward()
    return result.detach(), x.grad, listing


# -- which calls are seen ----------------------------------------------------------------------------------------------

SPELLINGS = [
    (lambda x: torch.sigmoid(x), "sigmoid"),
    (lambda x: x.sigmoid(), "sigmoid"),
    (lambda x: 2 * x, "mul"),
    (lambda x: x.multiply(2), "mul"),
    (lambda x: 2 - x, "rsub"),
    (lambda x: 2 / x, "rdiv"),
    (lambda x: x**2, "pow"),
    (lambda x: x @ x.detach().T, "matmul"),
    (lambda x: x.mm(x.detach().T), "matmul"),
    (lambda x: x[1:], "getitem"),
    (lambda x: x.T, "transpose"),
    (lambda x: x.transpose(0, 1), "transpose"),
    (lambda x: x.view(-1), "reshape"),
    (lambda x: torch.linalg.norm(x), "norm"),
    (lambda x: F.softmax(x, 1), "softmax"),
    (lambda x: F.logsigmoid(x), "logsigmoid"),
    (lambda x: F.max_pool1d(x, 2), "max_pool1d"),
    (lambda x: torch.cat([x, x]), "cat"),
]


@pytest.mark.parametrize(("function", "name"), SPELLINGS, ids=[f"{n} {i}" for i, (_, n) in enumerate(SPELLINGS)])
def test_every_spelling_has_one_name(function, name):
    outer = [site for site in watched(function)[2] if site.outer is None]
    assert outer[-1].name == name


def test_sites_come_in_order_with_their_lines():
    def reference(x):
        hidden = torch.tanh(x)
        return F.layer_norm(hidden, (4,)) * 2

    _, _, listing = watched(reference)
    outer = [site for site in listing if site.outer is None]
    assert [(site.path, site.name) for site in outer] == [((0,), "tanh"), ((1,), "layer_norm"), ((2,), "mul")]
    assert outer[0].line.endswith("hidden = torch.tanh(x)")
    inner = [site for site in listing if site.outer is outer[1]]
    assert [site.path for site in inner] == [(1, i) for i in range(len(inner))]
    assert inner[0].name == "mean"
    assert inner[0].step == "centred = x - x.mean(axes, keepdim=True)"
    assert listing.maker(outer[1].args[0]) is outer[0]
    assert outer[0].gradient is not None


def test_the_rounds_of_a_loop_share_a_place():
    def reference(x):
        for _ in range(3):
            x = torch.tanh(x) * torch.sigmoid(x)
        return x

    places = {}
    for site in watched(reference)[2]:
        places.setdefault((site.name, site.place), []).append(site)
    assert sorted((name, len(sites)) for (name, _), sites in places.items()) == [
        ("mul", 3),
        ("sigmoid", 3),
        ("tanh", 3),
    ]


def test_what_computes_nothing_is_no_site():
    def reference(x):
        x.detach().numpy()
        x.add_(0.0) if not x.requires_grad else x.size(0)
        with torch.no_grad():
            x.exp()
        return x.clone().contiguous() + 1

    assert [site.name for site in watched(reference)[2]] == ["add"]


def test_tensors_inside_lists_have_slots():
    a, b = drawn(2), drawn(2)
    args = ([a, b], 0)
    slots = slots_of(args, {"weight": a})
    assert slots == [("args", 0, 0), ("args", 0, 1), ("kwargs", "weight")]
    changed, kwargs = with_tensors(args, {"weight": a}, {slots[1]: a, slots[2]: b})
    assert changed[0][1] is a
    assert kwargs["weight"] is b
    assert args[0][1] is b


def test_names_of_properties_and_operators():
    assert name_of(torch.Tensor.T.__get__) == "transpose"
    assert name_of(torch.Tensor.__rsub__) == "rsub"


# -- formulas ----------------------------------------------------------------------------------------------------------

X, LOGITS, TARGET = drawn(5, 6), drawn(5, 4), torch.tensor([0, 3, 1, 1, 2])
WEIGHT, BIAS = drawn(6, seed=1), drawn(6, seed=2)
QUERY, KEY, VALUE = (drawn(2, 3, 5, 4, seed=seed) for seed in (3, 4, 5))
CELL = (drawn(5, 3, seed=6), drawn(5, 4, seed=7))
GATES = lambda n: (drawn(n * 4, 3, seed=8), drawn(n * 4, 4, seed=9), drawn(n * 4, seed=10), drawn(n * 4, seed=11))  # noqa: E731
FORMULAS = [
    (F.softmax, (X, 1), {}),
    (F.softmax, (QUERY,), {"dim": -1}),
    (F.log_softmax, (X, 0), {}),
    (torch.logsumexp, (X, 1), {}),
    (torch.logsumexp, (X, 1), {"keepdim": True}),
    (F.gelu, (X,), {}),
    (F.gelu, (X,), {"approximate": "tanh"}),
    (F.silu, (X,), {}),
    (torch.var, (X, 1), {}),
    (torch.Tensor.var, (X,), {"dim": 0, "unbiased": False, "keepdim": True}),
    (torch.var, (X, False), {}),
    (torch.std, (X,), {"dim": (0, 1), "correction": 0}),
    (torch.norm, (X,), {"dim": 1}),
    (torch.linalg.norm, (X,), {}),
    (F.normalize, (X,), {"dim": 1}),
    (F.layer_norm, (X, (6,), WEIGHT, BIAS, 1e-2), {}),
    (F.layer_norm, (X, (6,)), {}),
    (F.rms_norm, (X, (6,), WEIGHT), {}),
    (F.batch_norm, (X, None, None, WEIGHT, BIAS, True), {}),
    (F.batch_norm, (X, BIAS, WEIGHT**2, WEIGHT, BIAS, False, 0.1, 1e-3), {}),
    (F.group_norm, (drawn(3, 6, 5), 2, WEIGHT, BIAS), {}),
    (F.cross_entropy, (LOGITS, TARGET), {}),
    (F.cross_entropy, (LOGITS, TARGET), {"reduction": "sum", "label_smoothing": 0.1}),
    (F.cross_entropy, (LOGITS, TARGET, WEIGHT[:4] ** 2), {"ignore_index": 1, "label_smoothing": 0.2}),
    (F.cross_entropy, (drawn(2, 4, 3), torch.tensor([[0, 1, 2], [3, 3, 0]])), {}),
    (F.cross_entropy, (LOGITS, F.softmax(LOGITS * 2, 1)), {"label_smoothing": 0.1}),
    (F.nll_loss, (F.log_softmax(LOGITS, 1), TARGET), {"reduction": "none"}),
    (F.mse_loss, (X, X.flip(0)), {}),
    (F.l1_loss, (X, X.flip(0)), {"reduction": "sum"}),
    (F.binary_cross_entropy, (X.sigmoid(), X.flip(0).sigmoid()), {}),
    (F.binary_cross_entropy_with_logits, (X, X.flip(0).sigmoid()), {"pos_weight": WEIGHT**2}),
    (F.kl_div, (F.log_softmax(X, 1), F.softmax(X.flip(0), 1)), {"reduction": "batchmean"}),
    (F.kl_div, (F.log_softmax(X, 1), F.log_softmax(X.flip(0), 1)), {"log_target": True, "reduction": "sum"}),
    (F.scaled_dot_product_attention, (QUERY, KEY, VALUE), {"is_causal": True}),
    (F.scaled_dot_product_attention, (QUERY, KEY, VALUE, torch.ones(5, 5).tril() > 0), {}),
    (F.scaled_dot_product_attention, (QUERY, KEY, VALUE, drawn(5, 5)), {"scale": 0.3}),
    (torch.lstm_cell, (CELL[0], (CELL[1], CELL[1] + 1), *GATES(4)), {}),
    (torch.gru_cell, (*CELL, *GATES(3)), {}),
    (torch.rnn_tanh_cell, (*CELL, *GATES(1)), {}),
    (torch.rnn_relu_cell, (*CELL, *GATES(1)), {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "args", "kwargs"), FORMULAS, ids=[f"{name_of(op)} {i}" for i, (op, *_) in enumerate(FORMULAS)]
)
def test_a_formula_equals_its_op(op, args, kwargs):
    formula = formula_of(name_of(op), args, kwargs)
    assert formula is not None
    found, wanted = formula(), op(*args, **kwargs)
    for a, b in zip(*([value] if isinstance(value, torch.Tensor) else value for value in (found, wanted)), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    "module", [nn.LSTM(3, 4, 2), nn.GRU(3, 4, batch_first=True), nn.RNN(3, 4)], ids=["LSTM", "GRU", "RNN"]
)
def test_a_recurrent_network_is_opened_up(module):
    listing = Sites()
    with Watch(listing=listing):
        module(torch.randn(5, 2, 3, requires_grad=True))
    names = [site.name for site in listing]
    assert names.count("tanh" if isinstance(module, (nn.RNN, nn.GRU)) else "sigmoid") >= 2
    assert any(site.outer is not None for site in listing)


def test_attention_of_many_heads_is_opened_up():
    listing = Sites()
    x = torch.randn(2, 5, 4, requires_grad=True)
    with Watch(listing=listing):
        nn.MultiheadAttention(4, 2, batch_first=True)(x, x, x)
    inner = [
        site.name for site in listing if site.outer is not None and site.outer.name == "multi_head_attention_forward"
    ]
    assert {"linear", "softmax", "matmul"} <= set(inner)


def test_an_op_whose_formula_is_unknown_stays_closed():
    _, _, listing = watched(lambda x: torch.norm(x, p=3))
    assert [site.name for site in listing] == ["norm"]


# -- replacements ------------------------------------------------------------------------------------------------------


def tanh_then_double(x):
    return torch.tanh(x) * 2


def test_a_replacement_takes_the_place_of_one_call():
    plain, gradient, _ = watched(tanh_then_double)
    relu, of_relu, _ = watched(tanh_then_double, replacements={(0,): lambda call: torch.relu(call.args[0])})
    x = drawn(3, 4)
    torch.testing.assert_close(relu, 2 * torch.relu(x))
    torch.testing.assert_close(of_relu, 2.0 * (x > 0).double())
    value, behind, _ = watched(tanh_then_double, replacements={(0,): backward_only(lambda c: torch.relu(c.args[0]))})
    torch.testing.assert_close(value, plain)
    torch.testing.assert_close(behind, of_relu)
    value, ahead, _ = watched(tanh_then_double, replacements={(0,): forward_only(lambda c: torch.relu(c.args[0]))})
    torch.testing.assert_close(value, relu)
    torch.testing.assert_close(ahead, gradient)


def test_gradients_are_changed_on_their_way():
    _, gradient, _ = watched(tanh_then_double)
    slot = ("args", 0)
    _, doubled, _ = watched(tanh_then_double, replacements={(0,): through((slot,), lambda g: 2 * g)})
    torch.testing.assert_close(doubled, 2 * gradient)
    own = with_pullback(lambda g, inputs, output, gradients: {slot: g * (1 - output)})
    _, wrong, _ = watched(tanh_then_double, replacements={(0,): own})
    torch.testing.assert_close(wrong, 2 * (1 - torch.tanh(drawn(3, 4))))


def test_a_call_inside_a_formula_is_replaced():
    norm = partial(F.layer_norm, normalized_shape=(4,))
    plain, *_ = watched(norm)
    replaced, *_ = watched(norm, replacements={(0, 0): lambda call: torch.zeros_like(call.plain())})
    x = drawn(3, 4)
    torch.testing.assert_close(plain, norm(x))
    torch.testing.assert_close(replaced, x / (x.square().mean(1, keepdim=True) + 1e-5).sqrt())


# -- replays -----------------------------------------------------------------------------------------------------------


class Spoiled(torch_ref.training.Side):
    """A reference with another activation."""

    def __init__(self, *args):
        super().__init__(*args)
        self.module[1].forward = lambda x: torch.tanh(x) * 1.5 + 0.25 * x**3


def side(kind=torch_ref.training.Side, width=4):
    torch.manual_seed(3)
    module = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.BatchNorm1d(width), nn.Linear(width, 2)).double()
    return kind(module, torch.optim.SGD(module.parameters(), 0.1), nn.MSELoss())


def batches(rows=7, sizes=(4, 3)):
    generator = np.random.default_rng(1)
    return [cut(generator.normal(size=(rows, 3)), generator.normal(size=(rows, 2)), list(sizes))] * 2


def spoiled():
    return side(Spoiled)


@cache
def recorded():
    steps = batches()
    first = lockstep(spoiled, side, steps, tolerance="fixed", diagnose=False).first_divergence
    recording = Recording(1)
    walk(spoiled(), side(), steps, observer=recording)
    return first, recording


def evidence(sync="free"):
    first, recording = recorded()
    return Evidence(first.checkpoint, first.culprit, recording, spoiled, side, sync)


def test_replays_do_not_depend_on_each_other():
    bench = Bench(evidence())
    assert bench.faithful
    before = {key: value.copy() for key, value in bench.plain.items()}
    sites = bench.list_sites()
    tanh = next(site for site in sites if site.name == "tanh")
    changed = bench.run({tanh.path: lambda call: torch.relu(call.args[0])})
    again = bench.run({})
    assert all(np.array_equal(again[key], value) for key, value in before.items())
    assert any(not np.array_equal(changed[key], value) for key, value in before.items())
    assert {site.owner for site in sites} == {"0", "1", "2", "3", "loss"}


def test_a_replacement_that_fails_is_no_result():
    bench = Bench(evidence())
    path = next(iter(bench.list_sites())).path
    assert bench.run({path: lambda call: call.plain().reshape(-1)[:5]}) is None
    assert bench.run({(99,): lambda call: call.plain()}) is None
    assert bench.run({}) is not None


def test_pins_keep_modules_apart():
    bench = Bench(evidence(sync="module"))
    tanh = next(site for site in bench.list_sites() if site.name == "tanh")
    changed = bench.run({tanh.path: lambda call: 2 * call.plain()})
    differ = {
        (key.phase, key.name, key.output)
        for key, value in changed.items()
        if not np.array_equal(value, bench.plain[key])
    }
    assert differ == {("forward", "1", "output"), ("backward", "1", "input")}


def test_nothing_is_named_where_nothing_fits():
    assert searching.search(evidence()) == []


def test_the_search_is_bounded(monkeypatch):
    monkeypatch.setattr(searching, "BUDGET", 0.05)
    given = evidence()
    begun = time.thread_time()
    searching.search(given)
    assert time.thread_time() - begun < 2


def test_counts_and_names_of_a_run():
    bench = Bench(evidence())
    bench.list_sites()
    around = Around(bench)
    linear = next(site for site in around.sites if site.name == "linear")
    assert [around.source(linear, slot) for slot in linear.slots] == ["the input", "0.weight", "0.bias"]
    assert around.is_count(4)
    assert not around.is_count(4.5)
    assert not around.is_count(1)


# -- every kind of mutation can be made ----------------------------------------------------------------------------------


def zoo(x, w):
    """Ops of every kind."""
    h = torch.relu(F.linear(x, w, w[:, 0])) + F.gelu(x) * F.silu(x) - F.leaky_relu(x).clamp(-1, 1)
    a, b, c = (h @ w.T).chunk(3, 1)
    h = torch.cat([a, b * torch.sigmoid(c), c / (1 + b**2).sqrt()], 1)
    h = (
        F.layer_norm(h, (6,)) / h.norm(dim=1, keepdim=True)
        + h.std(1, keepdim=True)
        + h.var(0)
        - h.mean()
        + h.amax(1, keepdim=True)
    )
    h = (
        F.softmax(h, 1).masked_fill(torch.eye(6).double() > 0, 0.0)
        + torch.where(h > 0, h, 0.1 * h)
        + h.cumsum(1)
        + h.max(0).values
    )
    h = (
        F.scaled_dot_product_attention(h, h, h, is_causal=True)
        + torch.maximum(h, h.flip(0))
        + F.conv1d(h[None], w[:, :, None])[0]
    )
    h = (
        h
        + F.conv2d(h[None, None], w[None, None, :3, :3], padding=1)[0, 0]
        + F.embedding(torch.tensor([0, 1, 1, 2, 3, 5]), w, 0)
    )
    h = (
        h * torch.tril(torch.ones(6, 6)).double()
        + h.reshape(3, 12).reshape(6, 6)
        + F.elu(h)
        + F.softplus(h)
        + h.abs()
        + (-h).exp()
    )
    loss = F.cross_entropy(h, torch.arange(6), label_smoothing=0.1) + F.binary_cross_entropy_with_logits(
        h, (h > 0).double()
    )
    return (
        loss
        + 0.5 * F.mse_loss(h, h.detach().flip(0))
        + (h**2).sum() / 36
        + torch.log(h**2 + 1e-3).mean()
        + 0.1 * (w**2).sum()
    )


def test_generators_know_every_op_that_they_speak_about():
    x, w = drawn(6, 6).requires_grad_(True), drawn(6, 6, seed=1).requires_grad_(True)

    class Zoo:
        parameters = {"x": x.detach().numpy(), "w": w.detach().numpy()}  # noqa: RUF012
        gradients = {}  # noqa: RUF012

        def zero_grad(self):
            x.grad = w.grad = None

        def accumulate(self, micro_batch, weight):
            loss = zoo(x, w)
            loss.backward()
            self.gradients = {"x": x.grad.numpy(), "w": w.grad.numpy()}
            return loss.item()

        def step(self):
            """Nothing."""

    recording = Recording(1)
    steps = [[((x.detach().numpy(), None), 1.0)]]
    walk(Zoo(), Zoo(), steps, observer=recording)
    key = next(key for key in recording.pairs if key.phase == "accumulated")
    bench = Bench(Evidence(key, "(model)", recording, Zoo, Zoo, "free"))
    bench.list_sites()
    around, made, tried, ran = Around(bench), 0, 0, 0
    for site in around.sites:
        for generator in (*searching._FORWARD, *searching._BACKWARD):
            for mutation in generator(site, around):
                made += 1
                if made % 40 == 0:  # a sample of all kinds
                    tried += 1
                    ran += bench.run(mutation.replacements(site)) is not None
    assert made > 2000
    assert ran > 0.8 * tried
