"""Reports of users' own code made small, and written as a file that fails in the same way."""

import numpy as np
import pytest
import torch

import compare
from compare.batches import InputError
from compare.shrinking.signature import signature_of
from compare.shrinking.sources import Sources

from . import users

RNG = np.random.default_rng(0)


def gradients():
    inputs = {"x": RNG.standard_normal((64, 9)), "y": RNG.standard_normal(64), "w": RNG.standard_normal(9)}
    inputs |= {"b": np.array(0.3), "strength": 2.5}
    return compare.gradients(users.ridge, users.ridge_torch, inputs, wrt=["w", "b"])


def module():
    return compare.module(users.Affine, torch.nn.Linear(7, 5), RNG.standard_normal((11, 7)).astype(np.float32))


def optimizer():
    return compare.optimizer(users.adam, torch.optim.Adam, options={"lr": 0.01, "eps": 1e-3})


def training():
    batches = [(RNG.standard_normal((12, 3)), RNG.standard_normal((12, 1))) for _ in range(5)]
    return compare.training(users.Side, users.reference, batches, 2)


SMALLEST = {
    gradients: {"rows": 2, "widest": 2},
    module: {"rows": 2, "widest": 1},
    optimizer: {"steps": 1, "parameters": 1, "options": 0},
    training: {"batches": 1, "micro-batches": 2, "rows": 3},
}


@pytest.mark.parametrize("make", SMALLEST, ids=lambda make: make.__name__)
def test_a_report_is_made_small_and_written(make, tmp_path):
    report = make()
    minimal = report.shrink(seconds=600)
    assert not minimal.out_of_time
    found = {name: minimal.after[name] for name in SMALLEST[make]}
    assert all(found[name] <= size for name, size in SMALLEST[make].items()), found
    assert signature_of(minimal.report.verdict) == signature_of(report.verdict) == minimal.signature
    namespace = {}
    exec(compile(minimal.write(tmp_path / "test_it.py").read_text(), "it", "exec"), namespace)
    with pytest.raises(AssertionError, match=f"cause      {minimal.signature.cause}: "):
        namespace["test_the_two_sides_are_equivalent"]()


def test_what_was_reduced_is_said():
    minimal = optimizer().shrink()
    text = str(minimal)
    assert text.startswith(
        "the same first divergence and cause (update, culprit optimizer, cause bias correction missing)"
    )
    assert "  steps 10 -> 1\n" in text
    assert minimal.record()["reduced"] == minimal.reduced
    assert "steps 10 -&gt; 1" in minimal._repr_html_()


def test_an_equivalent_report_is_refused():
    report = compare.optimizer(torch.optim.SGD, torch.optim.SGD, options={"lr": 0.1})
    with pytest.raises(InputError, match="it is equivalent; only what diverges can be made small"):
        report.shrink()


def test_a_function_that_nothing_else_finds_is_copied_with_what_it_uses():
    scope = {"np": np, "__name__": "__main__"}
    lines = "def half(x):\n    return np.sum(x) / two\n"
    sources = Sources()
    held = np.arange(3)

    def around(x):
        return x + held

    with pytest.raises(InputError, match="around holds held of the function around it"):
        sources.expression(around, "manual_fn")
    exec(compile(lines, "<nowhere>", "exec"), scope)
    with pytest.raises(InputError, match="the source of manual_fn"):
        sources.expression(scope["half"], "manual_fn")


def test_functions_of_torch_and_of_a_module_are_imported():
    sources = Sources()
    assert sources.expression(torch.optim.Adam, "torch_optimizer") == "torch.optim.Adam"
    assert sources.expression(users.ridge, "manual_fn") == "ridge"
    assert (
        sources.imports == ["import torch", f"from {users.__name__} import ridge"]
        or "def ridge" in sources.definitions[0]
    )


def test_an_object_is_refused_in_one_line():
    with pytest.raises(InputError) as caught:
        Sources().expression(users.Side(), "side")
    assert str(caught.value) == (
        "side is an object of Side, which no line of Python makes again; to have the case written hand in a function or "
        "a class that makes it"
    )
