"""docs/query-plans.md has a row for each query that the benchmark of plans asks."""

from __future__ import annotations

import re

from benchmarks.plans import AUDIENCES, COMPUTED_TRAITS
from tests.docs.examples import DOCS


def test_every_query_of_the_benchmark_has_a_row_and_every_row_a_query() -> None:
    page = (DOCS / "query-plans.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(.*?)` \| \d", page, re.MULTILINE)

    assert sorted(rows) == sorted([*AUDIENCES, *COMPUTED_TRAITS])


def test_every_index_that_the_page_names_exists() -> None:
    from sync.store.schema import metadata

    named = set(re.findall(r"`(ix_\w+)`", (DOCS / "query-plans.md").read_text(encoding="utf-8")))

    assert named <= {str(index.name) for table in metadata.tables.values() for index in table.indexes}
