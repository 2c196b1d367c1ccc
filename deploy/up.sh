#!/usr/bin/env bash
# Set up and start everything on this machine: bash deploy/up.sh. Safe to run again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. deploy/install.sh
install_project ""
exec .venv/bin/mlops up "$@"
