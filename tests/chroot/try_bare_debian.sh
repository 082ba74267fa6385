#!/bin/bash
# Try ./do on a bare Debian 12, by hand and as root: a chroot of python3 and git, once for each way of the set-up.
#
#     tests/chroot/try_bare_debian.sh [--full] [DIRECTORY]
#
# It takes the mirror, certificates and pip's settings from this machine, and clones the last commit. Each way is tried
# in a fresh copy of the chroot, with an empty home; --full also runs ./do run (as an ordinary user) and ./do test (as
# root, CI=true). Needs debootstrap and some 8 GB below DIRECTORY (default: a new one in /tmp). A way for which this
# machine lacks the program (uv) is skipped, and said so. Exit code 0: every way did what it should.
set -euo pipefail

full=no
[ "${1:-}" = --full ] && { full=yes; shift; }
top=${1:-$(mktemp -d /tmp/karaula-bare.XXXXXX)}
repository=$(cd "$(dirname "$0")/../.." && pwd)
base=$top/base
mkdir -p "$top"
failures=0
alone= # a command that takes the network away, where the estate's addresses may be in use on this machine

mounted() { grep -q " $1 " /proc/mounts; }
release() { for place in proc dev/shm; do if mounted "$1/$place"; then umount "$1/$place"; fi; done; }
trap 'for root in "$top"/*/; do release "${root%/}"; done' EXIT

make_base() {
    [ -e "$base/.made" ] && return
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Component: main' | grep -m1 /debian/)
    echo "== debootstrap from $mirror"
    debootstrap --variant=minbase --include=python3,git bookworm "$base" "$mirror" >"$top/debootstrap.log"
    # What the machine knows about its network, and nothing else of it.
    cp /etc/resolv.conf /etc/hosts "$base/etc/"
    cp -r /usr/local/share/ca-certificates "$base/usr/local/share/"
    mkdir -p "$base/etc/ssl/certs"
    cp -L /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/"
    if [ -e /etc/pip.conf ]; then cp /etc/pip.conf "$base/etc/"; fi
    find /etc/apt/apt.conf.d -name '*proxy*' -exec cp {} "$base/etc/apt/apt.conf.d/" \;
    chroot "$base" useradd --create-home --shell /bin/bash someone
    touch "$base/.made"
}

# fresh NAME: a copy of the base with a clone, as $root; fresh homes.
fresh() {
    root=$top/$1
    rm -rf "$root"
    cp -a "$base" "$root"
    git clone --quiet --no-local "$repository" "$root/home/someone/karaula"
    chown -R 1000:1000 "$root/home/someone" 2>/dev/null || chroot "$root" chown -R someone: /home/someone
    mount -t proc proc "$root/proc"
    mkdir -p "$root/dev/shm"
    mount -t tmpfs tmpfs "$root/dev/shm"
}

# inside USER COMMAND: run in the clone with pip's variables of this machine.
inside() {
    local home=/home/someone variables
    [ "$1" = root ] && home=/root
    mapfile -t variables < <(env | grep -E '^(PIP_|UV_|SSL_CERT_FILE=|HTTPS?_PROXY=|https?_proxy=|NO_PROXY=|no_proxy=)' || true)
    $alone chroot "--userspec=$1" "$root" /usr/bin/env -i "HOME=$home" LANG=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${variables[@]}" \
        sh -c "cd /home/someone/karaula && git config --global --add safe.directory /home/someone/karaula && $2"
}

# expect TITLE CODE USER COMMAND: run, compare the exit code, show the last lines and the time.
expect() {
    local begun code=0
    begun=$(date +%s)
    echo "== $1"
    inside "$3" "$4" >"$top/last.log" 2>&1 || code=$?
    tail -n "${lines:-4}" "$top/last.log" | sed 's/^/   /'
    if [ "$code" = "$2" ]; then
        echo "   as expected: exit code $code after $(($(date +%s) - begun)) s"
    else
        echo "   WRONG: exit code $code, expected $2; everything it said is in $top/failed-$failures.log"
        cp "$top/last.log" "$top/failed-$failures.log"
        failures=$((failures + 1))
    fi
}

done_with() {
    release "$root"
    rm -rf "$root"
}

make_base

fresh nothing
expect "nothing there, an ordinary user: one line to type" 3 someone "./do setup"
expect "nothing there, root: apt-get brings pip" 0 root "./do setup"
expect "again: nothing to do" 0 root "./do setup"
chroot "$root" chown -R someone: /home/someone
expect "pip there, an ordinary user" 0 someone "./do clean && ./do setup && .venv/bin/karaula check"
expect "the lock is changed: .venv is made anew" 0 someone "echo '# changed' >>requirements.lock && ./do setup"
expect "wrong usage" 2 someone "./do nonsense"
if [ $full = yes ]; then
    # The servers are installed with the network, the tests run without it: other estates may use the same addresses.
    inside root "./do clean && .ci/run --collect-only --quiet" >"$top/servers.log" 2>&1 || true
    alone="unshare --net $repository/tests/chroot/with_loopback.sh"
    lines=40 expect "./do test as root, no test skipped" 0 root ".ci/run"
    alone=
fi
done_with

fresh ensurepip
expect "only python3-venv is added" 0 root "apt-get -qq update && apt-get -qq -y install --no-install-recommends python3-venv"
expect "ensurepip there, an ordinary user" 0 someone "./do setup"
if [ $full = yes ]; then
    cp "$(dirname "$0")/use_the_estate.sh" "$root/home/someone/"
    alone="unshare --net $repository/tests/chroot/with_loopback.sh"
    lines=40 expect "./do run as an ordinary user with an empty home" 0 someone "sh ../use_the_estate.sh"
    alone=
fi
done_with

if uv=$(command -v "${UV:-uv}"); then
    fresh uv
    cp -L "$uv" "$root/usr/local/bin/uv"
    expect "uv there, an ordinary user" 0 someone "./do setup"
    done_with
else
    echo "== uv: not on this machine (set UV=/path/to/uv), skipped"
fi

echo "== $failures of the expectations failed"
[ "$failures" = 0 ]
