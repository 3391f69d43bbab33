"""Harness answers "should we fine-tune?" with evidence: one task set, every arm, one honest verdict."""

__version__ = "0.1.0"
