"""The two sides and the data of a case."""

import numpy as np
import pytest

from compare.batches import InputError
from compare.fuzz.build import pair
from compare.fuzz.case import Case


def built(text):
    return pair(Case.parse(text))


def inputs_of(text):
    _, _, steps = built(text)
    return np.concatenate([x for (x, _), _ in steps[0]])


def targets_of(text):
    _, _, steps = built(text)
    return np.concatenate([y for (_, y), _ in steps[0]])


@pytest.mark.parametrize(
    "text",
    [
        "parts=3/2/1,steps=3",
        "parts=3/2/1,steps=3,fresh=True",
        "parts=9/9/4,outputs=4,loss=CrossEntropyLoss:weight=random:ignore_index=1",
        "parts=9/9/4,outputs=4,loss=NLLLoss:ignore_index=-100,output=LogSoftmax:-1",
        "parts=1/1/1,outputs=2,loss=CrossEntropyLoss:ignore_index=0",
        "parts=5/1,outputs=4,loss=CrossEntropyLoss,targets=probabilities",
        "model=LinearSVM:C=0.1,parts=4/3",
    ],
)
def test_the_weights_of_a_step_add_up_to_one_and_every_micro_batch_counts(text):
    _, _, steps = built(text)
    case = Case.parse(text)
    assert len(steps) == case.steps
    for step in steps:
        assert [len(x) for (x, _), _ in step] == list(case.parts)
        assert sum(weight for _, weight in step) == pytest.approx(1, abs=1e-12)
        assert min(weight for _, weight in step) > 0
    same = [np.array_equal(steps[0][0][0][0], step[0][0][0]) for step in steps[1:]]
    assert not any(same) if case.fresh else all(same)


@pytest.mark.parametrize(
    "text",
    [
        "seed=4,hidden=5/5,activations=PReLU:width/GLU,tied=module",
        "seed=4,inputs=5,hidden=5/5,activations=Tanh/Tanh,tied=weight",
        "seed=4,hidden=5,activations=Tanh,gain=3.0,dtype=float32",
        "seed=4,model=SigmoidNetwork:hidden=3,outputs=2",
        "seed=4,model=OneVsAll,outputs=3,gain=0.1",
    ],
)
def test_both_sides_start_from_the_same_values_and_each_factory_starts_afresh(text):
    actual, expected, _ = built(text)
    first, second, again = actual(), expected(), expected()
    assert list(first.parameters) == list(second.parameters)
    for name, value in first.parameters.items():
        assert value.dtype == second.parameters[name].dtype == Case.parse(text).dtype
        np.testing.assert_array_equal(value, second.parameters[name])
        np.testing.assert_array_equal(value, again.parameters[name])
        assert np.any(value)
        assert not np.shares_memory(value, second.parameters[name])


@pytest.mark.parametrize(("tied", "names"), [("module", 6), ("weight", 7), ("", 8)])
def test_tied_layers_have_one_weight(tied, names):
    actual, expected, _ = built(f"inputs=5,hidden=5/5/4,activations=Tanh/Tanh/Tanh,outputs=1,tied={tied}")
    assert len(actual().parameters) == len(expected().parameters) == names


@pytest.mark.parametrize(("frozen", "left"), [("first", ["2.weight", "2.bias"]), ("biases", ["0.weight", "2.weight"])])
def test_frozen_parameters_get_no_gradient(frozen, left):
    actual, expected, steps = built(f"hidden=4,activations=Tanh,frozen={frozen}")
    for side in (actual(), expected()):
        side.zero_grad()
        side.accumulate(*steps[0][0])
        assert [name for name, gradient in side.gradients.items() if gradient is not None] == left


def test_biases_as_a_group_of_their_own():
    actual, expected, _ = built("optimizer=AdamW:lr=0.1:weight_decay=0.5,groups=True")
    for side in (actual(), expected()):
        assert side.learning_rate == [0.1, 0.05]
        assert [group["weight_decay"] for group in side.optimizer.param_groups] == [0.5, 0.0]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("special=zeros", lambda x: 0.3 < np.mean(x == 0) < 0.9),
        ("special=zero-rows", lambda x: 0 < np.sum(~x.any(1)) < len(x)),
        ("special=duplicates", lambda x: len(np.unique(x, axis=0)) <= len(x) / 2),
        ("special=constant,seed=1", lambda x: 0 < np.sum(np.ptp(x, 0) == 0) < 6),
        ("special=integers", lambda x: np.array_equal(x, np.round(x))),
        ("special=grid", lambda x: np.array_equal(2 * x, np.round(2 * x))),
        ("scale=1000.0", lambda x: 100 < x.std() < 3000),
        ("offset=100.0", lambda x: 90 < x.mean() < 110),
        ("columns=8.0", lambda x: x.std(0).max() / x.std(0).min() > 1e6),
        ("time=3", lambda x: x.shape == (40, 3, 6)),
    ],
)
def test_what_is_special_about_the_inputs(text, holds):
    assert holds(inputs_of(f"inputs=6,parts=20/20,{text}"))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("outputs=3,loss=CrossEntropyLoss:ignore_index=2", lambda y: 0.1 < np.mean(y == 2) < 0.9),
        (
            "outputs=3,loss=CrossEntropyLoss,targets=probabilities",
            lambda y: np.allclose(y.sum(1), 1) and (y == 0).any(),
        ),
        ("outputs=3,loss=KLDivLoss:log_target=True,output=LogSoftmax:-1", lambda y: np.allclose(np.exp(y).sum(1), 1)),
        ("loss=BCEWithLogitsLoss", lambda y: set(y.flat) == {0.0, 1.0}),
        ("loss=BCEWithLogitsLoss,targets=soft", lambda y: len(set(y.flat)) > 30 and y.min() >= 0 and y.max() <= 1),
        ("loss=SoftMarginLoss", lambda y: set(y.flat) == {-1.0, 1.0}),
        ("special=grid", lambda y: np.array_equal(2 * y, np.round(2 * y))),
        ("model=LogisticRegression", lambda y: y.shape == (40,) and set(y) == {0.0, 1.0}),
        ("model=SigmoidNetwork:hidden=2,outputs=3", lambda y: set(y) == {0, 1, 2}),
    ],
)
def test_targets_fit_the_loss(text, holds):
    assert holds(targets_of(f"parts=20/20,{text}"))


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")
@pytest.mark.parametrize(
    ("loss", "output", "answer"),
    [
        ("MSELoss", "", lambda z: z),
        ("BCELoss", "Sigmoid", lambda z: z),
        ("BCEWithLogitsLoss", "", lambda z: 1 / (1 + np.exp(-z))),
        ("CrossEntropyLoss", "", lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True)),
        ("KLDivLoss", "LogSoftmax:-1", np.exp),
    ],
)
def test_targets_near_what_the_model_answers(loss, output, answer):
    text = f"hidden=4,activations=Tanh,outputs=3,output={output},loss={loss},targets=near,parts=9"
    _, expected, steps = built(text)
    side = expected()
    side.accumulate(*steps[0][0])
    (_, y), _ = steps[0][0]
    np.testing.assert_allclose(y, answer(side.activations["", 0, "output"]), rtol=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hidden=2,activations=Tang", "no module is called 'Tang' on both sides"),
        ("loss=Loss", "no loss is called 'Loss' on both sides"),
        ("optimizer=Adamm:lr=1", "no optimizer is called 'Adamm' on both sides"),
        ("schedule=ReduceLR", "no scheduler is called 'ReduceLR' on both sides"),
        ("model=Linear", "no model is called 'Linear' on both sides"),
    ],
)
def test_what_no_wing_has_is_named(text, message):
    def make():
        actual, _, _ = built(text)
        actual()

    with pytest.raises(InputError, match=message):
        make()
