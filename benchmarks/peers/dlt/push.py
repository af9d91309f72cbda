"""Push the rows of the table `pending` to Moesif by a custom destination of dlt's. A 4xx ends it; all else is tried again."""

import os
from collections.abc import Iterator

import dlt
import psycopg
import requests
from dlt.destinations.exceptions import DatabaseTerminalException

KEY = "ordered_last_30_days"
PAGE = 10_000
session = requests.Session()


@dlt.resource(name="changes", write_disposition="append")
def changes() -> Iterator[list[dict[str, object]]]:
    with psycopg.connect() as connection, connection.cursor("pending", row_factory=psycopg.rows.dict_row) as cursor:
        cursor.itersize = PAGE
        cursor.execute("SELECT user_id, value FROM pending")
        while rows := cursor.fetchmany(PAGE):
            yield rows


def moesif(items: list[dict[str, object]], table: dict[str, object]) -> None:  # noqa: ARG001 - what dlt calls it with
    body = [{"user_id": item["user_id"], "metadata": {KEY: item["value"]}} for item in items]
    headers = {"X-Moesif-Application-Id": "benchmark"}
    answer = session.post(f"{os.environ['MOESIF_URL']}/v1/users/batch", json=body, headers=headers, timeout=30)
    if 400 <= answer.status_code < 500:
        raise DatabaseTerminalException(ValueError(f"Moesif answered {answer.status_code}"))
    answer.raise_for_status()


def main() -> None:
    size = {"batch_size": int(os.environ["BATCH"])} if "BATCH" in os.environ else {}
    destination = dlt.destination(moesif, name="moesif", skip_dlt_columns_and_tables=True, **size)
    dlt.pipeline("told", destination=destination, pipelines_dir="pipelines").run(changes())


if __name__ == "__main__":
    main()
