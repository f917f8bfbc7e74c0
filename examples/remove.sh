#!/bin/sh
# Make ann leave room 1: a command onto the bus, with an operator's key. STAGEDOOR_NATS_URL, _CA_FILE and _NKEY_FILE are set.
exec stagedoor remove --app 1400000001 --room 1 --user ann
