"""What ``torch.nn`` has and this wing has not, and why.

``tests/manual/nn/test_namespace.py`` walks ``torch.nn`` and ``torch.nn.functional``: what is in neither wing nor table
fails, and so does a name here that exists.
"""

from __future__ import annotations

__all__ = ["ABSENT", "ABSENT_FUNCTIONS"]

ABSENT = {
    "Container": "torch deprecated it long ago: it is Module under another name, and warns when it is constructed",
    "DataParallel": "it spreads a batch over several GPUs; NumPy has one processor, on which it is the module itself",
    "SyncBatchNorm": "it shares statistics between processes, each with a GPU, and torch refuses to train it without; "
    "with one process BatchNorm1d, BatchNorm2d and BatchNorm3d compute the same",
}

_IN_PLACE = "it writes to its input, which no rule here does: assign the value of {} instead"
_KERNEL = "it is a GPU kernel for {}, which NumPy has no dtype or layout for"

ABSENT_FUNCTIONS = {
    **{
        f"{name}_": _IN_PLACE.format(name)
        for name in ("celu", "elu", "hardtanh", "leaky_relu", "relu", "rrelu", "selu", "threshold")
    },
    "assert_int_or_pair": "a helper by which torch checks its own arguments, of no use to a caller",
    "grouped_mm": _KERNEL.format("products of bfloat16 matrices in groups"),
    "native_channel_shuffle": "the undocumented CPU kernel behind channel_shuffle: call channel_shuffle",
    "scaled_grouped_mm": _KERNEL.format("products of scaled float8 matrices in groups"),
    "scaled_mm": _KERNEL.format("products of scaled float8 matrices"),
}
