"""Recorded training steps: written by any program in any language, read, compared, and walked like a live side.

The format is on one page, ``docs/trace-format.md``. :class:`compare.tracing.writer.TraceWriter` writes it,
:class:`compare.tracing.reader.Reader` reads it and trusts nothing of it, :mod:`compare.tracing.recording` records a
side, :mod:`compare.tracing.walk` compares two traces in one pass, and :class:`compare.tracing.side.TraceSide` is a
trace as one side of a walk.
"""
