"""Random honest experiments: the manual wing against PyTorch, where nothing is wrong and nothing may be claimed to be.

A :class:`compare.fuzz.case.Case` is plain data with a one-line form; :func:`compare.fuzz.generate.case` draws it from a
seed and a number; :mod:`compare.fuzz.build` makes two sides of it; :mod:`compare.fuzz.campaign` runs thousands;
:mod:`compare.fuzz.shrink` makes a failing one small.
"""
