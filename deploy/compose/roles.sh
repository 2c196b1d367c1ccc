#!/bin/sh
# Grants rights and sets passwords: roles.sh FILE.sql ROLE… with PG* for the owner's login and PASSWORD_<role> for each.
# psql takes a password from its environment: no list of processes shows it.
set -eu
file=$1
shift
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --file "$file"
for role in "$@"; do
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set role="$role" <<'SQL'
\getenv password PASSWORD_:role
SET password_encryption = 'scram-sha-256';
ALTER ROLE :"role" LOGIN PASSWORD :'password';
SQL
done
