"""Every op as a rule: a function of arrays that returns its value and a named pullback.

What a rule promises is written in ``manual.rules.core``. The losses are in ``manual.rules.losses``.
"""

from manual.rules.activation import *
from manual.rules.arithmetic import *
from manual.rules.bilinear import *
from manual.rules.attention import *
from manual.rules.comparison import *
from manual.rules.contraction import *
from manual.rules.convolution import *
from manual.rules.dropout import *
from manual.rules.embedding import *
from manual.rules.diagonal import *
from manual.rules.distance import *
from manual.rules.dropout import *
from manual.rules.einsum import *
from manual.rules.exponential import *
from manual.rules.extremum import *
from manual.rules.folding import *
from manual.rules.identity import *
from manual.rules.indexing import *
from manual.rules.joining import *
from manual.rules.layer_normalization import *
from manual.rules.norm import *
from manual.rules.normalization import *
from manual.rules.packing import *
from manual.rules.power import *
from manual.rules.rectifier import *
from manual.rules.recurrent import *
from manual.rules.reduction import *
from manual.rules.response_norm import *
from manual.rules.repeating import *
from manual.rules.scan import *
from manual.rules.scattering import *
from manual.rules.shape import *
from manual.rules.softmax import *
from manual.rules.sorting import *
from manual.rules.special import *
