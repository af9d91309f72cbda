"""A store in which whoever reads calls gets no further, and everything else goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, text

from sync.store import Store

WITHOUT_END = (
    "WITH RECURSIVE numbers(one) AS (SELECT 1 UNION ALL SELECT one + 1 FROM numbers) SELECT count(*) FROM numbers WHERE one < 0"
)


@contextmanager
def calls_that_cannot_be_read(store: Store) -> Iterator[None]:
    """On PostgreSQL somebody keeps the table locked; on SQLite, where nobody could, reading it is work without end."""
    if store.on_sqlite:
        event.listen(store.engine, "checkout", _shadow)
        try:
            yield
        finally:
            event.remove(store.engine, "checkout", _shadow)
            store.engine.dispose()
        return
    somebody = Store.at(store.engine.url.render_as_string(hide_password=False))
    with somebody.engine.connect() as connection, connection.begin():
        connection.execute(text("LOCK TABLE calls IN ACCESS EXCLUSIVE MODE"))
        yield
    somebody.close()


def _shadow(driver: Any, _record: Any, _proxy: Any) -> None:
    # A view of the connection's own goes before the table of that name.
    driver.execute(f"CREATE TEMPORARY VIEW IF NOT EXISTS calls AS SELECT * FROM main.calls WHERE ({WITHOUT_END}) > 0")
