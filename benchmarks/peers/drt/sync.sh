#!/bin/sh
# What cron starts: the change table by hand, then drt, incrementally, from where its cursor stands.
set -eu

# Without a word from outside: what drt does by itself, 100 rows in a request and 10 requests a second.
if [ -n "${BATCH:-}" ]; then RATE=0; else BATCH=100 RATE=10; fi
export BATCH RATE

mkdir -p .drt
cat >.drt/profiles.yml <<PROFILE
shop: {type: postgres, host: "$PGHOST", port: $PGPORT, dbname: "$PGDATABASE", user: "$PGUSER"${PGPASSWORD:+, password_env: PGPASSWORD}}
PROFILE

psql -qX -v ON_ERROR_STOP=1 -v now="$NOW" -f changes.sql
exec drt run --output json
