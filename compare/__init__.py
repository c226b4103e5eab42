"""The hall: walks a hand-written training step and PyTorch's in lockstep, and says where they first part.

Importing this package is cheap; torch is imported when a comparison first needs it.
"""

__version__ = "0.1.0"
