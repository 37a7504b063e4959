#!/bin/bash
# bare.sh [SUITE [run|test]]: contrib/setup/run.sh and test.sh in a bare Debian (bookworm; trixie and others by
# name), on the source tarball, with nothing installed but debootstrap's minimum: no git, no compiler. `run`
# builds lull, starts it in front of a model server that does not exist, asks for its health and runs the lullctl
# command that run.sh prints; `test` runs the tests. Default: both. By hand, as root; `test` takes long.
#
#   LULL_BASE_TAR=FILE, LULL_BASE_COPY=FILES   see base_root.sh
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
suite=${1:-bookworm}
what=${2:-both}
skip() {
    echo "bare: skipped: $1"
    exit 77
}
fail() {
    echo "FAILED: $1" >&2
    exit 1
}
# shellcheck source=tests/packaging/base_root.sh
. "$root/tests/packaging/base_root.sh"
[ "$(id -u)" = 0 ] || skip "this needs root"
command -v unshare >/dev/null || skip "unshare is not installed"

if [ "${1-}" = --inside ]; then # TREE COMMAND...: in namespaces of its own
    tree=$2
    shift 2
    mount -t proc proc "$tree/proc"
    mount --rbind /dev "$tree/dev"
    mount -t sysfs -o ro sysfs "$tree/sys"
    mount -t tmpfs tmpfs "$tree/run"
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 chroot "$tree" "$@"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/lull-bare.XXXXXX")
tree=$work/tree
trap 'rm -rf --one-file-system "$work"' EXIT
at() { unshare -m -p --fork --kill-child --propagation private "$0" --inside "$tree" "$@"; }

base_root "$suite" "$tree" "$work/log" /etc/resolv.conf /etc/hosts
tarball=$("$root/contrib/packaging/dist" "$work") || fail "dist"
tar -C "$tree/root" -xzf "$tarball"
folder=/root/$(basename "$tarball" .tar.gz)
echo "$(basename "$tarball"), $(($(stat -c %s "$tarball") / 1024)) KB, in $suite"

run_it() {
    local began=$SECONDS running look line
    at "$folder/contrib/setup/run.sh" http://127.0.0.1:9 --listen "127.0.0.1:$((20000 + RANDOM % 9000))" \
        --control /root/control.sock >"$work/run.log" 2>&1 &
    running=$!
    for _ in $(seq 3000); do
        [ -S "$tree/root/control.sock" ] && break
        kill -0 "$running" 2>/dev/null || break
        sleep 0.1
    done
    chroot "$tree" "$folder/build/lullctl" --socket /root/control.sock health || {
        tail -20 "$work/run.log"
        fail "run.sh"
    }
    look=$(sed -n 's/^look at it  *//p' "$work/run.log")
    # shellcheck disable=SC2086 # a command and its arguments
    chroot "$tree" $look >"$work/look.log" 2>&1 || {
        cat "$work/run.log" "$work/look.log"
        fail "the command that run.sh prints: $look"
    }
    for line in 'model server    http://127.0.0.1:9' 'control socket  /root/control.sock' 'data folder     /root/'; do
        grep -qF "$line" "$work/run.log" || fail "run.sh does not print: $line"
    done
    echo "run.sh: ready after $((SECONDS - began)) s, packages and build included"
    chroot "$tree" "$folder/build/lullctl" --socket /root/control.sock drain
    wait "$running" || fail "run.sh ended with $?"
}
test_it() {
    local began=$SECONDS
    at "$folder/contrib/setup/test.sh" >"$work/test.log" 2>&1
    local code=$?
    tail -4 "$work/test.log"
    [ "$code" = 0 ] || {
        grep -E '^FAIL|^ERROR|\*\*\*Failed|error:' "$work/test.log" | head -20
        fail "test.sh"
    }
    echo "test.sh: $((SECONDS - began)) s"
}
case $what in
run) run_it ;;
test) test_it ;;
both) run_it && test_it ;;
*) fail "run or test, not $what" ;;
esac
echo "bare: passed"
