"""Windows that slide along the axes of an array: their sums, their maxima, and where a maximum lies.

Every pooling is made of these. The axes are pooled one after the other (a sum of sums, a maximum of maxima), or all
together where the windows are small; along an axis the loop is over the *taps* of a window, its first element, its
second and so on, never over the windows.
"""

from manual.rules.windows.layout import Windows as Windows
from manual.rules.windows.layout import adaptive as adaptive
from manual.rules.windows.layout import sliding as sliding
from manual.rules.windows.maxima import deposit as deposit
from manual.rules.windows.maxima import maxima as maxima
from manual.rules.windows.means import divisor as divisor
from manual.rules.windows.means import means as means
from manual.rules.windows.means import spread as spread
from manual.rules.windows.means import sums as sums
