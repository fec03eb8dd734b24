"""The engine as most tests want it: one file, no dereverberation, the report alone."""

from pathlib import Path
from typing import Any

from gpu_container.contract import Dereverb, EnhancementReport
from gpu_container.engine import pipeline
from gpu_container.engine.enhancer import Enhancer

HOOKS = ("on_progress", "is_cancelled", "wet")


def enhance_file(
    source: Path, sink: Path, *, model: Enhancer, dereverb: Dereverb = Dereverb.OFF, **arguments: Any
) -> EnhancementReport:
    """Enhance a file; ``arguments`` are options of `EnhanceOptions` and hooks of `pipeline.enhance`."""
    hooks = {name: arguments.pop(name) for name in HOOKS if name in arguments}
    options = pipeline.EnhanceOptions(dereverb=dereverb, **arguments)
    return pipeline.enhance_file(source, sink, model=model, options=options, **hooks).report
