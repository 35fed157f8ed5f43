#!/usr/bin/env bash
# Puts what build/dev compiled into .venv: extension modules beside the Python sources (an editable installation), the
# commands into .venv/bin. No compiling here: one compile serves the tests and the installed package.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
native="$site/distributed_computing_native"

cmake --install build/dev --component python --prefix "$native" >/dev/null
for command in start_node distributed-computing; do
  cmp -s "build/dev/src/$command" ".venv/bin/$command" || install -m 755 "build/dev/src/$command" ".venv/bin/$command"
done

# The package's directory is the source tree; its __path__ is extended by the folder that holds the modules.
echo "$PWD/python" >"$site/distributed_computing.pth"
info="$site/distributed_computing-$version.dist-info"
mkdir -p "$info"
printf 'Metadata-Version: 2.1\nName: distributed-computing\nVersion: %s\nRequires-Dist: cloudpickle>=3\n' "$version" \
  >"$info/METADATA"
echo distributed-computing >"$info/INSTALLER"
: >"$info/RECORD"
