#!/bin/bash
# run.sh [URL] [LULLD OPTION...]   on a bare Debian 12 or 13: installs what the build needs, builds lull, and runs
# lulld in the foreground in front of the model server at URL (default http://127.0.0.1:11434). Prints where
# it listens, where the control socket and the data are, and the lullctl command that reaches it.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/contrib/setup/packages.sh"

url=http://127.0.0.1:11434
case ${1-} in
-h | --help)
    sed -n '2,4s/^# //p' "$0"
    exit 0
    ;;
http://* | https://* | unix:*)
    url=$1
    shift
    ;;
-* | '') ;;
*)
    echo "run.sh: '$1' is no URL; write it as http://127.0.0.1:11434" >&2
    exit 2
    ;;
esac

# where run.sh ran as another user before, as with sudo
foreign=$([ ! -e "$root/build" ] || find "$root/build" ! -writable -print -quit)
if [ -n "$foreign" ]; then
    echo "run.sh: $foreign belongs to $(stat -c %U "$foreign"); remove the folder: sudo rm -r $(printf %q "$root/build")" >&2
    exit 1
fi
need "${BUILD_PACKAGES[@]}"
# a folder that was moved with its checkout is configured from the beginning
fresh=()
cache=$root/build/CMakeCache.txt
[ ! -e "$cache" ] || grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$(realpath "$root")" "$cache" || fresh=(--fresh)
cmake "${fresh[@]}" -S "$root" -B "$root/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLULL_TESTS=OFF >/dev/null
ninja -C "$root/build" lulld lullctl

# as lulld has it for a user; it makes the folder itself, closed to others
home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
state=${XDG_STATE_HOME-}
[ "${state:0:1}" = / ] || state=$home/.local/state
set -- --upstream "$url" --data-dir "$state/lull" "$@"

settings=$("$root/build/lulld" --print-config "$@")
setting() { sed -n "s/^server\.$1 = \(.*\)  (.*)\$/\1/p" <<<"$settings"; }
lullctl=$(printf %q "$root/build/lullctl")
# lullctl finds the default socket by itself
grep -q '^server\.control = .*  (default)$' <<<"$settings" || lullctl+=" --socket $(setting control | xargs -d '\n' printf %q)"
cat <<END
model server    $(sed -n 's/^upstream\.default\.url = \(.*\)  (.*)$/\1/p' <<<"$settings")
listens on      $(setting listen)
control socket  $(setting control)
data folder     $(setting data_dir)
look at it      $lullctl stats
END
exec "$root/build/lulld" "$@"
