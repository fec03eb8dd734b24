"""The container image's recipe, named once: two targets of one Dockerfile.

What its build may see, and so what makes a new image, is the repository's ``.dockerignore``.
"""

from typing import Final

from aws_cdk import aws_ecr_assets as ecr_assets

DOCKERFILE: Final = "gpu_container/Dockerfile"
GPU_TARGET: Final = "gpu"
CPU_TARGET: Final = "cpu"
PLATFORM: Final = ecr_assets.Platform.LINUX_AMD64
