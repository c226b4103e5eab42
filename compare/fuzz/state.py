"""The file from which a campaign is resumed: a line of JSON for what it is, then one for each case that has ended."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import IO

from compare.batches import InputError
from compare.fuzz.campaign import Finding
from compare.fuzz.generate import case

__all__ = ["StateFile", "heading"]

FORMAT = 1


class StateFile:
    """Reads what was found earlier, and appends what is found now.

    Parameters
    ----------
    path : made if it does not exist
    seed : the campaign's

    Attributes
    ----------
    earlier : dict of case number to Finding

    Raises
    ------
    InputError
        If the file cannot be read or written, belongs to another seed or to a version that draws other cases, or has a
        broken line other than the last. (The last is broken when the machine stopped while it was written; it is cut
        off.)
    """

    def __init__(self, path: str | Path, seed: int):
        self.path = Path(path)
        self.earlier: dict[int, Finding] = {}
        self._stream: IO[str] | None = None
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
            whole, _, _ = content.rpartition(b"\n")
            lines = whole.decode("utf-8").split("\n") if whole else []
            self._read(lines, seed)
            stream = self.path.open("r+b" if self.path.exists() else "w+b")
            with stream:
                stream.truncate(len(whole) + 1 if lines else 0)
            self._stream = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot use {path} to resume from: {error.strerror}; try another place") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not the state of a campaign: it is no text") from error
        if not lines:
            self._write(heading(seed))

    def _read(self, lines: list[str], seed: int) -> None:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                if number > 1:
                    finding = Finding.from_dict(record)
                    self.earlier[finding.number] = finding
                    continue
                form, earlier_seed, drawn = record["gradlock_fuzz"], record["seed"], record["cases"]
            except (ValueError, TypeError, KeyError) as error:
                what = "is not the state of a campaign" if number == 1 else f"is broken in line {number}"
                raise InputError(f"{self.path} {what}; name another file, or remove it") from error
            if earlier_seed != seed:
                raise InputError(f"{self.path} is the state of seed {earlier_seed}, not {seed}; name another file")
            if (form, drawn) != (FORMAT, heading(seed)["cases"]):
                raise InputError(f"{self.path} was written by another version of gradlock; name another file")

    def add(self, finding: Finding) -> None:
        """Write what a case came to, at once."""
        self._write(finding.as_dict())

    def _write(self, record: dict[str, object]) -> None:
        assert self._stream is not None
        self._stream.write(json.dumps(record) + "\n")
        self._stream.flush()

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


def heading(seed: int) -> dict[str, object]:
    """The first line: the seed, and a digest of the first cases, which tells one generator from another."""
    lines = "\n".join(case(seed, number).text for number in range(50))
    return {"gradlock_fuzz": FORMAT, "seed": seed, "cases": hashlib.sha256(lines.encode()).hexdigest()[:16]}
