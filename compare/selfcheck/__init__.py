"""Self-check: which mistakes would a comparison of this configuration not have seen, and what shows them?

Nothing is looked up in a table. A twin of the reference is made in the manual wing, every known mistake is planted into
it in turn, and the two are walked. A mistake whose wrong code ran and that left everything within the tolerance is not
caught here. Then changes of the configuration are tried until one catches it.
"""

from compare.selfcheck.calls import self_check
from compare.selfcheck.result import Row, SelfCheck

__all__ = ["Row", "SelfCheck", "self_check"]
