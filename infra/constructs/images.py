"""The container image's two targets: where each comes from, and the digest by which everything names it.

`IMAGE_BUILT_THERE`: CodeBuild makes them at deployment, and the operator needs no Docker. `IMAGE_BUILT_HERE`: Docker
on the operator's machine. Otherwise they lie in a registry already. What a build may see, and so what makes a new
image, is the repository's ``.dockerignore``.
"""

from dataclasses import dataclass
from typing import Final

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from constructs import Construct

from infra.config import IMAGE_BUILT_HERE, IMAGE_BUILT_THERE, REPOSITORY, Architecture, Config
from infra.constructs.image_builds import DOCKERFILE, ImageBuilds

GPU_TARGET: Final = "gpu"
CPU_TARGET: Final = "cpu"

_PLATFORMS: Final = {
    Architecture.X86_64: ecr_assets.Platform.LINUX_AMD64,
    Architecture.ARM64: ecr_assets.Platform.LINUX_ARM64,
}


@dataclass(frozen=True)
class ContainerImage:
    """One image in a registry.

    Attributes
    ----------
    reference
        ``sha256:…``, or the tag under which the CDK publishes what it built: a hash of the source.
    uri
        Both together, as SageMaker wants them.
    """

    repository: ecr.IRepository
    reference: str
    uri: str


@dataclass(frozen=True)
class Images:
    """The image of the functions, and the GPU's where there is one."""

    cpu: ContainerImage
    gpu: ContainerImage | None


def container_images(scope: Construct, config: Config) -> Images:
    """Make, build or name the images that ``config`` asks for."""
    if config.image == IMAGE_BUILT_THERE:
        return _built_there(scope, config)
    if config.image == IMAGE_BUILT_HERE:
        return _built_here(scope, config)
    gpu = _named(scope, "GpuImage", config.gpu_image) if config.gpu_image and config.has_gpu else None
    return Images(cpu=_named(scope, "CpuImage", config.image), gpu=gpu)


def _built_there(scope: Construct, config: Config) -> Images:
    builds = ImageBuilds(scope, "ImageBuilds", config)

    def built(target: str, architecture: Architecture) -> ContainerImage:
        digest = builds.digest_of(target, architecture)
        return ContainerImage(builds.repository, digest, f"{builds.repository.repository_uri}@{digest}")

    cpu = built(CPU_TARGET, config.cpu_architecture)
    return Images(cpu=cpu, gpu=built(GPU_TARGET, Architecture.X86_64) if config.has_gpu else None)


def _built_here(scope: Construct, config: Config) -> Images:
    def built(name: str, target: str, architecture: Architecture) -> ContainerImage:
        asset = ecr_assets.DockerImageAsset(
            scope,
            name,
            directory=str(REPOSITORY),
            file=DOCKERFILE,
            target=target,
            platform=_PLATFORMS[architecture],
        )
        return ContainerImage(asset.repository, asset.image_tag, asset.image_uri)

    cpu = built("CpuImage", CPU_TARGET, config.cpu_architecture)
    return Images(cpu=cpu, gpu=built("GpuImage", GPU_TARGET, Architecture.X86_64) if config.has_gpu else None)


def _named(scope: Construct, name: str, uri: str) -> ContainerImage:
    """Take an image as it is; its URI was checked with the configuration."""
    registry, _, rest = uri.partition("/")
    path, _, digest = rest.partition("@")
    account, _, _, region, *_ = registry.split(".")
    arn = Stack.of(scope).format_arn(
        service="ecr",
        account=account,
        region=region,
        resource="repository",
        resource_name=path,
        arn_format=ArnFormat.SLASH_RESOURCE_NAME,
    )
    repository = ecr.Repository.from_repository_attributes(scope, name, repository_arn=arn, repository_name=path)
    return ContainerImage(repository, digest, uri)
