"""Hashing a secret takes 50 ms on purpose, which tests that make a client each would pay again and again."""

from collections.abc import Iterator

import pytest

from lambdas.core import clients


@pytest.fixture(scope="package", autouse=True)
def cheap_secrets() -> Iterator[None]:
    """Hash with scrypt's least cost; only where all of the service is in this process."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(clients, "SCRYPT_N", 2)
        yield
