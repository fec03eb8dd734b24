"""Makes clients of the running local cloud's API with public generators, compiles them and calls with them.

``make generated-clients``: ``/openapi.json`` as it is served goes through ``openapi-python-client`` and
``openapi-typescript``; both may warn of nothing. The programs in ``examples/generated`` are checked against what was
made (mypy, tsc) and run: each lists enhancements and makes one.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from infra.config import REPOSITORY
from lambdas.bootstrap import client_administration
from scripts.local.launcher import local_environment, local_table
from scripts.local.paths import Cloud

PROGRAMS = REPOSITORY / "examples" / "generated"
PYTHON = REPOSITORY / ".venv-clients" / "bin" / "python"
NODE_HOME = REPOSITORY / "build" / "node-clients"
PACKAGE = "cleartake_api"
LIMIT_S = 300

GENERATOR = f"package_name_override: {PACKAGE}\npost_hooks: []\n"
TYPESCRIPT = """\
{"compilerOptions": {"strict": true, "noEmit": true, "module": "nodenext", "target": "es2022", "types": [],
 "lib": ["es2022", "dom"], "allowImportingTsExtensions": true, "verbatimModuleSyntax": true},
 "files": ["enhance.ts"]}
"""


class FailedError(Exception):
    """A generator, a compiler or a program was not content."""


def main() -> int:
    """Make, compile and run both; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "build" / "generated-clients")
    folder: Path = parser.parse_args().folder.resolve()
    base_url = Cloud.from_environment().base_url
    environment = {**os.environ, "CLEARTAKE_URL": base_url, "CLEARTAKE_API_KEY": new_key()}
    folder.mkdir(parents=True, exist_ok=True)
    document = folder / "openapi.json"
    document.write_bytes(httpx.get(f"{base_url}/openapi.json", trust_env=False).raise_for_status().content)
    clients: Mapping[str, Callable[[Path, Path, Mapping[str, str]], str]] = {"Python": in_python, "Node": in_node}
    for name, make in clients.items():
        began = time.monotonic()
        try:
            said = make(document, folder / name.lower(), environment)
        except FailedError as error:
            print(f"{name}: {error}")
            return 1
        print(f"{name}: {said.strip()} ({time.monotonic() - began:.1f} s)")
    return 0


def new_key() -> str:
    """Return the API key of a new client of the local cloud."""
    os.environ.update(local_environment())
    client, secret = client_administration(local_table()).create("generated", takes_api_keys=True)
    return f"{client.id}.{secret}"


def in_python(document: Path, folder: Path, environment: Mapping[str, str]) -> str:
    """Make the Python client of ``document`` and call with it; returns what the program says."""
    folder.mkdir(exist_ok=True)
    config = folder / "generator.yaml"
    config.write_text(GENERATOR, encoding="utf-8")
    generator: list[Path | str] = [
        PYTHON.with_name("openapi-python-client"),
        "generate",
        "--meta",
        "none",
        "--overwrite",
    ]
    package = folder / PACKAGE
    told = run([*generator, "--path", document, "--config", config, "--output-path", package], folder, environment)
    if "Warning" in told:
        raise FailedError(told)
    mypy: list[Path | str] = [sys.executable, "-m", "mypy", "--python-executable", PYTHON, "--config-file", os.devnull]
    with_package = {**environment, "PYTHONPATH": str(folder), "MYPYPATH": str(folder)}
    run([*mypy, PROGRAMS / "enhance.py"], folder, with_package)
    return run([PYTHON, PROGRAMS / "enhance.py"], folder, with_package)


def in_node(document: Path, folder: Path, environment: Mapping[str, str]) -> str:
    """Make the TypeScript client of ``document`` and call with it; returns what the program says."""
    folder.mkdir(exist_ok=True)
    tools = NODE_HOME / "node_modules" / ".bin"
    on_path = {**environment, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"}
    # What has a default may be left out of a request; the generator would have it always be there.
    generator: list[Path | str] = [tools / "openapi-typescript", document, "--default-non-nullable", "false"]
    told = run([*generator, "--output", folder / "schema.d.ts"], folder, on_path)
    if "warning" in told.lower():
        raise FailedError(told)
    modules = folder / "node_modules"
    if not modules.is_symlink():
        modules.symlink_to(NODE_HOME / "node_modules", target_is_directory=True)
    (folder / "enhance.ts").write_bytes((PROGRAMS / "enhance.ts").read_bytes())
    (folder / "package.json").write_text('{"type": "module"}\n', encoding="utf-8")
    (folder / "tsconfig.json").write_text(TYPESCRIPT, encoding="utf-8")
    run([tools / "tsc", "--project", folder], folder, on_path)
    return run(["node", folder / "enhance.ts"], folder, on_path)


def run(command: list[Path | str], folder: Path, environment: Mapping[str, str]) -> str:
    """Run a command in ``folder``; returns what it said, raises `FailedError` with that where it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise FailedError(f"{Path(command[0]).name} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
