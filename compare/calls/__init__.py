"""The calls that compare a user's own code with PyTorch; :mod:`compare` hands them out.

Each makes two sides of what it is given and walks them in lockstep. A function that breaks its contract is told so in
one line (:class:`compare.calls.arrays.ContractError`), and what it raises is an outcome, never a crash.
"""
