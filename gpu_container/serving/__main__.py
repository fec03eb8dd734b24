"""``python -m gpu_container.serving serve``: the command SageMaker starts the container with."""

import argparse
import sys

from gpu_container.serving.server import serve


def main(arguments: list[str] | None = None) -> int:
    """Run the command named on the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="gpu_container.serving", description="Cleartake's audio container")
    parser.add_argument("command", choices=["serve"], help="serve: answer /ping and /invocations until SIGTERM")
    parser.parse_args(arguments)
    return serve()


if __name__ == "__main__":
    sys.exit(main())
