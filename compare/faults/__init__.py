"""Known mistakes, each planted into the manual wing by really computing it wrongly, and honest rewrites beside them.

``faults.json`` lists them without any import; :mod:`compare.faults.catalogue` holds what can be run.
"""
