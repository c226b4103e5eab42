"""The functions of ``torch.nn.functional``, with its names and arguments.

Left out are ``size_average`` and ``reduce``, which torch has deprecated: give what follows them by name.
"""

from manual.nn.functional.activation import *
from manual.nn.functional.convolution import *
from manual.nn.functional.attention import *
from manual.nn.functional.distance import *
from manual.nn.functional.class_losses import *
from manual.nn.functional.dropout import *
from manual.nn.functional.folding import *
from manual.nn.functional.linear import *
from manual.nn.functional.loss import *
from manual.nn.functional.normalization import *
from manual.nn.functional.sparse import *
from manual.nn.functional.pair_losses import *

__all__ = [name for name in globals() if not name.startswith("_")]
