"""The data that ships: what it is, and that nothing else is taken for it."""

from __future__ import annotations

import gzip
import hashlib
import shutil

import numpy as np
import pytest

from compare.experiments import datasets
from compare.experiments.datasets import NAMES, DataError, load, one_hot, split, standardise

SHAPES = {"diabetes": (442, 10), "breast-cancer": (569, 30), "iris": (150, 4), "digits": (1797, 64)}


def rewrite(directory, name, change):
    """Write a changed copy of a data set's text and return its path."""
    text = gzip.decompress((datasets.DIRECTORY / f"{name}.csv.gz").read_bytes()).decode()
    path = directory / f"{name}.csv.gz"
    path.write_bytes(gzip.compress(change(text).encode(), mtime=0))
    return path


def replace_cell(line, column, value):
    """Make a change: cell ``column`` (from 1) of ``line`` (from 1) becomes ``value``."""

    def change(text):
        lines = text.split("\n")
        cells = lines[line - 1].split(",")
        cells[column - 1] = value
        lines[line - 1] = ",".join(cells)
        return "\n".join(lines)

    return change


@pytest.mark.parametrize("name", NAMES)
def test_what_is_loaded(name):
    data = load(name)
    assert data.name == name
    assert data.x.shape == SHAPES[name]
    assert data.x.dtype == np.float64
    assert data.x.flags.c_contiguous
    assert data.y.shape == SHAPES[name][:1]
    assert len(data.feature_names) == SHAPES[name][1]
    assert data.y.dtype == (np.int64 if data.target_names else np.float64)
    if data.target_names:
        assert set(data.y) == set(range(len(data.target_names)))
    assert data.source
    assert data.licence
    assert data.citation
    packed = (datasets.DIRECTORY / f"{name}.csv.gz").read_bytes()
    assert hashlib.sha256(packed).hexdigest() == data.sha256
    assert packed[4:8] == b"\0\0\0\0", "the time in the gzip header makes the file differ from build to build"


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_are_scikit_learns_bit_by_bit(name):
    sources = pytest.importorskip("sklearn.datasets", reason="scikit-learn is the third party")
    bunch = sources.load_diabetes(scaled=False) if name == "diabetes" else None
    bunch = bunch or getattr(sources, "load_" + name.replace("-", "_"))()
    data = load(name)
    np.testing.assert_array_equal(data.x, bunch.data)
    np.testing.assert_array_equal(data.y, bunch.target)
    assert data.feature_names == tuple(bunch.feature_names)
    if data.target_names:
        assert data.target_names == tuple(map(str, bunch.target_names))


def test_another_directory(tmp_path):
    shutil.copy(datasets.DIRECTORY / "iris.csv.gz", tmp_path)
    np.testing.assert_array_equal(load("iris", tmp_path).x, load("iris").x)
    np.testing.assert_array_equal(load("iris", str(tmp_path)).x, load("iris").x)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("irsi", "unknown data set 'irsi'; did you mean 'iris'? (known: diabetes, breast-cancer, iris, digits)"),
        ("breast_cancer", "unknown data set 'breast_cancer'; did you mean 'breast-cancer'?"),
        ("Diabetes", "unknown data set 'Diabetes'; did you mean 'diabetes'?"),
        ("titanic", "unknown data set 'titanic'; see the known names (known: diabetes"),
    ],
)
def test_unknown_name(name, message):
    with pytest.raises(DataError) as caught:
        load(name)
    assert str(caught.value).startswith(message)


CHANGES = {
    "word": (replace_cell(3, 2, "wide"), "line 3, column 2 (sepal width (cm)): 'wide' is not a number"),
    "empty cell": (replace_cell(151, 1, ""), "line 151, column 1 (sepal length (cm)): '' is not a number"),
    "nan": (replace_cell(9, 4, "nan"), "line 9, column 4 (petal width (cm)): 'nan' is not a finite number"),
    "infinity": (replace_cell(9, 4, "-inf"), "line 9, column 4 (petal width (cm)): '-inf' is not a finite number"),
    "overflow": (replace_cell(2, 1, "1e999"), "line 2, column 1 (sepal length (cm)): '1e999' is not a finite number"),
    "label too large": (replace_cell(4, 5, "3"), "line 4, column 5 (target): 3 is not a label from 0 to 2"),
    "label negative": (replace_cell(4, 5, "-1"), "line 4, column 5 (target): -1 is not a label from 0 to 2"),
    "label enormous": (replace_cell(4, 5, "1e300"), "line 4, column 5 (target): 1e+300 is not a label from 0 to 2"),
    "label not whole": (replace_cell(4, 5, "0.5"), "line 4, column 5 (target): 0.5 is not a label from 0 to 2"),
    "a column too many": (replace_cell(7, 5, "0,0"), "line 7: 6 columns, but the header has 5"),
    "a column too few": (lambda text: text.replace("4.9,3,", "4.9,", 1), "line 3: 4 columns, but the header has 5"),
    "blank line": (lambda text: text.replace("\n4.9,3,", "\n\n4.9,3,", 1), "line 3: 1 column, but the header has 5"),
    "header": (replace_cell(1, 5, "a,b"), "line 1: 6 columns, but 4 features and a target are expected"),
    "a row too few": (lambda text: text[: text[:-1].rindex("\n") + 1], "149 rows of data, but 150 are expected"),
    "a row too many": (lambda text: text + "1,2,3,4,0\n", "151 rows of data, but 150 are expected"),
    "no rows": (lambda text: text.split("\n")[0], "0 rows of data, but 150 are expected"),
    "nothing": (lambda text: "", "line 1: empty, but a header is expected"),
    "foreign letters": (lambda text: "é" + text, "byte 0 of the unpacked data is no ASCII character"),
    "another number": (replace_cell(2, 1, "5.2"), "not 9deeb11498d1...: the file can be read but is not the one that"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_changed_contents_are_found_and_placed(change, message, tmp_path):
    path = rewrite(tmp_path, "iris", change)
    with pytest.raises(DataError) as caught:
        load("iris", tmp_path)
    text = str(caught.value)
    assert message in text
    assert text.startswith(str(path))
    assert text.endswith("; install the package again to get it back")
    assert "\n" not in text


FILES = {
    "truncated": (lambda packed: packed[:300], "truncated, the compressed data end too early"),
    "damaged inside": (lambda packed: packed[:100] + b"\xff" * 50 + packed[150:], "damaged, the compressed data"),
    "damaged checksum": (lambda packed: packed[:-8] + b"\0" * 8, "damaged, the compressed data cannot be unpacked"),
    "plain text": (lambda packed: gzip.decompress(packed), "not a gzip file (it starts with 7365)"),
    "empty": (lambda packed: b"", "not a gzip file (it starts with nothing)"),
}


@pytest.mark.parametrize(("change", "message"), FILES.values(), ids=FILES)
def test_broken_files(change, message, tmp_path):
    path = tmp_path / "iris.csv.gz"
    path.write_bytes(change((datasets.DIRECTORY / "iris.csv.gz").read_bytes()))
    with pytest.raises(DataError) as caught:
        load("iris", tmp_path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"iris\.csv\.gz: there is no such file; .*name the directory that has it"):
        load("iris", tmp_path)


def test_unreadable_file(tmp_path):
    (tmp_path / "iris.csv.gz").mkdir()
    with pytest.raises(DataError, match=r"iris\.csv\.gz: cannot be read \(.+\); check its permissions"):
        load("iris", tmp_path)


def test_standardise_with_the_training_rows():
    train, test = split(load("digits"))
    mean, std = train.x.mean(0), train.x.std(0)
    assert (std == 0).any(), "the digits have pixels that never vary: without one, this tests nothing"
    x = standardise(train.x, mean, std)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(x.std(0)[std > 0], 1)
    assert (x.std(0)[std == 0] == 0).all()
    shifted = standardise(test.x, mean, std)
    np.testing.assert_allclose(shifted[:, 20], (test.x[:, 20] - mean[20]) / std[20])


def test_split_parts_the_rows():
    data = load("diabetes")
    train, test = split(data, held_out=0.2, seed=3)
    assert (len(train.x), len(test.x)) == (354, 88)
    assert (len(train.y), len(test.y)) == (354, 88)
    rows = {(*row, target): None for row, target in zip(data.x, data.y, strict=True)}
    parted = [(*row, target) for part in (train, test) for row, target in zip(part.x, part.y, strict=True)]
    assert len(rows) == len(set(parted)) == 442
    assert set(parted) == set(rows)
    assert train.feature_names == data.feature_names


def test_split_is_the_same_everywhere():
    """The targets of the first rows held out, printed once: every figure that rests on a split rests on them."""
    data = load("diabetes")
    _, test = split(data)
    assert test.y[:6].tolist() == [75.0, 141.0, 206.0, 69.0, 185.0, 171.0]
    np.testing.assert_array_equal(split(data)[1].x, test.x)
    assert not np.array_equal(split(data, seed=1)[1].x, test.x)


@pytest.mark.parametrize("held_out", [0, 1, -0.5, 2, 1e-9, float("nan")])
def test_split_leaves_no_part_empty(held_out):
    with pytest.raises(DataError, match=r"leaves one part empty; take a share such as 0\.25"):
        split(load("iris"), held_out)


def test_one_hot():
    np.testing.assert_array_equal(one_hot(np.array([2, 0]), 3), [[0, 0, 1], [1, 0, 0]])
    assert one_hot(np.array([1]), 2, np.float32).dtype == np.float32
    assert one_hot(np.array([], int), 2).shape == (0, 2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3], "label 3 is not one of the 3 classes 0 to 2"),
        ([0, -1], "label -1 is not one of the 3 classes 0 to 2"),
        ([0.0, 1.0], r"labels have dtype float64 and shape \(2,\); one_hot takes integers"),
        ([[0], [1]], r"labels have dtype int64 and shape \(2, 1\); one_hot takes integers"),
    ],
)
def test_one_hot_refuses(labels, message):
    with pytest.raises(DataError, match=message):
        one_hot(np.array(labels), 3)
