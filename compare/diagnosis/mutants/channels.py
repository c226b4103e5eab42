"""Mistakes in normalisations, dropouts and slopes that work channel by channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from compare.diagnosis.mutants.arguments import bound
from compare.diagnosis.mutants.around import Around
from compare.diagnosis.mutants.laying import alpha_map
from compare.diagnosis.mutants.mutation import Mutation, holding, with_pullback
from compare.diagnosis.mutants.sites import Call, Site

__all__ = ["DROPOUTS", "by_channel", "by_channel_back"]

DROPOUTS = frozenset({"dropout", "dropout1d", "dropout2d", "dropout3d"})
_ALPHA = frozenset({"alpha_dropout", "feature_alpha_dropout"})


def by_channel(site: Site, around: Around) -> Iterator[Mutation]:
    """What the forward pass of a normalisation, a dropout or a bilinear form may get wrong."""
    name, given = site.name, bound(site.name, site.args, site.kwargs)
    if name in ("batch_norm", "instance_norm"):
        yield from _other_statistics(site, given)
    elif name == "group_norm":
        yield from _other_groups(site, given)
    elif name == "rms_norm":
        yield Mutation(
            "centred",
            "wrong function",
            "the mean is subtracted first: a layer norm without shift stands for an RMS norm",
            lambda call: _centred(_given(site, call)),
            3,
        )
    elif name == "local_response_norm":
        for axis in range(2, site.output.ndim):
            yield Mutation(
                f"axis {axis}",
                "wrong axis",
                f"the neighbours are those along axis {axis}, not the channels",
                holding(_along, site, axis),
                3,
            )
    elif name == "bilinear" and given["input1"].shape == given["input2"].shape:
        yield Mutation(
            "exchanged",
            "transposed",
            "the two inputs of a bilinear form are exchanged: its matrices are used the other way round",
            lambda call: _exchanged(_given(site, call)),
            2,
        )
    elif name in _ALPHA:
        yield from _alpha(site, given)
    if name in DROPOUTS:
        yield from _other_mask(site, around, given)


def _given(site: Site, call: Call) -> dict[str, Any]:
    return bound(site.name, call.args, call.kwargs)


def _other_statistics(site: Site, given: dict[str, Any]) -> Iterator[Mutation]:
    key = "training" if site.name == "batch_norm" else "use_input_stats"
    now = bool(given.get(key, site.name != "batch_norm"))
    if given.get("running_mean") is None or (now and site.name == "instance_norm"):
        return
    of = ("the batch's own", "running")
    yield Mutation(
        "statistics",
        "other statistics",
        f"{of[now]} statistics normalise, where {of[not now]} ones belong",
        holding(_normalised_by_others, site, key, not now),
        2,
    )


def _normalised_by_others(call: Call, site: Site, key: str, value: bool) -> Any:
    """The buffers are left as the right call, which has been made already, leaves them."""
    given = _given(site, call)
    mean, var = (given[name].detach().clone() for name in ("running_mean", "running_var"))
    if not value:  # as they were before this batch moved them
        share, x = float(given.get("momentum", 0.1)), given["input"].detach().movedim(1, 0).flatten(1)
        mean, var = ((now - share * seen) / (1 - share) for now, seen in ((mean, x.mean(1)), (var, x.var(1))))
    return call.func(**{**given, "running_mean": mean, "running_var": var, key: value})


def _other_groups(site: Site, given: dict[str, Any]) -> Iterator[Mutation]:
    groups, channels = int(given["num_groups"]), site.output.shape[1]
    if 1 < groups < channels:
        yield Mutation(
            "interleaved",
            "wrong groups",
            f"the channels are interleaved among the {groups} groups, where neighbours belong together",
            holding(_interleaved, site, torch.arange(channels).reshape(-1, groups).T.reshape(-1)),
            2,
        )
    for other in range(1, channels + 1):
        if other != groups and channels % other == 0:
            yield Mutation(
                f"{other} groups",
                "wrong groups",
                f"there are {other} groups of channels in place of {groups}",
                holding(lambda call, other: call.func(**{**_given(site, call), "num_groups": other}), other),
                3,
            )


def _interleaved(call: Call, site: Site, order: Tensor) -> Tensor:
    given = _given(site, call)
    vectors = {name: given[name][order] for name in ("weight", "bias") if given.get(name) is not None}
    turned: Tensor = call.func(**{**given, "input": given["input"][:, order], **vectors})
    return turned[:, order.argsort()]


def _exchanged(given: dict[str, Any]) -> Tensor:
    return F.bilinear(given["input2"], given["input1"], given["weight"], given.get("bias"))


def _centred(given: dict[str, Any]) -> Tensor:
    x, eps = given["input"], given.get("eps")
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return F.layer_norm(x, list(given["normalized_shape"]), given.get("weight"), None, eps)


def _along(call: Call, site: Site, axis: int) -> Tensor:
    given = _given(site, call)
    turned: Tensor = call.func(**{**given, "input": given["input"].transpose(1, axis)})
    return turned.transpose(1, axis)


# -- dropouts ----------------------------------------------------------------------------------------------------------


def _alpha(site: Site, given: dict[str, Any]) -> Iterator[Mutation]:
    p = float(given.get("p", 0.5))
    if not 0 < p < 1:
        return
    a, b, low = alpha_map(p)
    formula = "alpha dropout: a (x m + f (1 - m)) + b, f the floor of SELU, a and b such that mean and variance stay"

    def kept(call: Call, y: Tensor) -> Tensor:
        """1 where a value is kept."""
        return (~torch.isclose(y, torch.full_like(y, a * low + b))).to(y.dtype).detach()

    def zeroed(call: Call) -> Tensor:
        y = call.plain()
        return y - a * low * (1 - kept(call, y))

    def plain(call: Call) -> Tensor:
        y: Tensor = call.plain()
        return (y - b) / a

    def scaled(call: Call) -> Tensor:
        y = call.plain()
        return _given(site, call)["input"] * kept(call, y) / (1 - p)

    for key, cause, says, replace in (
        ("zero", "wrong function", "dropped values become zero, not SELU's lowest value", zeroed),
        ("no map", "dropout scale", "mean and variance are not set right after values have been replaced", plain),
        ("dropout", "wrong function", "a plain dropout stands for an alpha dropout", scaled),
    ):
        yield Mutation(key, cause, says, replace, 2, formula)


def _other_mask(site: Site, around: Around, given: dict[str, Any]) -> Iterator[Mutation]:
    """The mask that the actual output shows: values are zero or as they should be when kept."""
    p = float(given.get("p", 0.5))
    if around.bench.evidence.phase != "forward" or not 0 < p < 1 or site.owner is None:
        return

    def replace(call: Call) -> Tensor:
        x: Tensor = _given(site, call)["input"]
        shown = around.bench.shown_by(site.owner or "")
        if shown is None or shown.shape != tuple(x.shape):
            raise RuntimeError("nothing is shown")
        return x * torch.from_numpy(shown != 0) / (1 - p)

    wide = site.name != "dropout"
    says = "another mask drops values than the one that was drawn"
    if wide:
        says += f": {site.name} drops whole channels, and a mask may not vary within one"
    yield Mutation("another mask", "another mask", says, replace, 3, "dropout: one mask, forward and backward")


# -- backwards ---------------------------------------------------------------------------------------------------------


def by_channel_back(site: Site, around: Around) -> Iterator[Mutation]:
    """What the pullback of a learnt slope may get wrong."""
    if site.name != "prelu" or len(site.slots) < 2:
        return
    x, slope = site.slots[:2]
    formula = "d prelu: dx = g where x > 0, else w g; dw = the sum of g x where x is not positive"
    weight = site.tensor(slope)

    def of(g: Tensor, value: Tensor) -> Tensor:
        found = g * value
        if weight.numel() == 1:
            return found.sum().reshape(weight.shape)
        return found.sum(tuple(axis for axis in range(value.ndim) if axis != 1))

    for key, cause, says, pullback in (
        (
            "all",
            "mask ignored",
            "the slope's gradient is the sum of g x over all values, not over the negative ones",
            lambda g, i, y, d: {slope: of(g, i[x])},
        ),
        (
            "positive",
            "wrong derivative",
            "the slope's gradient is the sum of g x over the positive values",
            lambda g, i, y, d: {slope: of(g, i[x].clamp(min=0))},
        ),
        (
            "no slope",
            "wrong derivative",
            "nothing passes where the value is negative: the derivative of relu",
            lambda g, i, y, d: {x: g * (i[x] > 0)},
        ),
        ("one", "derivative left out", "the gradient passes as it arrives", lambda g, i, y, d: {x: g}),
    ):
        yield Mutation(key, cause, f"{says}, in prelu", with_pullback(pullback), 2, formula)
