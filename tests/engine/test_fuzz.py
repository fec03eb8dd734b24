"""Damaged files of every format, a few on each run and more in the slow suite: `scripts.fuzz_reader` does thousands."""

from pathlib import Path

import pytest

from scripts.fuzz_reader import Tally, fuzz, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


def _assert_nothing_fell(tally: Tally, cases: int) -> None:
    assert tally.inputs == tally.accepted + tally.refused.total() == cases
    assert tally.accepted > 0
    assert tally.refused.total() > 0
    assert tally.parent_crashes == []
    assert tally.engine_failures == []
    assert tally.hangs == []
    assert tally.nan_outputs == []


def test_damaged_files_are_refused_or_survived(corpus: Path) -> None:
    _assert_nothing_fell(fuzz(corpus, cases=25, seed=3), 25)


@pytest.mark.slow
def test_many_damaged_files_are_refused_or_survived(corpus: Path) -> None:
    _assert_nothing_fell(fuzz(corpus, cases=300, seed=4), 300)
