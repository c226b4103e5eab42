"""The functions of ``torch.nn.functional``, with its names and arguments.

Left out are ``size_average`` and ``reduce``, which torch has deprecated: give what follows them by name.
"""

from typing import Any as _Any

from manual.nn.absent import ABSENT_FUNCTIONS as _ABSENT
from manual.nn.functional.activation import *
from manual.nn.functional.attention import *
from manual.nn.functional.class_losses import *
from manual.nn.functional.convolution import *
from manual.nn.functional.convolution_tbc import *
from manual.nn.functional.distance import *
from manual.nn.functional.dropout import *
from manual.nn.functional.folding import *
from manual.nn.functional.gumbel import *
from manual.nn.functional.linear import *
from manual.nn.functional.loss import *
from manual.nn.functional.normalization import *
from manual.nn.functional.padding import *
from manual.nn.functional.pair_losses import *
from manual.nn.functional.pooling import *
from manual.nn.functional.sparse import *
from manual.nn.functional.vision import *

__all__ = [name for name in globals() if not name.startswith("_")]


def __getattr__(name: str) -> _Any:
    """Say why a function of ``torch.nn.functional`` is not here.

    Raises
    ------
    AttributeError
        Always: this is asked only for what the module does not have.
    """
    raise AttributeError(f"module {__name__!r} has no {name!r}" + (f": {_ABSENT[name]}" if name in _ABSENT else ""))
