"""``gradlock check`` and ``gradlock new``: a user's own pairs, defined in a file; and the options that reach its calls.

:mod:`compare.pytest_plugin` shares the options (:mod:`compare.checking.defaults`) and the records
(:mod:`compare.checking.record`).
"""
