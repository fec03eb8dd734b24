"""``docs/faults.md`` names for each fault the test that injects it; what is not built says so."""

from tests.contract.named_tests import NAMED, missing, page, rows

PAGE = page("faults.md")
NOT_BUILT = {"a spot instance is reclaimed"}


def test_every_named_test_exists() -> None:
    assert len(NAMED.findall(PAGE)) > 25
    assert missing(PAGE) == []


def test_every_fault_names_a_test_or_says_that_it_is_not_built() -> None:
    faults = rows(PAGE, "Faults")
    assert len(faults) > 15
    untested = [row for row in faults if not NAMED.search(row)]
    assert {row.split("|")[1].strip() for row in untested} == NOT_BUILT
    assert all("not built" in row for row in untested)
