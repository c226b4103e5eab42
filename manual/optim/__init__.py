"""Optimizers: names, arguments and state keys as ``torch.optim`` has them.

Each optimizer is named state (*slots*) and one method, ``update``, that reads like the printed algorithm.
"""

from manual.optim import lr_scheduler, swa_utils
from manual.optim.adadelta import Adadelta
from manual.optim.adafactor import Adafactor
from manual.optim.adagrad import Adagrad
from manual.optim.adam import Adam
from manual.optim.adamax import Adamax
from manual.optim.adamw import AdamW
from manual.optim.asgd import ASGD
from manual.optim.lbfgs import LBFGS
from manual.optim.muon import Muon
from manual.optim.nadam import NAdam
from manual.optim.optimizer import Optimizer
from manual.optim.radam import RAdam
from manual.optim.rmsprop import RMSprop
from manual.optim.rprop import Rprop
from manual.optim.sgd import SGD
from manual.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
]
