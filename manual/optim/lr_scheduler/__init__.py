"""Learning-rate schedulers: names, arguments and state keys as ``torch.optim.lr_scheduler`` has them."""

from manual.optim.lr_scheduler.composite import ChainedScheduler, SequentialLR
from manual.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from manual.optim.lr_scheduler.cyclic import CyclicLR
from manual.optim.lr_scheduler.exponential import ExponentialLR
from manual.optim.lr_scheduler.function import LambdaLR, MultiplicativeLR
from manual.optim.lr_scheduler.linear import LinearLR, PolynomialLR
from manual.optim.lr_scheduler.one_cycle import OneCycleLR
from manual.optim.lr_scheduler.plateau import ReduceLROnPlateau
from manual.optim.lr_scheduler.scheduler import LRScheduler
from manual.optim.lr_scheduler.step import ConstantLR, MultiStepLR, StepLR

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
