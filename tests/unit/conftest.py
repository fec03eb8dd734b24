"""What all unit tests share."""

from tests.cheap_secrets import cheap_secrets  # noqa: F401 - a fixture
