"""The data that ships, and what a loaded file is held to.

Four public sets, unscaled, each a gzipped CSV file with a header; the last column is the target. The numbers are those
that ``scikit-learn`` hands out (a test compares every one), written so that each float64 is read back bit by bit.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["NAMES", "DataError", "Dataset", "load", "one_hot", "split", "standardise"]

Array = NDArray[Any]
DIRECTORY = Path(__file__).with_name("data")


class DataError(ValueError):
    """Data that cannot be used: one line that says what is wrong, where, and what to try."""


@dataclass(frozen=True)
class Dataset:
    """A table of numbers, and where it comes from.

    Attributes
    ----------
    name : str
    x : array (m, n) of float64, unscaled
    y : array (m,); float64 for a regression, int64 labels from 0 for a classification
    feature_names : tuple of n names
    target_names : tuple of the classes' names; empty for a regression
    source, licence, citation : str
    sha256 : str
        Checksum of the compressed file.
    """

    name: str
    x: Array
    y: Array
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    source: str
    licence: str
    sha256: str
    citation: str


@dataclass(frozen=True)
class _Known:
    rows: int
    features: int
    target_names: tuple[str, ...]
    source: str
    licence: str
    sha256: str
    citation: str


_CC_BY = "CC BY 4.0"

_KNOWN = {
    "diabetes": _Known(
        442,
        10,
        (),
        "the authors' data, https://www4.stat.ncsu.edu/~boos/var.select/diabetes.html; values before standardising",
        "none stated by the authors; distributed with scikit-learn under the 3-clause BSD licence",
        "67e9b955abce2318ad3dcef0c67a445fbefece8fef0f1f74db956b5652a812d8",
        "B. Efron, T. Hastie, I. Johnstone, R. Tibshirani (2004). Least Angle Regression. "
        "Annals of Statistics 32 (2), 407-499.",
    ),
    "breast-cancer": _Known(
        569,
        30,
        ("malignant", "benign"),
        "UCI Machine Learning Repository, Breast Cancer Wisconsin (Diagnostic), https://doi.org/10.24432/C5DW2B; "
        "identifiers left out, malignant is 0 and benign 1",
        _CC_BY,
        "1f7b7ed55144554820c996bbb7d55893f1c3f1d61d0d097c17f75fef371b03df",
        "W. Wolberg, O. Mangasarian, N. Street, W. Street (1993). Breast Cancer Wisconsin (Diagnostic).",
    ),
    "iris": _Known(
        150,
        4,
        ("setosa", "versicolor", "virginica"),
        "UCI Machine Learning Repository, Iris, https://doi.org/10.24432/C56C76; "
        "with two rows corrected to what Fisher printed",
        _CC_BY,
        "9deeb11498d1f1c436fbd4fccd57c9d709a6532a02f5ac9105a759a8c7b04cb8",
        "R. A. Fisher (1936). The use of multiple measurements in taxonomic problems. "
        "Annals of Eugenics 7 (2), 179-188.",
    ),
    "digits": _Known(
        1797,
        64,
        tuple("0123456789"),
        "UCI Machine Learning Repository, Optical Recognition of Handwritten Digits (its test part), "
        "https://doi.org/10.24432/C50P49",
        _CC_BY,
        "b6ce6e38dc5438f106778c12b17f0d53813b688da30c388275f202398676741e",
        "E. Alpaydin, C. Kaynak (1998). Optical Recognition of Handwritten Digits.",
    ),
}

NAMES = tuple(_KNOWN)


def load(name: str, directory: str | Path | None = None) -> Dataset:
    """Read and validate one of the data sets that ship.

    Parameters
    ----------
    name : str
        One of ``NAMES``.
    directory : path, optional
        Where ``NAME.csv.gz`` lies, if not in the package.

    Raises
    ------
    DataError
        If the name is unknown; if the file is missing, unreadable, not gzip, truncated or damaged; if it has another
        number of rows or columns than this set, a cell that is no finite number, or a label that is no class; or if its
        checksum is not the known one. The contents are looked at before the checksum, because they can say *where* it
        is wrong.
    """
    if name not in _KNOWN:
        near = get_close_matches(name.lower().replace("_", "-"), NAMES, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else "see the known names"
        raise DataError(f"unknown data set {name!r}; {hint} (known: {', '.join(NAMES)})")
    known = _KNOWN[name]
    path = Path(DIRECTORY if directory is None else directory) / f"{name}.csv.gz"
    packed = _read(path)
    header, table = _parse(_unpack(packed, path), known, path)
    x, y = np.ascontiguousarray(table[:, :-1]), table[:, -1].copy()
    if known.target_names:
        y = _labels(y, len(known.target_names), header, path)
    checksum = hashlib.sha256(packed).hexdigest()
    if checksum != known.sha256:
        raise DataError(
            f"{path}: the checksum is {checksum[:12]}..., not {known.sha256[:12]}...: "
            f"the file can be read but is not the one that shipped; {_RESTORE}"
        )
    return Dataset(
        name,
        x,
        y,
        tuple(header[:-1]),
        known.target_names,
        known.source,
        known.licence,
        checksum,
        known.citation,
    )


def standardise(x: Array, mean: Array, std: Array) -> Array:
    """Shift and scale columns: ``(x - mean) / std``, where a column that never varies (``std = 0``) is only shifted.

    Take mean and std from the rows that are trained on, ``x.mean(0)`` and ``x.std(0)``, for the held-out rows too:
    their own would let them leak into the model's view of them.
    """
    return (x - mean) / np.where(std == 0, 1, std)


def split(dataset: Dataset, held_out: float = 0.25, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Part the rows at random into two sets: to train on, and held out.

    The same rows on every machine and with every NumPy: they are ordered by the raw output of PCG64, whose stream is
    guaranteed never to change (that of ``Generator.permutation`` is not).

    Parameters
    ----------
    held_out : float
        The share that is held out, rounded to whole rows.

    Raises
    ------
    DataError
        If either part would be empty.
    """
    rows = len(dataset.x)
    held = round(held_out * rows) if 0 < held_out < 1 else 0
    if not 0 < held < rows:
        raise DataError(
            f"{dataset.name}: held_out={held_out} of {rows} rows leaves one part empty; take a share such as 0.25"
        )
    order = np.argsort(np.random.PCG64(seed).random_raw(rows), kind="stable")
    parts = (np.sort(order[held:]), np.sort(order[:held]))
    train, test = (replace(dataset, x=dataset.x[rows], y=dataset.y[rows]) for rows in parts)
    return train, test


def one_hot(labels: Array, classes: int, dtype: DTypeLike = np.float64) -> Array:
    """Rows (m, classes) with a one in the label's column and zeros elsewhere.

    Raises
    ------
    DataError
        If a label is not an integer from 0 to ``classes - 1``.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(f"labels have dtype {labels.dtype} and shape {labels.shape}; one_hot takes integers (m,)")
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise DataError(f"label {wrong} is not one of the {classes} classes 0 to {classes - 1}")
    return np.eye(classes, dtype=dtype)[labels]


# -- reading -----------------------------------------------------------------------------------------------------------

_RESTORE = "install the package again to get it back"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; {_RESTORE}, or name the directory that has it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions, or {_RESTORE}") from None


def _unpack(packed: bytes, path: Path) -> list[str]:
    """Decompress a file into its lines."""
    if packed[:2] != b"\x1f\x8b":
        raise DataError(f"{path}: not a gzip file (it starts with {packed[:2].hex() or 'nothing'}); {_RESTORE}")
    try:
        text = gzip.decompress(packed).decode("ascii")
    except EOFError:
        raise DataError(f"{path}: truncated, the compressed data end too early; {_RESTORE}") from None
    except (OSError, zlib.error):
        raise DataError(f"{path}: damaged, the compressed data cannot be unpacked; {_RESTORE}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} of the unpacked data is no ASCII character; {_RESTORE}") from None
    return text.splitlines()


def _parse(lines: list[str], known: _Known, path: Path) -> tuple[list[str], Array]:
    """Read header and numbers, and find the first place that is wrong."""
    if not lines:
        raise DataError(f"{path}, line 1: empty, but a header is expected; {_RESTORE}")
    header = lines[0].split(",")
    if len(header) != known.features + 1:
        raise DataError(
            f"{path}, line 1: {_count(len(header), 'column')}, but {known.features} features and a target "
            f"are expected; {_RESTORE}"
        )
    rows = [line.split(",") for line in lines[1:]]
    for number, cells in enumerate(rows, 2):
        if len(cells) != len(header):
            raise DataError(
                f"{path}, line {number}: {_count(len(cells), 'column')}, but the header has {len(header)}; {_RESTORE}"
            )
    try:
        table = np.array(rows, dtype=np.float64) if rows else np.empty((0, len(header)))
    except ValueError:
        table = None
    if table is None or not np.isfinite(table).all():
        raise _first_bad_cell(rows, header, path)
    if len(table) != known.rows:
        raise DataError(f"{path}: {_count(len(table), 'row')} of data, but {known.rows} are expected; {_RESTORE}")
    return header, table


def _first_bad_cell(rows: list[list[str]], header: list[str], path: Path) -> DataError:
    for number, cells in enumerate(rows, 2):
        for column, cell in enumerate(cells):
            try:
                trouble = None if isfinite(float(cell)) else "not a finite number"
            except ValueError:
                trouble = "not a number"
            if trouble:
                return DataError(f"{_place(path, number, column, header)}: {cell!r} is {trouble}; {_RESTORE}")
    return DataError(f"{path}: not a table of finite numbers; {_RESTORE}")


def _labels(y: Array, classes: int, header: list[str], path: Path) -> Array:
    wrong = np.flatnonzero((y != np.floor(y)) | (y < 0) | (y >= classes))
    if wrong.size:
        place = _place(path, int(wrong[0]) + 2, len(header) - 1, header)
        raise DataError(f"{place}: {y[wrong[0]]:g} is not a label from 0 to {classes - 1}; {_RESTORE}")
    return y.astype(np.int64)


def _place(path: Path, line: int, column: int, header: list[str]) -> str:
    return f"{path}, line {line}, column {column + 1} ({header[column]})"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
