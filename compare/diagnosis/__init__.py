"""Why a checkpoint diverged: a catalogue of causes, each held against the numbers down to the noise floor."""

from compare.diagnosis.evidence import Cause

__all__ = ["Cause"]
