"""Learning-rate schedulers: names, arguments and state keys as ``torch.optim.lr_scheduler`` has them."""

from manual.optim.lr_scheduler.cosine import CosineAnnealingLR
from manual.optim.lr_scheduler.exponential import ExponentialLR
from manual.optim.lr_scheduler.function import LambdaLR
from manual.optim.lr_scheduler.linear import LinearLR
from manual.optim.lr_scheduler.scheduler import LRScheduler
from manual.optim.lr_scheduler.step import MultiStepLR, StepLR

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "StepLR",
]
