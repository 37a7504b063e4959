#!/bin/sh
# collect.sh BUILD FOLDER: lays out in FOLDER what the final stage of the image holds: lulld and lullctl of
# the build folder BUILD, the shared libraries that they load (ldd says which, so this fits every
# processor), the certificates to trust, users and groups, and lull's own lull.conf. In FOLDER/own are the
# two folders that belong to the user lull. Runs in the build stage of the Dockerfile; Debian only.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$1
out=$2/root
own=$2/own

mkdir -p "$out/usr/bin" "$out/etc/ssl/certs" "$out/etc/lull" "$own/data" "$own/run/lull"
chmod 0700 "$own/data"
chmod 0750 "$own/run/lull"
install -s -m 0755 "$build/lulld" "$build/lullctl" "$out/usr/bin"
install -m 0644 "$here/lull.conf" "$out/etc/lull/lull.conf"
install -m 0644 /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs"
printf 'root:x:0:0:root:/:/nonexistent\nlull:x:11435:11435:lull:/data:/nonexistent\n' >"$out/etc/passwd"
printf 'root:x:0:\nlull:x:11435:\n' >"$out/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$out/etc/nsswitch.conf"
chmod 0644 "$out/etc/passwd" "$out/etc/group" "$out/etc/nsswitch.conf"

# "name => /path (address)", and the loader itself as "/path (address)"
libraries=$(ldd "$build/lulld" "$build/lullctl" |
    awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\/.*[^:]$/ { print $1 }' | sort -u)
for library in $libraries; do
    mkdir -p "$out$(dirname "$library")"
    cp -L "$library" "$out$library"
    # which package it is of: licences, and what scanners for known holes look at (as distroless has it)
    # (a diversion's line names no package)
    package=$(dpkg-query -S "$library" "/usr$library" 2>/dev/null | sed -n 's/^\([^ :,]*\)[:,].*/\1/p' | head -1)
    [ -n "$package" ] || continue
    mkdir -p "$out/usr/share/doc/$package" "$out/var/lib/dpkg/status.d"
    dpkg-query -s "$package" >"$out/var/lib/dpkg/status.d/$package"
    [ ! -f "/usr/share/doc/$package/copyright" ] ||
        cp -L "/usr/share/doc/$package/copyright" "$out/usr/share/doc/$package/copyright"
done

find "$2" -depth -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +
