#!/bin/bash
# deb.sh: the Debian package in a clean Debian 12: made, looked at by lintian, installed, upgraded with an
# edited lull.conf, removed and purged, first without systemd running (as in a container), then with systemd
# as PID 1 in namespaces of its own: started, reloaded, killed, restarted by an upgrade, activated by socket.
# By hand, as root; takes two minutes, most of it debootstrap. Skips with one line where something is missing.
#
#   LULL_BASE_TAR=FILE, LULL_BASE_COPY=FILES   see base_root.sh
#   LULL_KEEP=1                                keeps the folder
set -uo pipefail
self=$(cd "$(dirname "$0")" && pwd)/deb.sh
root=$(cd "$(dirname "$0")/../.." && pwd)
skip() {
    echo "deb: skipped: $1"
    exit 77
}
fail() {
    echo "FAILED: $1" >&2
    [ -z "${log-}" ] || tail -20 "$log" >&2
    exit 1
}

# ---- as PID 1 of new namespaces: becomes systemd in the tree $2 -----------------------------------------
boot() {
    local tree=$1 device
    mount --bind "$tree" "$tree"
    mount -t proc proc "$tree/proc"
    mount -t sysfs -o ro sysfs "$tree/sys"
    mount -t tmpfs tmpfs "$tree/sys/fs/cgroup"
    mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup"
    mount -t tmpfs tmpfs "$tree/run"
    mount -t tmpfs tmpfs "$tree/tmp"
    mount -t tmpfs -o mode=755 tmpfs "$tree/dev"
    for device in null zero full random urandom tty; do
        touch "$tree/dev/$device"
        mount --bind "/dev/$device" "$tree/dev/$device"
    done
    mkdir -p "$tree/dev/shm" "$tree/dev/pts" "$tree/run/old"
    ln -s /proc/self/fd "$tree/dev/fd"
    ln -s pts/ptmx "$tree/dev/ptmx"
    ip link set lo up
    cd "$tree" && pivot_root . run/old && umount -l /run/old
    mount --make-rshared / # as a container manager does; systemd hands credentials over through shared mounts
    exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system
}
if [ "${1-}" = --boot ]; then
    echo $$ >"$3/cgroup.procs"
    exec unshare -m -p -n -u -i -C --propagation private --fork --kill-child "$self" --boot-inside "$2"
fi
[ "${1-}" != --boot-inside ] || boot "$2"

# ---- preparation ----------------------------------------------------------------------------------------
# shellcheck source=tests/packaging/base_root.sh
. "$root/tests/packaging/base_root.sh"
[ "$(id -u)" = 0 ] || skip "this needs root"
for tool in dpkg-deb dpkg-shlibdeps file cmake ninja unshare nsenter ip; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
done
work=$(mktemp -d "${TMPDIR:-/tmp}/lull-deb.XXXXXX")
tree=$work/tree
group=
finish() {
    if [ -n "${booted-}" ]; then
        kill -9 "$booted" 2>/dev/null
        wait "$booted" 2>/dev/null
    fi
    for _ in $(seq 50); do # the last processes of the namespaces are on their way out
        [ -n "$group" ] && find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
        [ -d "$group" ] || break
        sleep 0.1
    done
    [ -n "${LULL_KEEP-}" ] || rm -rf --one-file-system "$work"
}
trap finish EXIT
log=$work/log

echo "-- the package"
"$root/contrib/packaging/deb/package" "$work/build" >"$log" || fail "making it"
package=$(echo "$work"/build/*.deb)
version=$(dpkg-deb --field "$package" Version)
echo "$(basename "$package"), $(($(stat -c %s "$package") / 1024)) KB"
if command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error "$package" | grep -v '^running' || true
    lintian --allow-root --fail-on error "$package" >/dev/null 2>&1 || fail "lintian"
fi
# the next version: the same with another default in lull.conf
dpkg-deb -R "$package" "$work/next"
sed -i "s/^Version: .*/Version: $version+next/" "$work/next/DEBIAN/control"
echo "# a line that the next version brings" >>"$work/next/etc/lull/lull.conf"
dpkg-deb --root-owner-group -b "$work/next" "$work/next.deb" >>"$log" || fail "the next version"

echo "-- a clean Debian 12"
base_root bookworm "$tree" "$log" /etc/resolv.conf
cp "$package" "$tree/root/lull.deb"
cp "$work/next.deb" "$tree/root/next.deb"
at() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive chroot "$tree" "$@"; }
at apt-get update >"$log" 2>&1 || skip "apt-get update: $(tail -1 "$log")"

# ---- what both runs do; `at` says where -----------------------------------------------------------------
install_it() { at apt-get install -y --no-install-recommends /root/lull.deb >"$log" 2>&1 || fail "install"; }
upgrade() { at dpkg --force-confdef --force-confold -i /root/next.deb >"$log" 2>&1 || fail "upgrade"; }
has() { at test -e "$1" || fail "$1 is not there"; }
has_not() { at test -e "$1" && fail "$1 is there"; }
edit() { at sh -c "printf '[upstream default]\nurl = http://127.0.0.1:9\n' >>/etc/lull/lull.conf"; } # as the quick start says

echo "-- without systemd"
install_it
at lulld --version || fail "lulld does not run"
at lulld --check >"$log" 2>&1 && fail "the file as installed names a model server"
edit
at lulld --check || fail "the edited file"
upgrade
at grep -q '^url = http://127.0.0.1:9$' /etc/lull/lull.conf || fail "the upgrade lost the edited lull.conf"
has /etc/lull/lull.conf.dpkg-dist
at dpkg -r lull >"$log" 2>&1 || fail "remove"
has /etc/lull/lull.conf
has_not /usr/bin/lulld
at dpkg -P lull >"$log" 2>&1 || fail "purge"
for path in /etc/lull /var/lib/lull /usr/share/doc/lull; do has_not $path; done
echo "installed, upgraded with the edited lull.conf kept, removed, purged: nothing left"

echo "-- with systemd"
at apt-get install -y --no-install-recommends systemd systemd-sysv dbus >"$log" 2>&1 || fail "apt-get install systemd"
unified=$(findmnt -n -t cgroup2 -o TARGET | head -1)
[ -n "$unified" ] && mkdir "$unified/lull-deb-$$" 2>/dev/null || {
    echo "deb: passed, but systemd cannot be started here (no cgroup2)"
    exit 0
}
group=$unified/lull-deb-$$
setsid "$self" --boot "$tree" "$group" >"$work/boot.log" 2>&1 </dev/null &
booted=$!
pid=
for _ in $(seq 100); do
    pid=$(pgrep -P "$booted" | head -1)
    [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm")" = systemd ] && break
    sleep 0.1
done
at() {
    nsenter -t "$pid" -m -p -n -u -i -C -r -w \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"
}
for _ in $(seq 100); do
    state=$(at systemctl is-system-running 2>/dev/null)
    [ "$state" = running ] || [ "$state" = degraded ] && break
    sleep 0.1
done
echo "systemd is $state"
[ "$state" = running ] || [ "$state" = degraded ] || { log=$work/boot.log; fail "systemd does not start"; }

at dpkg -i /root/lull.deb >"$log" 2>&1 || fail "install"
at systemctl is-active -q lulld && fail "started by the installation"
at systemctl start lulld 2>/dev/null && fail "started without a model server"
sleep 2 # longer than RestartSec: it must not have been tried again
[ "$(at systemctl show -p NRestarts --value lulld)" = 0 ] || fail "a wrong configuration is tried again"
edit
at systemctl reset-failed lulld
at systemctl enable -q --now lulld 2>"$log" || fail "start"
main() { at systemctl show -p MainPID --value lulld; }
at lullctl health || fail "health"
status=$(at cat "/proc/$(main)/status")
grep -qE '^CapEff:\s+0+$' <<<"$status" && grep -qE '^NoNewPrivs:\s+1$' <<<"$status" &&
    grep -qE '^Seccomp:\s+2$' <<<"$status" || fail "not confined: $status"
[ "$(awk '/^Uid:/ { print $2 }' <<<"$status")" -gt 60000 ] || fail "not a dynamic user"
at systemctl reload lulld || fail "reload"
at sh -c 'echo rubbish >>/etc/lull/lull.conf'
at systemctl reload lulld 2>/dev/null && fail "a wrong lull.conf was taken"
at systemctl is-active -q lulld || fail "it did not survive a wrong lull.conf"
at sed -i '$d' /etc/lull/lull.conf
at systemctl reload lulld || fail "reload of the right one"
echo "started, confined, reloaded; a wrong lull.conf is refused and said: systemctl reload fails"
# a key that only root can read reaches the model server: docs/quick-start.md, "An API key"
at install -m 600 /dev/stdin /etc/lull/task_api_key <<<sk-from-systemd
at mkdir -p /etc/systemd/system/lulld.service.d
at tee /etc/systemd/system/lulld.service.d/key.conf >"$log" <<'END'
[Service]
LoadCredential=task_api_key:/etc/lull/task_api_key
Environment=LULL_UPSTREAM_DEFAULT_API_KEY_FILE=%d/task_api_key
END
at systemctl daemon-reload
at perl -MIO::Socket::INET -e '
    my $port = IO::Socket::INET->new(LocalAddr => "127.0.0.1:9", Listen => 8, ReuseAddr => 1) or exit 1;
    open my $ready, ">", "/run/listening" and close $ready;
    while (my $c = $port->accept) {
        my $head = ""; while (my $line = <$c>) { $head .= $line; last if $line eq "\r\n" }
        print $c "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        print "with the key\n" and exit 0 if $head =~ m{^GET /v1/models .*^Authorization: Bearer sk-from-systemd\r$}msi;
    }' >"$work/key.log" 2>&1 &
server=$!
for _ in $(seq 100); do
    at test -e /run/listening && break
    sleep 0.1
done
at systemctl restart lulld || {
    at journalctl -u lulld -n 20 --no-pager >"$log"
    fail "restart with LoadCredential"
}
at bash -c 'exec 3<>/dev/tcp/127.0.0.1/11435; printf "GET /v1/models HTTP/1.0\r\n\r\n" >&3; head -1 <&3' >"$log"
for _ in $(seq 50); do
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
kill "$server" 2>/dev/null
grep -q '^with the key$' "$work/key.log" || { log=$work/key.log; fail "the key of LoadCredential is not sent"; }
at grep -q sk-from-systemd /etc/lull/lull.conf && fail "the key is in lull.conf"
at lullctl config | grep -q sk-from-systemd && fail "lullctl config shows the key"
echo "a key of LoadCredential reaches the model server, and is shown nowhere"
before=$(main)
at sh -c "kill -9 $before"
for _ in $(seq 50); do
    at lullctl health >/dev/null 2>&1 && [ "$(main)" != "$before" ] && break
    sleep 0.1
done
[ "$(main)" != "$before" ] && at lullctl health >/dev/null || fail "not restarted after kill -9"
before=$(main)
upgrade
[ "$(main)" != "$before" ] && at lullctl health >/dev/null || fail "not restarted by the upgrade"
echo "restarted after kill -9 and by an upgrade"
at rm -r /etc/systemd/system/lulld.service.d /etc/lull/task_api_key
at systemctl daemon-reload
at systemctl stop lulld
[ "$(at systemctl show -p Result --value lulld)" = success ] || fail "stop"
at systemctl start lulld.socket || fail "the socket"
at bash -c 'exec 3<>/dev/tcp/127.0.0.1/11435; printf "GET /api/version HTTP/1.0\r\n\r\n" >&3; head -1 <&3' |
    grep -q ' 502 ' || fail "socket activation"
at systemctl is-active -q lulld || fail "not activated"
echo "activated by its socket"
at dpkg -r lull >"$log" 2>&1 || fail "remove"
at systemctl is-active -q lulld.service lulld.socket && fail "it goes on after its removal"
has /var/lib/lull/data.mdb
at dpkg -P lull >"$log" 2>&1 || fail "purge"
for path in /etc/lull /var/lib/lull /var/lib/private/lull /etc/systemd/system/multi-user.target.wants/lulld.service \
    /etc/systemd/system/lulld.service; do
    has_not $path
done
echo "removed, purged: nothing left"
echo "deb: passed"
