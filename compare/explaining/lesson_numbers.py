"""The numbers of the course's pages, computed by the manual wing's own models and by the experiments' own parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import manual.classic as classic
from compare.explaining.blocks import Table, table

__all__ = ["NUMBERS"]

X = np.array([[1.0], [2.0], [4.0]])
Y = np.array([2.0, 2.5, 5.0])
"""Three points for a line."""


def _line() -> classic.LinearRegression:
    line = classic.LinearRegression(1)
    line.load_parameters({"linear.weight": np.array([[0.0]]), "linear.bias": np.array([0.0])})
    return line


def _both(model: Any) -> tuple[float, float]:
    return float(model.parameters["linear.bias"][0]), float(model.parameters["linear.weight"][0, 0])


def simultaneous_update() -> dict[str, Any]:
    """One step of a line both ways, PyTorch's step beside it, and where four more steps lead."""
    import torch

    rate = 0.1
    first = _line().gradients(X, Y)
    gradient_b, gradient_w = float(first["linear.bias"][0]), float(first["linear.weight"][0, 0])
    right, wrong = _line(), _line()
    classic.update_simultaneously(right, X, Y, rate)
    used = classic.update_in_turn(wrong, X, Y, rate, order=["linear.bias", "linear.weight"]).gradients
    b, w = (torch.zeros(1, dtype=torch.float64, requires_grad=True) for _ in "bw")
    optimizer = torch.optim.SGD([b, w], lr=rate)
    loss = ((torch.from_numpy(X[:, 0]) * w + b - torch.from_numpy(Y)) ** 2).mean() / 2
    loss.backward()
    optimizer.step()
    steps = table(
        ["", "bias", "weight"],
        [
            ["both at once", *_both(right)],
            ["PyTorch's SGD", float(b.detach()[0]), float(w.detach()[0])],
            ["bias first, then weight", *_both(wrong)],
        ],
        right=(1, 2),
    )
    runs = [_line(), _line()]
    costs = [
        classic.gradient_descent(runs[0], X, Y, rate, 5),
        classic.gradient_descent(runs[1], X, Y, rate, 5, classic.update_in_turn),
    ]
    falling = [[step, *pair] for step, pair in enumerate(zip(*costs, strict=True))]
    path = table(["step", "cost, at once", "cost, in turn"], falling)
    return {
        "rate": rate,
        "gradient-b": gradient_b,
        "gradient-w": gradient_w,
        "late-w": float(used["linear.weight"][0, 0]),
        "steps": steps,
        "path": path,
        "gap": abs(_both(right)[1] - _both(wrong)[1]),
    }


def gradient_accumulation() -> dict[str, Any]:
    """The gradient of three rows, cut 2 + 1: with the right weights, and as a mean of means."""
    whole = _line().gradients(X, Y)["linear.weight"][0, 0]
    parts = [_line().gradients(X[cut], Y[cut])["linear.weight"][0, 0] for cut in (slice(0, 2), slice(2, 3))]
    weighted, mean = 2 / 3 * parts[0] + 1 / 3 * parts[1], (parts[0] + parts[1]) / 2
    rows = [
        ["rows 1 and 2", "2/3", float(parts[0]), float(2 / 3 * parts[0])],
        ["row 3", "1/3", float(parts[1]), float(1 / 3 * parts[1])],
    ]
    sums = [
        ["all three rows at once", float(whole)],
        ["the deposits added up", float(weighted)],
        ["the mean of the two means", float(mean)],
    ]
    return {
        "parts": table(["micro-batch", "weight", "gradient of its own mean", "deposit"], rows, right=(1, 2, 3)),
        "sums": table(["", "dJ/dw"], sums, right=(1,)),
        "off": f"{abs(mean / whole - 1):.0%}",
    }


def gradient_descent() -> dict[str, Any]:
    """One step in its two halves, and where a mistake in either ends."""
    import torch

    rate = 0.1
    cuts = (slice(0, 2), slice(2, 3))
    names = ("linear.bias", "linear.weight")
    rows: list[list[Any]] = []
    total = dict.fromkeys(names, 0.0)
    for number, (cut, share) in enumerate(zip(cuts, (2 / 3, 1 / 3), strict=True), 1):
        found = _line().gradients(X[cut], Y[cut])
        deposits = [share * float(found[name].reshape(-1)[0]) for name in names]
        for name, deposit in zip(names, deposits, strict=True):
            total[name] += deposit
        rows.append([f"deposit of micro-batch {number}", *deposits])
    rows.append(["first half: their sum", *total.values()])
    whole = _line().gradients(X, Y)
    rows.append(["all rows at once", *(float(whole[name].reshape(-1)[0]) for name in names)])
    rows.append(["second half: the change", *(-rate * value for value in total.values())])
    b, w = (torch.zeros(1, dtype=torch.float64, requires_grad=True) for _ in "bw")
    optimizer = torch.optim.SGD([b, w], lr=rate)
    for cut, share in zip(cuts, (2 / 3, 1 / 3), strict=True):
        residual = torch.from_numpy(X[cut][:, 0]) * w + b - torch.from_numpy(Y[cut])
        (share * (residual**2).mean() / 2).backward()
    optimizer.step()
    in_turn = _line()
    classic.update_in_turn(in_turn, X, Y, rate, order=list(names))
    halves = [[float(_line().gradients(X[cut], Y[cut])[name].reshape(-1)[0]) for name in names] for cut in cuts]
    means = [-rate * (one + other) / 2 for one, other in zip(*halves, strict=True)]
    ends = [
        ["manual", *(-rate * value for value in total.values())],
        ["PyTorch's SGD", float(b.detach()[0]), float(w.detach()[0])],
        ["first half wrong: mean of means", *means],
        ["second half wrong: bias first", *_both(in_turn)],
    ]
    return {
        "rate": rate,
        "halves": table(["", "bias", "weight"], rows, right=(1, 2)),
        "ends": table(["after the step", "bias", "weight"], ends, right=(1, 2)),
    }


def cost_functions() -> dict[str, Any]:
    """Squares and cross entropy of a sigmoid on one row, along the weight: cost, slope and curvature."""
    weights = (-8.0, -4.0, -1.0, 0.0, 2.0, 6.0)

    def sigmoid(z: float) -> float:
        return float(1 / (1 + np.exp(-z)))

    def squares(w: float) -> float:
        return (sigmoid(w) - 1) ** 2 / 2

    model = classic.LogisticRegression(1)

    def entropy(w: float) -> float:
        model.load_parameters({"linear.weight": np.array([[w]]), "linear.bias": np.array([0.0])})
        return float(model.cost(np.ones((1, 1)), np.ones(1)))

    def slope_entropy(w: float) -> float:
        entropy(w)
        return float(model.gradients(np.ones((1, 1)), np.ones(1))["linear.weight"][0, 0])

    def curvature(cost: Callable[[float], float], w: float) -> float:
        step = 1e-3
        return (cost(w + step) - 2 * cost(w) + cost(w - step)) / step**2

    rows = []
    for w in weights:
        p = sigmoid(w)
        rows.append(
            [
                f"{w:g}",
                *[f"{number:.4g}" for number in (squares(w), (p - 1) * p * (1 - p), curvature(squares, w))],
                *[f"{number:.4g}" for number in (entropy(w), slope_entropy(w), curvature(entropy, w))],
            ]
        )
    a, b = -8.0, 0.0
    middle = (a + b) / 2
    return {
        "costs": table(
            ["w", "squares", "slope", "curvature", "cross entropy", "slope ", "curvature "], rows, right=range(7)
        ),
        "a": a,
        "b": b,
        "middle": middle,
        "squares-middle": squares(middle),
        "squares-chord": (squares(a) + squares(b)) / 2,
        "entropy-middle": entropy(middle),
        "entropy-chord": (entropy(a) + entropy(b)) / 2,
    }


def one_vs_all() -> dict[str, Any]:
    """Three heads on iris, trained by hand-derived gradients."""
    from compare.experiments.datasets import load

    data = load("iris")
    x = (data.x - data.x.mean(0)) / data.x.std(0)
    heads = classic.OneVsAll(4, 3)
    classic.gradient_descent(heads, x, data.y, 1.0, 300)
    alone = classic.LogisticRegression(4)
    classic.gradient_descent(alone, x, (data.y == 1).astype(float), 1.0, 300)
    whole = classic.SoftmaxRegression(4, 3)
    classic.gradient_descent(whole, x, data.y, 1.0, 300)
    probability = heads.predict_probability(x)
    shared = whole.predict_probability(x)
    rows = []
    for row in (0, 70, 100, 133):
        answer = int(probability[row].argmax())
        name = str(data.target_names[int(data.y[row])])
        rows.append([row, name, *[f"{p:.3f}" for p in probability[row]], f"{probability[row].sum():.3f}",
                     str(data.target_names[answer]), f"{shared[row].sum():.3f}"])  # fmt: skip
    names = [str(name) for name in data.target_names]
    headers = ["row", "class", *[f"p({name})" for name in names], "sum", "answer", "softmax's sum"]
    gap = float(np.abs(heads.parameters["linear.weight"][1] - alone.parameters["linear.weight"][0]).max())
    return {
        "heads": table(headers, rows, right=(0, 2, 3, 4, 5, 7)),
        "accuracy": f"{heads.accuracy(x, data.y):.1%}",
        "softmax-accuracy": f"{whole.accuracy(x, data.y):.1%}",
        "least": f"{probability.sum(1).min():.3f}",
        "most": f"{probability.sum(1).max():.3f}",
        "gap": f"{gap:.1g}",
    }


def lambda_and_c() -> dict[str, Any]:
    """The linear SVM's cost in C and in lambda: values and gradients differ by C m, and by nothing else."""
    x = np.array([[1.0, 0.5], [2.0, -1.0], [-1.0, 1.0], [-0.5, -1.5]])
    y = np.array([1.0, 1.0, 0.0, 0.0])
    rows = []
    for C in (0.1, 1.0, 10.0):
        course = classic.LinearSVM(2, rows=4, C=C)
        mean = classic.LinearSVM(2, rows=4, C=C, convention="mean")
        for model in (course, mean):
            model.load_parameters({"linear.weight": np.array([[0.4, -0.3]]), "linear.bias": np.array([0.1])})
        a, b = float(course.cost(x, y)), float(mean.cost(x, y))
        g, h = (float(model.gradients(x, y)["linear.weight"][0, 0]) for model in (course, mean))
        rows.append([f"{C:g}", f"{classic.svm_lambda_from_C(C):g}", a, b, a / b, g, h, g / h])
    headers = ["C", "1/C", "J in C", "J in lambda", "ratio", "dJ/dw1 in C", "in lambda", "ratio "]
    return {"table": table(headers, rows, right=range(8)), "margins": _margins()}


def _margins() -> Table:
    """What C does on breast cancer: the margin, the rows inside it, the accuracy."""
    from compare.experiments.regression import standardised

    x, y, _ = standardised("breast-cancer")
    rows = []
    for C in (0.001, 0.1, 10.0):
        model = classic.LinearSVM(x.shape[1], rows=len(x), C=C, convention="mean")
        for rate in (0.5, 0.1, 0.02):
            classic.gradient_descent(model, x, y, rate, 100)
        scores = (2 * y - 1) * model.forward(x)[:, 0]
        length = float(np.linalg.norm(model.parameters["linear.weight"]))
        inside, right = int((scores < 1).sum()), f"{(scores > 0).mean():.1%}"
        rows.append([f"{C:g}", f"{1 / C:g}", f"{2 / length:.3f}", inside, right])
    return table(["C", "lambda = 1/C", "margin 2/|w|", "rows inside", "accuracy"], rows, right=range(5))


def xnor() -> dict[str, Any]:
    """The best line for XNOR, and the lecture's network."""
    x, y = classic.truth_table("XNOR")
    line = classic.LogisticRegression(2)
    line.load_parameters({"linear.weight": np.array([[0.8, -0.6]]), "linear.bias": np.array([0.3])})
    costs = classic.gradient_descent(line, x, y, 1.0, 2000)
    network = classic.xnor_network()
    found = np.asarray(network.predict_probability(x)).reshape(-1)
    by_line = 1 / (1 + np.exp(-line.forward(x)[:, 0]))
    gates = {name: 1 / (1 + np.exp(-classic.gate(name).forward(x)[:, 0])) for name in ("AND", "NOR")}
    rows = [
        [int(a), int(b), int(answer), f"{p:.4f}", f"{u:.5f}", f"{v:.5f}", f"{q:.5f}"]
        for (a, b), answer, p, u, v, q in zip(x, y, by_line, gates["AND"], gates["NOR"], found, strict=True)
    ]
    headers = ["x1", "x2", "XNOR", "best line", "AND", "NOR", "network"]
    best = 0
    grid = np.linspace(-1, 1, 21)
    for b in grid:
        for first in grid:
            right = ((b + first * x[:, 0] + grid[:, None] * x[:, 1] > 0) == (y > 0.5)).sum(1)
            best = max(best, int(right.max()))
    return {
        "table": table(headers, rows, right=range(7)),
        "start": costs[0],
        "end": costs[-1],
        "log2": float(np.log(2)),
        "weights": ", ".join(f"{abs(value):.1e}" for one in line.parameters.values() for value in one.reshape(-1)),
        "tried": f"{len(grid) ** 3:,}",
        "best": best,
    }


def mazur() -> dict[str, Any]:
    """Mazur's example: what is printed, the right numbers, and how the last printed one comes about."""
    from compare.experiments.mazur import (
        INITIAL,
        PRINTED_ERROR,
        PRINTED_ERROR_AFTER,
        PRINTED_WEIGHTS,
        RATE,
        X,
        Y,
    )

    def network() -> classic.SigmoidNetwork:
        made = classic.SigmoidNetwork(2, 2, 2, cost="half_squares", freeze_biases=True)
        made.load_parameters(INITIAL)
        return made

    right, wrong = network(), network()
    before = float(right.cost(X, Y))
    classic.update_simultaneously(right, X, Y, RATE)
    classic.update_output_first(wrong, X, Y, RATE)
    rows = []
    for (name, *index), (label, number) in PRINTED_WEIGHTS.items():
        place = tuple(index)
        rows.append(
            [f"{label}+", number, f"{right.parameters[name][place]:.9f}", f"{wrong.parameters[name][place]:.9f}"]
        )
    rows.append(["error before", PRINTED_ERROR, f"{before:.9f}", f"{before:.9f}"])
    after, after_wrong = float(right.cost(X, Y)), float(wrong.cost(X, Y))
    rows.append(["error after", PRINTED_ERROR_AFTER, f"{after:.9f}", f"{after_wrong:.9f}"])
    headers = ["", "printed", "all at once", "w5 to w8 first"]
    return {
        "table": table(headers, rows, right=(1, 2, 3)),
        "rate": RATE,
        "after": f"{after:.9f}",
        "after-wrong": f"{after_wrong:.9f}",
        "printed-after": PRINTED_ERROR_AFTER,
        "gap": f"{abs(after - float(PRINTED_ERROR_AFTER)):.1e}",
    }


NUMBERS: dict[str, Callable[[], dict[str, Any]]] = {
    "simultaneous-update": simultaneous_update,
    "gradient-accumulation": gradient_accumulation,
    "gradient-descent": gradient_descent,
    "cost-functions": cost_functions,
    "one-vs-all": one_vs_all,
    "lambda-and-c": lambda_and_c,
    "xnor": xnor,
    "mazur": mazur,
}
"""Per page what computes its numbers and tables, by the names that the page uses."""
