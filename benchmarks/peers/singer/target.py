"""A Singer target that posts user updates to Moesif, a batch of the SDK's in each request."""

import os

import requests
from singer_sdk import BatchSink, Target
from singer_sdk import typing as th

KEY = "ordered_last_30_days"
session = requests.Session()


class Users(BatchSink):
    def process_batch(self, context: dict) -> None:
        body = [{"user_id": record["user_id"], "metadata": {KEY: record["value"]}} for record in context["records"]]
        headers = {"X-Moesif-Application-Id": "benchmark"}
        session.post(f"{self.config['url']}/v1/users/batch", json=body, headers=headers, timeout=30).raise_for_status()


class Moesif(Target):
    name = "target-moesif"
    default_sink_class = Users
    config_jsonschema = th.PropertiesList(th.Property("url", th.StringType, required=True)).to_dict()


if __name__ == "__main__":
    batch = {"batch_size_rows": int(os.environ["BATCH"])} if "BATCH" in os.environ else {}
    target = Moesif(config={"url": os.environ["MOESIF_URL"], "add_record_metadata": False, **batch})
    target.listen()
