"""Bringing the singular values of a matrix near one, in bfloat16, by a polynomial of it."""

from __future__ import annotations

import numpy as np

from manual.rules.core import Array

__all__ = ["orthogonalized", "to_bfloat16"]


@np.errstate(divide="ignore", over="ignore", invalid="ignore")
def orthogonalized(matrix: Array, coefficients: tuple[float, float, float], steps: int, eps: float) -> Array:
    """Apply the Newton-Schulz iteration to a matrix scaled to Frobenius norm 1.

    Shapes: ``matrix (m, n)``, value ``(m, n)``, float32 numbers that bfloat16 can hold.

    With ``X`` the scaled matrix, transposed where ``m > n``, each step is

        ``A ← X Xᵀ``,  ``B ← b A + c A A``,  ``X ← a X + B X``

    With the singular values ``X = U S Vᵀ``: ``A = U S² Uᵀ`` and ``X ← U (a S + b S³ + c S⁵) Vᵀ``. Only the singular
    values change, each by the same odd polynomial. Muon's coefficients make it steep at 0 (``a = 3.4``): five steps
    bring all values above 0.01 to between 0.68 and 1.14, and the result near ``U Vᵀ``.

    Convention: torch computes this in bfloat16, which NumPy lacks. Here operands are rounded to bfloat16, each product
    or sum of products is accumulated in float32, and its result rounded to bfloat16, ties to even. Float32 sums depend
    on their order, so a result near the middle of two bfloat16 numbers may fall to the other side: on small matrices
    the two are mostly equal to the bit, on large ones they differ by last bits (``2⁻⁸``) that the following steps
    amplify, by at most the slope of what is left of the polynomial.

    Convention: the norm is at least ``eps``, so that a matrix of zeros stays one; as in torch, both are rounded. What
    is not finite makes the result not a number, without a warning.

    Raises
    ------
    ValueError
        If there are a hundred steps or more, or not three coefficients.
    """
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = (np.float32(coefficient) for coefficient in coefficients)
    x = to_bfloat16(matrix)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    norm = to_bfloat16(np.sqrt(np.square(x).sum(dtype=np.float32)))
    x = to_bfloat16(x / np.maximum(norm, to_bfloat16(eps)))
    for _ in range(steps):
        gram = to_bfloat16(x @ x.T)
        factor = to_bfloat16(b * gram + c * (gram @ gram))
        x = to_bfloat16(a * x + factor @ x)
    return x.T if tall else x


def to_bfloat16(values: Array | float) -> Array:
    """Round to the nearest number of bfloat16, ties to even; the result is float32.

    bfloat16 is the upper half of a float32: sign, eight bits of exponent, seven of mantissa. Adding a little less than
    half of its last bit, and one more where that bit is set, carries into the upper half where it has to be rounded up.

    Convention: float64 is rounded to float32 first, as in torch.
    """
    wide = np.array(values, np.float32)
    bits = wide.view(np.uint32)
    kept = ((bits + (0x7FFF + ((bits >> 16) & 1))) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(wide), wide, kept)
