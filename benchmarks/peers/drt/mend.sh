#!/bin/sh
# What a person does after rejected users were mended: send again what drt put aside.
set -eu
if [ -n "${BATCH:-}" ]; then RATE=0; else BATCH=100 RATE=10; fi
export BATCH RATE
exec drt retry told
