"""Small examples of every layer and loss: how it is constructed, and what it is called with.

One line a class; both wings construct it alike. Layers that compute nothing themselves are in :data:`WITHOUT`, with
the reason that their page gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compare.explaining.drawing import away, between, classes, fixed, normal, positive, signs

__all__ = ["EXAMPLES", "UNLIKE", "WITHOUT", "LayerExample"]


@dataclass(frozen=True)
class LayerExample:
    """One module and one call of it.

    Attributes
    ----------
    inputs, keywords : what it is called with; keywords have no gradient
    arguments, options : what its class is constructed with; arrays become tensors for PyTorch
    build : makes the module from a namespace such as ``torch.nn``, where the class alone does not do
    written : how ``build`` reads
    grouped : whether the inputs after the first are handed over as one tuple
    """

    inputs: tuple[Any, ...]
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    keywords: dict[str, Any] = field(default_factory=dict)
    build: Callable[[Any], Any] | None = None
    written: str = ""
    grouped: bool = False


def on(*inputs: Any) -> Callable[..., LayerExample]:
    """``on(inputs)(arguments)``: a class constructed with arguments and called with inputs."""
    return lambda *arguments, **options: LayerExample(inputs, arguments, options)


def built(written: str, build: Callable[[Any], Any], *inputs: Any, **keywords: Any) -> LayerExample:
    return LayerExample(inputs, keywords=keywords, build=build, written=written)


PLAIN = on(normal(2, 3))
WIDE = on(between(-5, 8, 2, 4))
NEAR = on(between(-1.5, 1.5, 2, 4))
ROW, PLANE, VOLUME = normal(1, 1, 5), normal(1, 1, 3, 4), normal(1, 1, 2, 2, 3)
PROBABLE, CHOSEN = between(0.1, 0.9, 4), fixed(np.array([1.0, 0.0, 0.0, 1.0]))
WEIGHTS = np.array([0.5, 2.0, 1.0])
PLACES = np.array([[[1, 2]]])
DROPS = on(normal(2, 3))(0.4)


def _encoder(nn: Any) -> Any:
    return nn.TransformerEncoderLayer(4, 2, 3, dropout=0.0)


def _decoder(nn: Any) -> Any:
    return nn.TransformerDecoderLayer(4, 2, 3, dropout=0.0)


EXAMPLES: dict[str, LayerExample] = {
    # linear maps and tables
    "Identity": PLAIN(),
    "Linear": PLAIN(3, 2),
    "LazyLinear": PLAIN(2),
    "Bilinear": on(normal(2, 2), normal(2, 3))(2, 3, 2),
    "Embedding": on(fixed(np.array([2, 0, 2])))(3, 2),
    "EmbeddingBag": on(fixed(np.array([[2, 0], [2, 1]])))(3, 2, mode="mean"),
    # activations
    **{name: on(away(2, 3))() for name in ("ReLU", "LeakyReLU", "Softsign", "RReLU")},
    **{
        name: PLAIN()
        for name in (
            *("CELU", "ELU", "GELU", "LogSigmoid", "Mish", "SELU", "SiLU", "Sigmoid", "Softplus", "Tanh", "Tanhshrink"),
        )
    },
    **{name: PLAIN(1) for name in ("Softmax", "Softmin", "LogSoftmax")},
    **{name: WIDE() for name in ("ReLU6", "Hardsigmoid", "Hardswish")},
    **{name: NEAR() for name in ("Hardshrink", "Softshrink", "Hardtanh")},
    "Threshold": NEAR(0.1, -2.0),
    "GLU": on(normal(2, 4))(),
    "PReLU": on(away(2, 3))(3),
    "Softmax2d": on(normal(1, 3, 1, 2))(),
    # dropout
    "Dropout": DROPS,
    "AlphaDropout": DROPS,
    "Dropout1d": on(normal(2, 3, 2))(0.4),
    "Dropout2d": on(normal(2, 3, 1, 2))(0.4),
    "Dropout3d": on(normal(2, 3, 1, 1, 2))(0.4),
    "FeatureAlphaDropout": on(normal(2, 3, 2))(0.4),
    # normalisation
    "BatchNorm1d": on(normal(4, 2))(2),
    "BatchNorm2d": on(normal(2, 2, 2, 2))(2),
    "BatchNorm3d": on(normal(2, 2, 1, 2, 2))(2),
    "LazyBatchNorm1d": on(normal(4, 2))(),
    "LazyBatchNorm2d": on(normal(2, 2, 2, 2))(),
    "LazyBatchNorm3d": on(normal(2, 2, 1, 2, 2))(),
    "InstanceNorm1d": on(normal(1, 2, 4))(2, affine=True),
    "InstanceNorm2d": on(normal(1, 2, 2, 2))(2, affine=True),
    "InstanceNorm3d": on(normal(1, 2, 1, 2, 2))(2, affine=True),
    "LazyInstanceNorm1d": on(normal(1, 2, 4))(affine=True),
    "LazyInstanceNorm2d": on(normal(1, 2, 2, 2))(affine=True),
    "LazyInstanceNorm3d": on(normal(1, 2, 1, 2, 2))(affine=True),
    "GroupNorm": on(normal(1, 4, 2))(2, 4),
    "LayerNorm": on(normal(2, 4))(4),
    "RMSNorm": on(normal(2, 3))(3),
    "LocalResponseNorm": on(normal(1, 3, 2))(2, alpha=0.5),
    "CrossMapLRN2d": on(normal(1, 3, 1, 2))(3, alpha=0.5),
    # convolutions
    "Conv1d": on(ROW)(1, 2, 2, padding=1),
    "Conv2d": on(PLANE)(1, 2, (2, 3), stride=(1, 2), padding=(0, 1)),
    "Conv3d": on(VOLUME)(1, 2, (1, 2, 2)),
    "ConvTranspose1d": on(normal(1, 1, 3))(1, 2, 2, stride=2),
    "ConvTranspose2d": on(normal(1, 1, 2, 2))(1, 1, 2, stride=2),
    "ConvTranspose3d": on(normal(1, 1, 1, 2, 2))(1, 1, (1, 2, 2)),
    "LazyConv1d": on(ROW)(2, 2, padding=1),
    "LazyConv2d": on(PLANE)(1, 2),
    "LazyConv3d": on(VOLUME)(1, (1, 2, 2)),
    "LazyConvTranspose1d": on(normal(1, 1, 3))(2, 2, stride=2),
    "LazyConvTranspose2d": on(normal(1, 1, 2, 2))(1, 2, stride=2),
    "LazyConvTranspose3d": on(normal(1, 1, 1, 2, 2))(1, (1, 2, 2)),
    # pooling
    "MaxPool1d": on(ROW)(2),
    "MaxPool2d": on(PLANE)(2, stride=1),
    "MaxPool3d": on(VOLUME)((1, 2, 2)),
    "AvgPool1d": on(ROW)(2),
    "AvgPool2d": on(PLANE)(2),
    "AvgPool3d": on(VOLUME)((1, 2, 2)),
    "LPPool1d": on(positive(1, 1, 4))(2, 2),
    "LPPool2d": on(positive(1, 1, 2, 4))(2, 2),
    "LPPool3d": on(positive(1, 1, 1, 2, 4))(2, (1, 2, 2)),
    "AdaptiveMaxPool1d": on(ROW)(2),
    "AdaptiveMaxPool2d": on(PLANE)((2, 2)),
    "AdaptiveMaxPool3d": on(VOLUME)((1, 1, 2)),
    "AdaptiveAvgPool1d": on(ROW)(2),
    "AdaptiveAvgPool2d": on(PLANE)((2, 2)),
    "AdaptiveAvgPool3d": on(VOLUME)((1, 1, 2)),
    "FractionalMaxPool2d": on(normal(1, 1, 4, 4))(2, output_size=2, _random_samples=np.array([[[0.3, 0.6]]])),
    "FractionalMaxPool3d": on(normal(1, 1, 4, 4, 4))(2, output_size=2, _random_samples=np.array([[[0.3, 0.6, 0.1]]])),
    "MaxUnpool1d": on(normal(1, 1, 2), fixed(PLACES))(2),
    "MaxUnpool2d": on(normal(1, 1, 1, 2), fixed(PLACES[None]))(2),
    "MaxUnpool3d": on(normal(1, 1, 1, 1, 2), fixed(PLACES[None, None]))((1, 2, 2)),
    # shapes, padding, resampling
    "Flatten": on(normal(1, 2, 2))(),
    "Unflatten": on(normal(1, 4))(1, (2, 2)),
    "Fold": on(normal(1, 4, 2))((2, 3), (2, 2)),
    "Unfold": on(normal(1, 1, 2, 3))((2, 2)),
    "ChannelShuffle": on(normal(1, 4, 1, 1))(2),
    "PixelShuffle": on(normal(1, 4, 1, 1))(2),
    "PixelUnshuffle": on(normal(1, 1, 2, 2))(2),
    **{f"{kind}Pad1d": on(normal(1, 1, 3))((1, 2)) for kind in ("Circular", "Reflection", "Replication", "Zero")},
    **{f"{kind}Pad2d": on(normal(1, 1, 2, 2))(1) for kind in ("Circular", "Reflection", "Replication", "Zero")},
    **{f"{kind}Pad3d": on(normal(1, 1, 2, 2, 2))(1) for kind in ("Circular", "Reflection", "Replication", "Zero")},
    "ConstantPad1d": on(normal(1, 1, 3))((1, 2), 0.7),
    "ConstantPad2d": on(normal(1, 1, 2, 2))(1, 0.7),
    "ConstantPad3d": on(normal(1, 1, 1, 2, 2))(1, 0.7),
    "Upsample": on(normal(1, 1, 3))(scale_factor=2, mode="linear", align_corners=False),
    "UpsamplingBilinear2d": on(normal(1, 1, 2, 2))(scale_factor=2),
    "UpsamplingNearest2d": on(normal(1, 1, 2, 2))(scale_factor=2),
    "CosineSimilarity": on(normal(2, 3), normal(2, 3))(),
    "PairwiseDistance": on(normal(2, 3), normal(2, 3))(),
    # recurrence and attention
    "RNN": on(normal(3, 1, 2))(2, 2),
    "GRU": on(normal(3, 1, 2))(2, 2),
    "LSTM": on(normal(3, 1, 2))(2, 2),
    "RNNCell": on(normal(1, 2), normal(1, 2))(2, 2),
    "GRUCell": on(normal(1, 2), normal(1, 2))(2, 2),
    "LSTMCell": LayerExample((normal(1, 2), normal(1, 2), normal(1, 2)), (2, 2), grouped=True),
    "MultiheadAttention": on(normal(2, 1, 4), normal(3, 1, 4), normal(3, 1, 4))(4, 2),
    "TransformerEncoderLayer": on(normal(2, 1, 4))(4, 2, 3, dropout=0.0),
    "TransformerDecoderLayer": on(normal(2, 1, 4), normal(3, 1, 4))(4, 2, 3, dropout=0.0),
    "TransformerEncoder": built(
        "nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 3, dropout=0.0), 1)",
        lambda nn: nn.TransformerEncoder(_encoder(nn), 1),
        normal(2, 1, 4),
    ),
    "TransformerDecoder": built(
        "nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 3, dropout=0.0), 1)",
        lambda nn: nn.TransformerDecoder(_decoder(nn), 1),
        *(normal(2, 1, 4), normal(3, 1, 4)),
    ),
    "Transformer": on(normal(2, 1, 4), normal(3, 1, 4))(4, 2, 1, 1, 3, 0.0),
    "Sequential": built(
        "nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))",
        lambda nn: nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)),
        normal(2, 3),
    ),
    # losses
    **{name: on(normal(2, 3), fixed(normal(2, 3)))() for name in ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss")},
    "BCELoss": on(PROBABLE, CHOSEN)(),
    "BCEWithLogitsLoss": on(normal(4), CHOSEN)(),
    "CrossEntropyLoss": on(normal(3, 3), classes(3, 3))(weight=WEIGHTS),
    "NLLLoss": on(between(-3, -0.1, 3, 3), classes(3, 3))(weight=WEIGHTS),
    "NLLLoss2d": on(between(-3, -0.1, 1, 3, 1, 2), classes(3, 1, 1, 2))(),
    "LinearCrossEntropyLoss": on(normal(2, 2), classes(3, 2))(2, 3, bias=True),
    "AdaptiveLogSoftmaxWithLoss": on(normal(3, 4), fixed(np.array([0, 2, 4])))(4, 5, [2], div_value=2.0),
    **{name: on(normal(4), signs(4))() for name in ("SoftMarginLoss", "HingeLoss", "SquaredHingeLoss")},
    "HingeEmbeddingLoss": on(positive(4), signs(4))(),
    "MultiMarginLoss": on(normal(2, 3), classes(3, 2))(),
    "MultiLabelMarginLoss": on(normal(2, 3), fixed(np.array([[2, -1, 0], [0, 1, -1]])))(),
    "MultiLabelSoftMarginLoss": on(normal(2, 3), fixed(np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])))(),
    "KLDivLoss": on(between(-3, -0.1, 2, 3), fixed(between(0.1, 0.9, 2, 3)))(reduction="batchmean"),
    "PoissonNLLLoss": on(normal(4), fixed(np.array([0.0, 1.0, 3.0, 2.0])))(),
    "GaussianNLLLoss": on(normal(3), fixed(normal(3)), positive(3))(),
    "MarginRankingLoss": on(normal(4), normal(4), signs(4))(0.5),
    "CosineEmbeddingLoss": on(normal(2, 3), normal(2, 3), fixed(np.array([1.0, -1.0])))(-0.5),
    "TripletMarginLoss": on(normal(2, 3), normal(2, 3), normal(2, 3))(2.0),
    "TripletMarginWithDistanceLoss": on(normal(2, 3), normal(2, 3), normal(2, 3))(margin=2.0),
    "CTCLoss": on(between(-3, -0.3, 4, 1, 3), fixed(np.array([[1, 2]])), fixed(np.array([4])), fixed(np.array([2])))(),
}

_HOLDS = "It holds other {} and is never called: it computes nothing, and there is nothing to differentiate."
_BASE = "It is what {} have in common, and computes nothing by itself; see their pages."

WITHOUT = {
    "ModuleDict": _HOLDS.format("modules"),
    "ModuleList": _HOLDS.format("modules"),
    "ParameterDict": _HOLDS.format("parameters"),
    "ParameterList": _HOLDS.format("parameters"),
    "RNNBase": _BASE.format("`RNN`, `GRU` and `LSTM`"),
    "RNNCellBase": _BASE.format("`RNNCell`, `GRUCell` and `LSTMCell`"),
}
"""Layers that have no example, each with the reason."""

UNLIKE = {"CrossMapLRN2d": "cross_map_lrn2d", "CTCLoss": "ctc_loss"}
"""Layers whose numeric derivative must differ, each with the rule for which the reason is given."""
