"""One synthesis of each variant serves the whole suite: each takes seconds."""

import pytest

from infra.config import LOCAL_ACCOUNT, LOCAL_REGION, Config
from tests.infra.templates import Assembly


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """Synthesise the AWS variant; cdk-nag runs in it, and any finding fails it."""
    return Assembly.make(Config(bundle=False), tmp_path_factory.mktemp("aws"))


@pytest.fixture(scope="session")
def without_gpu(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """Synthesise the AWS variant that needs no GPU quota."""
    return Assembly.make(Config(bundle=False, gpu_backend="none"), tmp_path_factory.mktemp("without_gpu"))


@pytest.fixture(scope="session")
def aws_here(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """Synthesise the AWS variant for the local variant's account, so that only real differences are left."""
    config = Config(bundle=False, account=LOCAL_ACCOUNT, region=LOCAL_REGION)
    return Assembly.make(config, tmp_path_factory.mktemp("aws_here"))


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    return Assembly.make(Config(local=True), tmp_path_factory.mktemp("local"))
