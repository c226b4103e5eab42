"""Modules, with the names, arguments and ``state_dict`` keys of ``torch.nn``."""

from manual.nn import functional, init, utils
from manual.nn.activation import *
from manual.nn.container import *
from manual.nn.dropout import *
from manual.nn.linear import *
from manual.nn.loss import *
from manual.nn.module import *

from . import activation, container, dropout, linear, loss, module

__all__ = ["functional", "init", "utils"]
for _part in (activation, container, dropout, linear, loss, module):
    __all__ += _part.__all__
