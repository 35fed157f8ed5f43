#!/usr/bin/env bash
# Everything that a fresh Debian 12 lacks: system packages, and a Python environment in .venv. Quick when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(g++ cmake ninja-build ccache pkg-config mold git
  libboost-dev libmsgpack-cxx-dev libfmt-dev libspdlog-dev libcli11-dev nlohmann-json3-dev libssl-dev libgsasl-dev
  libgtest-dev libgmock-dev python3-dev python3-venv clang libclang-rt-14-dev clang-format clang-tidy procps
  iproute2 nftables libsqlite3-dev libhiredis-dev redis-server)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if ((${#missing[@]})); then
  echo "setup: installing system packages: ${missing[*]}"
  as_root=()
  if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || { echo "setup: these packages are missing and neither root nor sudo is at hand:" \
      "${missing[*]}. Ask an administrator to install them." >&2; exit 1; }
    as_root=(sudo)
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
  # The tests start servers of their own; the package starts one for the machine, which nobody asked for.
  if [[ " ${missing[*]} " == *" redis-server "* ]]; then
    if [[ -d /run/systemd/system ]]; then
      "${as_root[@]}" systemctl disable --now redis-server >/dev/null 2>&1 || true
    else
      "${as_root[@]}" service redis-server stop >/dev/null 2>&1 || true
    fi
  fi
fi

stamp=.venv/.requirements
if ! cmp -s scripts/requirements.txt "$stamp"; then
  echo "setup: making .venv"
  [[ -x .venv/bin/python ]] || /usr/bin/python3 -m venv .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check -r scripts/requirements.txt
  cp scripts/requirements.txt "$stamp"
fi
