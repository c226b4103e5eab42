"""``gradlock check`` and ``gradlock new``, end to end: files good and bad, options, reports, exit codes."""

import json
import sys

import jsonschema
import pytest
from click.testing import CliRunner

from compare import cli
from compare.checking.starting import KINDS
from compare.report.json import schema

HEADER = """import compare
import numpy as np
import torch

X = np.random.default_rng(0).standard_normal((6, 3))


def square(x):
    return (x**2).sum()


def right(x):
    return square(x), {"x": 2 * x}


def wrong(x):
    return square(x), {"x": 3 * x}


def sgd(parameter, gradient, slots, step):
    parameter -= 0.1 * gradient


"""
LINE = HEADER.count("\n") + 1  # the first line of what follows


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def gradlock(*arguments):
    """Run the program; returns exit code, standard output, standard error."""
    runner = CliRunner()
    with runner.isolation() as (out, err, _):
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        return ended.value.code or 0, out.getvalue().decode(), err.getvalue().decode()


def check(folder, source, *options, header=HEADER):
    (folder / "pairs.py").write_text(header + source, encoding="utf-8")
    return gradlock("check", "pairs.py", *options)


def rows(out):
    """The summary table: name to outcome."""
    table = out.split("\n\n")[0].splitlines()[2:]
    start = out.splitlines()[0].index("outcome")
    return {line.split()[0]: line[start:].split()[0] for line in table}


GOOD = """def check_right():
    return compare.gradients(right, square, {"x": X})


def check_optimizer():
    return compare.optimizer(sgd, torch.optim.SGD, options={"lr": 0.1}, dtype="float32")
"""

MIXED = """def check_wrong():
    return compare.gradients(wrong, square, {"x": X})


def check_raises():
    return helper()


def helper():
    return {}["a key"]


def check_several():
    yield compare.gradients(right, square, {"x": X})
    yield compare.gradients(right, square, {"x": X[:2]})
    raise ValueError("after two")


def check_named():
    return {n: compare.gradients(right, square, {"x": X[:n]}) for n in (1, 3)}


def check_silent():
    return compare.gradients(lambda x: (square(x), {}), square, {"x": X})


def check_refused():
    return compare.gradients(right, square, [X])


def check_asserts():
    compare.gradients(wrong, square, {"x": X}).assert_equivalent()


def check_forgets():
    compare.gradients(right, square, {"x": X})


def check_number():
    return 3


def check_list():
    return []


def check_generator():
    yield from ()


def check_mixture():
    return [compare.gradients(right, square, {"x": X}), None]


def check_leaves():
    raise SystemExit(0)


async def check_waits():
    pass
"""


def test_one_row_a_pair_and_exit_code_0(folder):
    code, out, err = check(folder, GOOD)
    assert (code, err) == (0, "")
    assert rows(out) == {"check_right": "equivalent", "check_optimizer": "equivalent"}
    assert "gradients of right against square" in out
    assert out.endswith("\n\n2 equivalent. Exit code 0.\n")
    assert check(folder, GOOD, "--quiet")[:2] == (0, "")


def test_what_goes_wrong_is_the_outcome_of_that_check_and_the_others_go_on(folder):
    code, out, err = check(folder, MIXED, "--json", "r.json", "--junit", "r.xml", "--annotations", "github")
    assert (code, err) == (4, "")
    assert rows(out) == {
        "check_wrong": "diverged",
        "check_raises": "error",
        "check_several[1]": "equivalent",
        "check_several[2]": "equivalent",
        "check_several[3]": "error",
        "check_named[1]": "equivalent",
        "check_named[3]": "equivalent",
        "check_silent": "abstained",
        "check_refused": "error",
        "check_asserts": "diverged",
        "check_forgets": "error",
        "check_number": "error",
        "check_list": "error",
        "check_generator": "error",
        "check_mixture[1]": "equivalent",
        "check_mixture[2]": "error",
        "check_leaves": "error",
        "check_waits": "error",
    }
    for said in (
        f"check_wrong (pairs.py line {HEADER.count(chr(10), 0, HEADER.index('def wrong')) + 1}): diverged\n"
        "  gradients of wrong against square\n  the sides part at step 1, micro-batch 1, accumulated, x; culprit wrong\n",
        "  cause      constant factor",
        f"  check_raises raised KeyError: 'a key' (in helper, pairs.py line {LINE + 9})\n",
        f"  check_several raised ValueError: after two (in check_several, pairs.py line {LINE + 15})\n",
        "  check_refused raised InputError: inputs is a list of 1; it must be a dict of name to NumPy array",
        "  check_forgets compares, but returns nothing; write `return compare. ...` (or `yield`, for several)\n",
        "  check_number returned an int, no report; return what compare.gradients or another call of compare returns\n",
        "  check_list returned an empty list, no report; ",
        "  check_generator yielded no report\n",
        "  check_mixture returned None among others, no report; ",
        "  check_leaves raised SystemExit: 0 (in check_leaves, pairs.py line",
        "  check_waits returned a coroutine, no report; ",
    ):
        assert said in out, said
    record = json.loads((folder / "r.json").read_text())
    jsonschema.validate(record, schema(), cls=jsonschema.Draft202012Validator)
    assert record["experiments"][1]["source"] == {"file": "pairs.py", "line": LINE + 4}
    assert 'errors="10"' in (folder / "r.xml").read_text()
    assert out.count("::error file=pairs.py,line=") == 13
    assert "Exit code 4.\n::error " in out


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("check_w*", ["check_wrong"]), ("wrong", ["check_wrong"]), ("*right", ["check_right"]), ("*", 2)],
)
def test_match(folder, pattern, names):
    source = GOOD.split("\n\n\n")[0] + "\n\n\n" + MIXED.split("\n\n\n")[0]
    found = list(rows(check(folder, source, "--match", pattern, "--tolerance", "fixed")[1]))
    assert found == names if isinstance(names, list) else len(found) == names


def test_fail_fast_and_quiet(folder):
    code, out, _ = check(folder, GOOD + "\n\n" + MIXED, "--fail-fast", "--quiet")
    assert code == 1
    assert rows(out) == {"check_wrong": "diverged"}
    assert "not run, because of --fail-fast: check_raises, check_several, check_named" in out
    assert out.endswith("2 equivalent, 1 diverged. Exit code 1.\n")


def test_debug_shows_where_a_check_raised(folder):
    _, out, err = check(folder, MIXED, "--match", "raises", "--debug")
    assert "Traceback" in err
    assert 'return {}["a key"]' in err
    assert "Traceback" not in out


def test_what_a_file_prints_goes_beside_a_report(folder):
    code, out, err = check(
        folder,
        "print('loading', flush=True)\n" + GOOD.replace("    return", "    print('hi', flush=True)\n    return"),
        "--json",
        "-",
    )
    assert code == 0
    assert json.loads(out)["outcome"] == "equivalent"
    assert err == "loading\nhi\nhi\n"


def test_random_numbers_are_the_same_in_every_run(folder):
    source = """def check_random():
    return compare.gradients(right, square, {"x": torch.rand(3).double().numpy() + np.random.rand(3)})


def check_again():
    return compare.gradients(wrong, square, {"x": torch.rand(3).double().numpy() + np.random.rand(3)})
"""
    assert check(folder, source)[1] == check(folder, source)[1]
    assert check(folder, source)[1] != check(folder, source, "--seed", "5")[1]


# -- options that the calls fall back to -------------------------------------------------------------------------------

ADJUSTED = """def check_gradients():
    return compare.gradients(right, square, {"x": X, "n": 3}) if False else compare.gradients(right, square, {"x": X})


def check_module():
    return compare.module(torch.nn.Linear(3, 2), torch.nn.Linear(3, 2).double(), X)


def check_optimizer():
    return compare.optimizer(sgd, torch.optim.SGD, options={"lr": 0.1})


def check_own():
    return compare.optimizer(sgd, torch.optim.SGD, options={"lr": 0.1}, dtype="float64", steps=4, seed=7, tolerance="measured")
"""


def test_options_reach_every_call_that_leaves_them_open(folder):
    given = ("--dtype", "float32", "--steps", "3", "--tolerance", "fixed", "--seed", "9")
    code, _, err = check(folder, ADJUSTED, *given, "--json", "r.json")
    assert (code, err) == (0, "")
    record = json.loads((folder / "r.json").read_text())
    gradients, module, optimizer, own = (one["scenarios"][0] for one in record["experiments"])
    assert [one["dtype"] for one in (gradients, module, optimizer, own)] == ["float32"] * 3 + ["float64"]
    assert [one["tolerance"] for one in (gradients, module, optimizer, own)] == ["fixed"] * 3 + ["measured"]
    assert (optimizer["steps"], own["steps"]) == (3, 4)
    assert "--dtype float32: the floating inputs are cast" in gradients["coverage"]["notes"]
    assert "--dtype float32: the module and its floating inputs are cast" in module["coverage"]["notes"]
    assert [note for note in own["coverage"]["notes"] if note.startswith("--")] == [
        f"--{name} does not reach this call, which gives its own {name.split()[0]}"
        for name in ("dtype float32", "steps 3", "tolerance fixed", "seed 9")
    ]
    assert (record["setting"]["dtype"], record["setting"]["steps"]) == ("float32", 3)
    assert record["environment"]["seed"] == 9


TRAINING = '''import compare
import numpy as np
import torch
import torch_ref


''' + KINDS["training"].replace("# plant", "# do not plant").replace("draw(", "np.random.default_rng(0).standard_normal(")  # fmt: skip


def test_training_takes_the_batches_in_turn_and_is_told_that_its_dtype_is_its_own(folder):
    options = ("--steps", "5", "--dtype", "float32", "--json", "-")
    code, out, err = check(folder, TRAINING, *options, header="")
    assert code == 2  # the dtype
    assert err == "gradlock: --dtype had no effect: no call in pairs.py leaves it open; leave it out\n"
    (one,) = json.loads(out)["experiments"]
    assert one["outcome"] == "equivalent"
    assert one["scenarios"][0]["steps"] == 5
    assert "--steps 5: the batches are taken in turn" in one["coverage"]["notes"]
    assert (
        "--dtype float32 does not reach training, whose dtypes are those of what it is given"
        in one["coverage"]["notes"]
    )


def test_an_option_without_effect_is_refused_not_passed_over(folder):
    code, out, err = check(folder, GOOD, "--match", "right", "--steps", "3")
    assert (code, err) == (2, "gradlock: --steps had no effect: no call in pairs.py leaves it open; leave it out\n")
    assert "1 equivalent. Exit code 0." in out


# -- files that cannot be read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\ndef check_x(:\n", "pairs.py line 2: SyntaxError: invalid syntax: def check_x(:"),
        ("def check_x():\nreturn 1\n", "pairs.py line 2: IndentationError: expected an indented block after function definition on line 1: return 1"),
        ("", "pairs.py defines no check: a function whose name begins with check_, such as def check_ridge(): return"),
        ("def test_ridge(): pass\n", "pairs.py defines no check: a function whose name begins with check_; call test_ridge check_ridge instead"),
        ("from compare.batches import check_batches\n", "pairs.py defines no check: "),
        ("def check_x(a, b=1, *c): pass\n", "pairs.py: check_x takes arguments (a), and a check takes none; give them defaults, or"),
        ("import nowhere\n", "pairs.py line 1: ModuleNotFoundError: No module named 'nowhere'; install it beside gradlock ("),
        ("import numpy as np\nnp.nothing\n", "pairs.py line 2: AttributeError: module 'numpy' has no attribute 'nothing'"),
        ("def f():\n    return 1 / 0\n\nf()\n", "pairs.py line 2: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)\n", "pairs.py line 2: the file ends the program when it is imported; put that under if"),
        ("import broken_helper\n", "pairs.py cannot be imported: broken_helper.py line 1: SyntaxError: '(' was never closed: x = ("),
        ("from manual import mine\n", "pairs.py line 1: ImportError: cannot import name 'mine' from 'manual'"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_one_clear_line_and_exit_code_2(folder, source, message):
    (folder / "broken_helper.py").write_text("x = (\n")
    (folder / "manual.py").write_text("mine = 1\n")
    code, out, err = check(folder, source, header="")
    assert (code, out) == (2, "")
    assert err.startswith(f"gradlock: {message}")
    assert len(err.splitlines()) == 1
    if "manual" in source:
        assert err.endswith("; manual is a package of gradlock's own: give your manual another name\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.py"], "there is no file no.py; `gradlock new no` writes one to start from"),
        (["pair.py"], "there is no file pair.py; did you mean pairs.py?"),
        (["pairs"], "there is no file pairs; did you mean pairs.py?"),
        (["no/such.py"], "there is no file no/such.py: the folder no does not exist"),
        (["."], ". is a folder; name a file of Python in it"),
        (["notes.txt"], "notes.txt is no file of Python: its name does not end in .py"),
        (["book.ipynb"], "book.ipynb is a notebook, no file of Python; save it as one (jupyter nbconvert --to script)"),
        (["no.py", "--watch"], "there is no file no.py; `gradlock new no` writes one to start from"),
        (["pairs.py", "--watch", "--json", "-"], "--watch runs again and again; give its reports a file, not standard output"),
        (["pairs.py", "--json", "-", "--annotations", "github"], "--annotations print on standard output, and so does --json -; give the report a file"),
        (["pairs.py", "--match", "left"], "no check matches 'left'; there are check_right"),
        (["pairs.py", "--junit", "."], "cannot write .: it is a folder; name a file"),
        (["pairs.py", "--tolerance", "loose"], "Invalid value for '--tolerance': 'loose' is not one of 'measured', 'fixed'."),
        ([], "Missing argument 'FILE.py'."),
    ],
)  # fmt: skip
def test_wrong_use_is_one_clear_line_and_exit_code_2(folder, arguments, message):
    (folder / "pairs.py").write_text("def check_right(): pass\n")
    (folder / "notes.txt").write_text("")
    (folder / "book.ipynb").write_text("{}")
    code, out, err = gradlock("check", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"gradlock: {message}")
    assert len(err.splitlines()) == 1


def test_bytes_that_are_no_text(folder):
    for data, said in ((b"x = '\0'\n", "null bytes"), (b"x = '\xff'\n", "'utf-8' codec can't decode byte 0xff")):
        (folder / "pairs.py").write_bytes(data)
        code, out, err = gradlock("check", "pairs.py")
        assert (code, out) == (2, "")
        assert err.startswith("gradlock: pairs.py")
        assert said in err
    code, _, err = gradlock("check", "x" * 300)
    assert (code, err) == (2, f"gradlock: cannot read {'x' * 300}: File name too long\n")


def test_a_report_in_the_place_of_a_check(folder):
    code, _, err = check(folder, 'check_it = compare.gradients(right, square, {"x": X})\n')
    assert (code, err) == (
        2,
        "gradlock: pairs.py: check_it is a report; make it a function: def check_it(): return ...\n",
    )


def test_a_file_of_another_folder_imports_from_there(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "beside.py").write_text(HEADER)
    (folder / "sub" / "pairs.py").write_text("from beside import *\n\n" + GOOD.split("\n\n\n")[0])
    code, out, err = gradlock("check", "sub/pairs.py")
    assert (code, err) == (0, "")
    assert rows(out) == {"check_right": "equivalent"}


# -- gradlock new ------------------------------------------------------------------------------------------------------


def test_a_new_file_runs_as_it_is_and_each_planted_error_is_found(folder):
    code, out, _ = gradlock("new", "mine")
    assert code == 0
    assert out.startswith("Wrote mine.py. Run it: gradlock check mine.py\n")
    code, out, _ = gradlock("check", "mine.py")
    assert (code, rows(out)) == (0, {f"check_{kind}": "equivalent" for kind in KINDS})
    text = (folder / "mine.py").read_text()
    assert max(map(len, text.splitlines())) <= 88
    for before, after in (
        (" + 0.2 * w}", "}"),
        ("incoming.sum(0)", "incoming.mean(0)"),
        ("= v / (1 - betas[1] ** step)", "= v"),
        ("+ weight * gradient", "+ 1 / 3 * gradient"),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    (folder / "mine.py").write_text(text)
    code, out, _ = gradlock("check", "mine.py")
    assert (code, rows(out)) == (1, {f"check_{kind}": "diverged" for kind in KINDS})
    for cause in ("missing penalty", "mean instead of sum", "bias correction missing", "mean of means"):
        assert f"  cause      {cause}: " in out


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_file_of_one_kind_has_that_kind_only(folder, kind):
    gradlock("new", "one.py", "--kind", kind)
    text = (folder / "one.py").read_text()
    code = compile(text, "one.py", "exec")
    assert [name for name in code.co_names if name.startswith("check_")] == [f"check_{kind}"]
    assert ("import torch_ref" in text) == (kind == "training")
    assert ("import torch\n" in text) == (kind != "gradients")
    names = {}
    exec(code, names)
    assert names[f"check_{kind}"]().outcome == "equivalent"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("taken", "taken.py is there already, and is left as it is; choose another name, or remove it first"),
        ("taken.py", "taken.py is there already"),
        ("", "'' is no name for a file of Python; letters, digits and _ do, such as my_layer"),
        ("a b", "'a b' is no name for a file of Python"),
        ("3d", "'3d' is no name for a file of Python"),
        ("..", "'..' is no name for a file of Python"),
        ("a\nb", "'a\\nb' is no name for a file of Python"),
        ("x/", "'x/' is no name for a file of Python"),
        ("no/such", "cannot write no/such.py: the folder no does not exist; make it first"),
        ("random", "a file random.py would hide the module random from every file beside it; try my_random"),
        ("torch", "a file torch.py would hide the module torch from every file beside it; try my_torch"),
        ("class", "'class' is a word of Python's own, which no file can be imported by; try my_class"),
        ("x" * 300, "cannot write " + "x" * 300 + ": File name too long; try another place"),
    ],
)
def test_new_refuses(folder, name, message):
    (folder / "taken.py").write_text("mine")
    code, out, err = gradlock("new", "--", name)
    assert (code, out) == (2, "")
    assert err.startswith(f"gradlock: {message}")
    assert len(err.splitlines()) == 1
    assert [path.name for path in folder.iterdir()] == ["taken.py"]
    assert (folder / "taken.py").read_text() == "mine"
