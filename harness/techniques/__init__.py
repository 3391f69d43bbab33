"""The techniques, as one union that pydantic tells apart by `technique:`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.techniques.cascade import Cascade
from harness.techniques.classifier import Classifier
from harness.techniques.few_shot import FewShot
from harness.techniques.fine_tune import FineTune
from harness.techniques.prompt import Prompt
from harness.techniques.rag import Rag
from harness.techniques.rule import Rule

TechniqueSpec = Annotated[
    Rule | Classifier | Prompt | FewShot | Rag | FineTune | Cascade, Field(discriminator="technique")
]

__all__ = ["Cascade", "Classifier", "FewShot", "FineTune", "Prompt", "Rag", "Rule", "TechniqueSpec"]
