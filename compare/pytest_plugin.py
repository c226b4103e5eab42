"""The pytest plugin: the fixture ``equivalence``, its options, and reports of what a test run compared.

Each call of the fixture fails the test with its report unless the two are equivalent. PyTorch and NumPy are imported
when a test first makes a call. Under xdist the records travel with the tests' own reports, and one process writes.
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Generator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import pytest
from click import ClickException

from compare.checking.defaults import Defaults, Session
from compare.output import FORMATS, check_writable, write_reports

if TYPE_CHECKING:
    from compare.report.report import Report

__all__ = ["Equivalence", "equivalence"]

_NAME = "gradlock-run"


# -- the fixture -------------------------------------------------------------------------------------------------------


class Equivalence:
    """What a test demands: each method takes the arguments of the call of that name, and returns its report.

    Anything but ``equivalent`` fails the test, an abstention too: a test that compared nothing proves nothing.
    Arguments that a call leaves out come from the options ``--gradlock-dtype``, ``-steps``, ``-tolerance``, ``-seed``.
    """

    def __init__(self, session: Session | None = None):
        self._session = session or Session()

    def gradients(self, *args: Any, **options: Any) -> Report:
        """Demand that hand-derived gradients are autograd's: see :func:`compare.gradients`."""
        __tracebackhide__ = True
        return self._demanded("gradients", args, options)

    def module(self, *args: Any, **options: Any) -> Report:
        """Demand that a layer is PyTorch's, forward and backward: see :func:`compare.module`."""
        __tracebackhide__ = True
        return self._demanded("module", args, options)

    def optimizer(self, *args: Any, **options: Any) -> Report:
        """Demand that an update is that of an optimizer of PyTorch: see :func:`compare.optimizer`."""
        __tracebackhide__ = True
        return self._demanded("optimizer", args, options)

    def training(self, *args: Any, **options: Any) -> Report:
        """Demand that training steps are PyTorch's: see :func:`compare.training`."""
        __tracebackhide__ = True
        return self._demanded("training", args, options)

    def traces(self, *args: Any, **options: Any) -> Report:
        """Demand that a recorded trace is that of the reference: see ``compare.traces``."""
        __tracebackhide__ = True
        return self._demanded("traces", args, options)

    def __call__(self, *args: Any, **options: Any) -> None:
        """Say how the fixture is used; it is no call itself."""
        __tracebackhide__ = True
        pytest.fail("equivalence is no call itself; write equivalence.gradients(...), or another of its calls")

    def __getattr__(self, name: str) -> Any:
        __tracebackhide__ = True
        calls = [one for one in vars(type(self)) if not one.startswith("_")]
        near = get_close_matches(name, calls, 1, 0.5)
        tip = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(calls)}"
        raise AttributeError(f"the fixture equivalence has no call {name!r}; {tip}")

    def _demanded(self, call: str, args: tuple[Any, ...], options: dict[str, Any]) -> Report:
        __tracebackhide__ = True
        import compare
        from compare.batches import InputError

        refused = ""
        try:
            with self._session():
                report: Report = getattr(compare, call)(*args, **options)
        except InputError as error:
            refused = f"equivalence.{call}: {error}"
            self._session.made.append((_failure(call, refused, error), None))
        except Exception as error:
            reason = f"equivalence.{call} raised {type(error).__name__}: {error}"
            self._session.made.append((_failure(call, reason, error), None))
            raise
        if refused:
            pytest.fail(refused, pytrace=False)
        if report.outcome != "equivalent":
            pytest.fail(str(report), pytrace=False)
        return report


def _failure(call: str, reason: str, error: Exception) -> Report:
    """A call that came to no comparison, as a report: what a test run compared does not pass without it."""
    from compare.report.report import Report
    from compare.verdict import Coverage, Outcome, Verdict

    return Report(Verdict(Outcome.ERROR, " ".join(reason.split()), Coverage(), error=error), f"equivalence.{call}")


@pytest.fixture(scope="session")
def equivalence(pytestconfig: pytest.Config) -> Equivalence:
    """The calls gradients, module, optimizer, training and traces, which fail the test with their report."""
    run = pytestconfig.pluginmanager.get_plugin(_NAME)
    assert isinstance(run, Run)  # registered in pytest_configure
    return Equivalence(run.session)


# -- options -----------------------------------------------------------------------------------------------------------

_CHOICES = {"dtype": ["float64", "float32"], "tolerance": ["measured", "fixed"]}
_HELP = {
    "dtype": "cast what the fixture equivalence is given to this dtype",
    "steps": "steps of equivalence.optimizer and equivalence.training",
    "tolerance": "how far is honest: measured or fixed",
    "seed": "seed of what the calls of equivalence draw",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the plugin: settings of the calls, also in the ini file, and reports."""
    group = parser.getgroup("gradlock", "gradlock: the fixture equivalence")
    for name, text in _HELP.items():
        kind: dict[str, Any] = {"type": _whole(name)} if name in ("steps", "seed") else {"choices": _CHOICES[name]}
        group.addoption(f"--gradlock-{name}", help=f"{text}, where a test does not say", **kind)
        parser.addini(f"gradlock_{name}", f"{text}, where a test does not say")
    for name, (_, _, text) in FORMATS.items():
        group.addoption(f"--gradlock-{name}", metavar="PATH", help=f"{text[0].lower()}{text[1:]} of what was compared")
    group.addoption("--gradlock-annotations", choices=["github"], help="print what is wrong for this service")


def _whole(name: str) -> Any:
    """Reads a whole number from the command line or the ini file."""
    least = 1 if name == "steps" else 0

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) < 2**63):
            raise ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
        return int(text)

    return read


def _defaults(config: pytest.Config) -> tuple[Defaults, set[str]]:
    """The settings in force, and the names of those that the command line gives."""
    given, typed = {}, set()
    for name in _HELP:
        value = config.getoption(f"gradlock_{name}")
        if value is not None:
            typed.add(name)
        elif text := config.getini(f"gradlock_{name}"):
            value = _from_ini(name, str(text))
        given[name] = value
    return Defaults(**given), typed


def _from_ini(name: str, text: str) -> Any:
    if name not in _CHOICES:
        try:
            return _whole(name)(text)
        except ArgumentTypeError as error:
            raise pytest.UsageError(f"gradlock_{name} in the ini file: {error}") from None
    if text not in _CHOICES[name]:
        raise pytest.UsageError(f"gradlock_{name} in the ini file: {text!r} is none of {', '.join(_CHOICES[name])}")
    return text


def pytest_configure(config: pytest.Config) -> None:
    """Read the options, and refuse what cannot work before a test runs."""
    config.pluginmanager.register(Run(config), _NAME)


# -- the run -----------------------------------------------------------------------------------------------------------


class Run:
    """One process's part in a test run: what its calls found, and in the process that writes, what all found."""

    def __init__(self, config: pytest.Config):
        defaults, self._typed = _defaults(config)
        self.session = Session(defaults, "--gradlock-")
        self._folder = config.invocation_params.dir
        self._annotations = config.getoption("gradlock_annotations")
        self._paths = {name: path for name in FORMATS if (path := config.getoption(f"gradlock_{name}")) is not None}
        self._wanted = bool(self._paths or self._annotations or self._typed)
        self._writes = not hasattr(config, "workerinput") and not config.getoption("collectonly")
        self._found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._effective: set[str] = set()
        self._lines: list[tuple[str, dict[str, bool]]] = []
        if self._writes:
            self._check_paths()

    def _check_paths(self) -> None:
        for name, path in self._paths.items():
            if path == "-":
                raise pytest.UsageError(f"--gradlock-{name}: pytest writes to standard output itself; name a file")
        self._paths = {name: str(self._folder / path) for name, path in self._paths.items()}
        try:
            check_writable(**{f"gradlock-{name}": path for name, path in self._paths.items()})
        except ClickException as error:
            raise pytest.UsageError(error.message) from error

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put what was compared since the last report into this one: under xdist it is sent on with it."""
        report = yield
        made, self.session.made = self.session.made, []
        if made and self._wanted:
            from compare.checking.record import named
            from compare.checking.source import Source

            test = Source(str(item.path), (item.location[1] or 0) + 1)
            found = [named(one, one.title, source or test, self._folder) for one, source in made]
            report.gradlock = {"found": found, "effective": sorted(self.session.effective)}  # type: ignore[attr-defined]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect what a test compared, wherever it ran; a test that is run again counts once."""
        sent = getattr(report, "gradlock", None)
        if sent is not None and self._writes:
            self._found[report.nodeid, str(report.when)] = sent["found"]
            self._effective |= set(sent["effective"])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the reports."""
        if not self._writes or not self._wanted:
            return
        from compare.report.annotations import to_github

        record = self._record()
        if self._paths:
            try:
                write_reports(record, self._paths)
            except ClickException as error:
                self._lines.append((f"gradlock: {error.message}", {"red": True}))
                session.exitstatus = session.exitstatus or pytest.ExitCode.USAGE_ERROR
            else:
                self._lines.append((f"gradlock: {_said(record)}; wrote {', '.join(self._paths.values())}", {}))
        idle = [name for name in sorted(self._typed) if name not in self._effective]
        for name in idle:
            text = f"gradlock: --gradlock-{name} had no effect: no call of equivalence that ran leaves its {name} open"
            self._lines.append((text, {"yellow": True}))
        if self._annotations:
            self._lines += [(line, {}) for line in to_github(record).splitlines()]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what was written and what had no effect, and print the annotations."""
        for line, colours in self._lines:
            terminalreporter.write_line(line, **colours)

    def _record(self) -> dict[str, Any]:
        """The record of the run: a test's calls under its id, in order of the ids."""
        from compare.checking.record import gathered
        from compare.threads import thread_count

        found = []
        for nodeid in sorted({nodeid for nodeid, _ in self._found}, key=_natural):
            calls = [one for when in ("setup", "call", "teardown") for one in self._found.get((nodeid, when), [])]
            names = [nodeid] if len(calls) == 1 else [f"{nodeid} ({number})" for number in range(1, len(calls) + 1)]
            found += [{**one, "name": name} for name, one in zip(names, calls, strict=True)]
        return gathered(found, threads=thread_count(), defaults=self.session.defaults)


def _natural(nodeid: str) -> list[tuple[bool, int, str]]:
    """A key that puts ``[2]`` before ``[10]``."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"([0-9]+)", nodeid)]


def _said(record: dict[str, Any]) -> str:
    """How many comparisons there were, and how they ended."""
    outcomes = [one["outcome"] for one in record["experiments"]]
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))
    return f"{len(outcomes)} comparison{'' if len(outcomes) == 1 else 's'}" + (f" ({counts})" if counts else "")
