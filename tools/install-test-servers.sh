#!/bin/sh
# Installs what the tests need and this machine lacks: PostgreSQL and Redis from Debian's packages, and
# cargo-nextest. Says nothing when all is there. The tests start servers of their own on free ports, so
# those that Debian would start are kept from starting.
set -eu

has() { command -v "$1" >/dev/null 2>&1; }

has_postgres() {
    has postgres || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        echo "$0: needs root (or sudo) to run: $*" >&2
        exit 1
    fi
}

packages=
has_postgres || packages="$packages postgresql"
has redis-server || packages="$packages redis-server"
# The C compiler and linker build the crates; ipcrm cleans up after killed PostgreSQL servers.
has cc || packages="$packages build-essential"
has ipcrm || packages="$packages util-linux"

if [ -n "$packages" ]; then
    if ! has apt-get; then
        echo "$0: no apt-get here; install these yourself:$packages" >&2
        exit 1
    fi
    echo "installing$packages" >&2
    # A policy that forbids starting services holds only while the packages are installed.
    policy=/usr/sbin/policy-rc.d
    ours=
    if [ ! -e "$policy" ]; then
        ours=yes
        trap 'as_root rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    as_root apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
    if [ -n "$ours" ]; then
        as_root rm -f "$policy"
        trap - EXIT
    fi
fi

if ! cargo nextest --version >/dev/null 2>&1; then
    echo "installing cargo-nextest" >&2
    cargo install --locked cargo-nextest
fi
