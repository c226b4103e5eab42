"""Gradient descent as the course prints it, and two well-known ways of getting it wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from manual.classic.model import Evaluation, Model
from manual.classic.sigmoid_network import SigmoidNetwork
from manual.rules.core import Array

__all__ = ["gradient_descent", "update_in_turn", "update_output_first", "update_simultaneously"]


def update_simultaneously(
    model: Model, x: Array, y: Array, learning_rate: float, weights: Array | None = None
) -> Evaluation:
    """Take one step: all gradients from the old parameters, then all parameters at once.

        temp_j = theta_j - alpha dJ/dtheta_j (theta)    for every j, and only then    theta_j = temp_j

    Shapes: ``x (m, n)``, ``y`` as the model takes it, ``weights (m,)``. Raises what the model raises.

    Returns
    -------
    The evaluation at the old parameters. This is what one step of ``torch.optim.SGD`` without momentum does.

    Examples
    --------
    >>> model = classic.LinearRegression(1)
    >>> _ = classic.update_simultaneously(model, np.array([[1.0], [3.0]]), np.array([2.0, 4.0]), learning_rate=0.5)
    >>> model.parameters
    {'linear.weight': array([[3.5]]), 'linear.bias': array([1.5])}
    """
    evaluation = model.evaluate(x, y, weights)
    _descend(model, evaluation.gradients, learning_rate)
    return evaluation


def update_in_turn(
    model: Model,
    x: Array,
    y: Array,
    learning_rate: float,
    weights: Array | None = None,
    order: Sequence[str] | None = None,
) -> Evaluation:
    """**A mistake, kept for the lesson**: change one parameter after the other, each by the gradient at that moment.

        theta_0 = theta_0 - alpha dJ/dtheta_0 (theta_0, theta_1)
        theta_1 = theta_1 - alpha dJ/dtheta_1 (theta_0 *already changed*, theta_1)

    The first parameter moves as it should; every later one follows a gradient of another point. It still goes downhill
    (it is block coordinate descent), which is why nobody notices; but it is not gradient descent, and no optimizer of
    PyTorch reproduces it.

    Shapes: ``x (m, n)``, ``y`` as the model takes it, ``weights (m,)``.

    Parameters
    ----------
    order : sequence of names, optional
        Which parameter goes first; by default the order of ``model.parameters``.

    Returns
    -------
    The evaluation at the old parameters, but with the gradients that were used: the first is a gradient at the old
    parameters, the others are not.

    Raises
    ------
    ValueError
        If ``order`` does not name each parameter once.

    Examples
    --------
    >>> model = classic.LinearRegression(1)
    >>> _ = classic.update_in_turn(model, np.array([[1.0], [3.0]]), np.array([2.0, 4.0]), learning_rate=0.5)
    >>> model.parameters
    {'linear.weight': array([[3.5]]), 'linear.bias': array([-2.])}
    """
    names = list(model.parameters) if order is None else list(order)
    if sorted(names) != sorted(model.parameters):
        raise ValueError(f"order is {names}; it has to name each of {list(model.parameters)} once")
    first = model.evaluate(x, y, weights)
    used: dict[str, Array] = {}
    for name in names:
        if name in first.gradients:
            gradient = model.evaluate(x, y, weights).gradients[name] if used else first.gradients[name]
            _descend(model, {name: gradient}, learning_rate)
            used[name] = gradient
    return replace(first, gradients=used)


def update_output_first(
    network: SigmoidNetwork, x: Array, y: Array, learning_rate: float, weights: Array | None = None
) -> Evaluation:
    """**A mistake, kept for the lesson**: backpropagate through output weights that have already been updated.

    The output layer's deltas are right; but ``D_A1 = D_Z2 W2`` takes the *new* W2, so what the hidden layer follows is
    the gradient of no function. The error printed after the first round in Matt Mazur's "A Step by Step Backpropagation
    Example" (2015), 0.291027924, comes out this way; the simultaneous update gives 0.291027774.

    Shapes: ``x (m, n)``, ``y (m, outputs)``, ``weights (m,)``. Raises what the network raises.

    Returns
    -------
    The evaluation with the wrong hidden deltas; the parameters have moved along its gradients.

    Examples
    --------
    >>> networks = [classic.SigmoidNetwork(1, 2, 1, seed=3) for _ in range(2)]
    >>> x, y = np.array([[1.0], [3.0]]), np.array([[1.0], [0.0]])
    >>> _ = classic.update_output_first(networks[0], x, y, learning_rate=0.5)
    >>> _ = classic.update_simultaneously(networks[1], x, y, learning_rate=0.5)
    >>> wrong, right = (network.parameters for network in networks)
    >>> {name: bool((wrong[name] == right[name]).all()) for name in right}
    {'hidden.weight': False, 'hidden.bias': False, 'output.weight': True, 'output.bias': True}
    """
    right = network.evaluate(x, y, weights).gradients["output.weight"]
    through = network.parameters["output.weight"] - learning_rate * right
    evaluation = network.evaluate(x, y, weights, through=through)
    _descend(network, evaluation.gradients, learning_rate)
    return evaluation


def gradient_descent(
    model: Model,
    x: Array,
    y: Array,
    learning_rate: float,
    steps: int,
    update: Callable[[Any, Array, Array, float], Evaluation] = update_simultaneously,
) -> list[float]:
    """Take many steps, in place.

    Shapes: ``x (m, n)``, ``y`` as the model takes it. Raises what the model raises.

    Returns
    -------
    The cost before each step, and after the last.

    Examples
    --------
    >>> model = classic.LinearRegression(1)
    >>> x, y = np.array([[1.0], [3.0]]), np.array([2.0, 6.0])
    >>> costs = classic.gradient_descent(model, x, y, learning_rate=0.2, steps=2)
    >>> np.round(costs, 4)
    array([10.    ,  0.32  ,  0.0512])
    """
    costs = [float(update(model, x, y, learning_rate).loss["total"]) for _ in range(steps)]
    return [*costs, float(model.cost(x, y))]


def _descend(model: Model, gradients: dict[str, Array], learning_rate: float) -> None:
    for name, gradient in gradients.items():
        model.parameters[name] -= learning_rate * gradient
