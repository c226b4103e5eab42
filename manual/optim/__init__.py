"""Optimizers: names, arguments and state keys as ``torch.optim`` has them.

Each optimizer is named state (*slots*) and one method, ``update``, that reads like the printed algorithm.
"""

from manual.optim import lr_scheduler
from manual.optim.adagrad import Adagrad
from manual.optim.adam import Adam
from manual.optim.adamw import AdamW
from manual.optim.lbfgs import LBFGS
from manual.optim.muon import Muon
from manual.optim.optimizer import Optimizer
from manual.optim.rmsprop import RMSprop
from manual.optim.sgd import SGD
from manual.optim.sparse_adam import SparseAdam

__all__ = ["LBFGS", "SGD", "Adagrad", "Adam", "AdamW", "Muon", "Optimizer", "RMSprop", "SparseAdam", "lr_scheduler"]
