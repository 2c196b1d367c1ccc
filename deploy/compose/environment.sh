#!/bin/sh
# deploy/compose.env.example with a random value for each blank one: environment.sh > deploy/compose.env
# The values are hexadecimal, so that they fit into an address of the database as they are.
set -eu
umask 077
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
while IFS= read -r line || [ -n "$line" ]; do
  case $line in
    \#*) printf '%s\n' "$line" ;;
    *=) printf '%s%s\n' "$line" "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" ;;
    *) printf '%s\n' "$line" ;;
  esac
done <"$here/../compose.env.example"
