#!/bin/sh
# What cron starts: the anti-join by hand, dlt to push it, and then it counts as told.
set -eu
psql -qX -v ON_ERROR_STOP=1 -v now="$NOW" -f before.sql
python push.py
exec psql -qX -v ON_ERROR_STOP=1 -f after.sql
