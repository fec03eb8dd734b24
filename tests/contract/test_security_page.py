"""``docs/security.md`` names a test for each control; a control whose test has gone is none."""

from lambdas.core import clients
from tests.contract.named_tests import NAMED, missing, page, rows

PAGE = page("security.md")


def test_every_named_test_exists() -> None:
    assert len(NAMED.findall(PAGE)) > 40
    assert missing(PAGE) == []


def test_a_stolen_hash_costs_what_rfc_7914_asks_for() -> None:
    """Other suites hash for less."""
    assert (clients.SCRYPT_N, clients.SCRYPT_R, clients.SCRYPT_P) == (2**14, 8, 1)


def test_every_control_names_a_test() -> None:
    controls = rows(PAGE, "Controls")
    assert len(controls) > 25
    assert [row for row in controls if not NAMED.search(row)] == []
