# Sourced by up.sh and test.sh: a virtual environment in .venv with the locked packages, compiled once.
# `install_project EXTRAS` does nothing when the environment already holds what the project's files ask for.

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s' "$candidate"
      return 0
    fi
  done
  echo "Python 3.11 or newer is needed and wasn't found; set PYTHON to one." >&2
  return 1
}

make_environment() {
  local python
  python=$(find_python) || return 1
  # A virtual environment can't be moved; one that was is made anew.
  if [ -x .venv/bin/python ] && .venv/bin/python -c 'import pip' 2>/dev/null &&
    [ "$(.venv/bin/python -c 'import sys; print(sys.prefix)')" = "$(pwd -P)/.venv" ]; then
    return 0
  fi
  rm -rf .venv
  if ! "$python" -m venv .venv; then
    rm -rf .venv
    echo "$python can't make virtual environments. On Debian or Ubuntu: apt-get install python3-venv" >&2
    return 1
  fi
}

install_project() {
  local extras=$1 wanted began=$SECONDS
  umask 022
  make_environment || return 1
  wanted="$extras $(cat pyproject.toml deploy/constraints.txt | cksum)"
  if grep -qxF -- "$wanted" .venv/installed 2>/dev/null; then
    return 0
  fi
  echo "Installing packages into .venv (once; a minute or two)…"
  .venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-compile \
    --constraint deploy/constraints.txt --editable ".$extras" || return 1
  echo "Compiling them, so that no process has to…"
  # Some packages ship files for other Python versions; that those don't compile is no failure.
  env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -m compileall -q -j 0 \
    .venv/lib mlops_assets inference >/dev/null 2>&1 || true
  printf '%s\n' "$wanted" >> .venv/installed
  echo "Installed in $((SECONDS - began)) s."
}
