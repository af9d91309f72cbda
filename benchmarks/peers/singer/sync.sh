#!/bin/sh
# What cron starts: the anti-join by hand, its rows as Singer's messages to a target, and then it counts as told.
set -eu
psql -qX -v ON_ERROR_STOP=1 -v now="$NOW" -f before.sql
psql -qXAt -v ON_ERROR_STOP=1 -f messages.sql >messages.jsonl
python target.py <messages.jsonl
exec psql -qX -v ON_ERROR_STOP=1 -f after.sql
