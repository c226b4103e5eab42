"""Modules, with the names, arguments and ``state_dict`` keys of ``torch.nn``."""

from manual.nn import functional as functional
from manual.nn import init as init
from manual.nn import utils as utils
from manual.nn.activation import *
from manual.nn.attention import *
from manual.nn.adaptive import *
from manual.nn.container import *
from manual.nn.convolution import *
from manual.nn.distance import *
from manual.nn.dropout import *
from manual.nn.folding import *
from manual.nn.lazy import *
from manual.nn.lazy_convolution import *
from manual.nn.lazy_normalization import *
from manual.nn.linear import *
from manual.nn.linear_cross_entropy import *
from manual.nn.loss import *
from manual.nn.module import *
from manual.nn.normalization import *
from manual.nn.parameter_container import *
from manual.nn.sparse import *
from manual.nn.transformer import *
from manual.nn.pair_losses import *
from manual.nn.recurrent import *
from manual.nn.recurrent_cells import *

__all__ = [name for name in globals() if not name.startswith("_")]
