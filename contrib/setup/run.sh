#!/bin/bash
# run.sh [OLLAMA_URL]   on a bare Debian 12: installs what the build needs, builds, and starts lulld in
# the foreground in front of the model server (default http://127.0.0.1:11434). Answers are kept in the
# user's state folder. Further arguments go to lulld.
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
esac

need "${BUILD_PACKAGES[@]}"
cmake -S "$root" -B "$root/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLULL_TESTS=OFF >/dev/null
ninja -C "$root/build" lulld lullctl

state=${XDG_STATE_HOME:-$HOME/.local/state}/lull
mkdir -p "$state"
echo "lulld in front of $url; figures: $root/build/lullctl stats"
exec "$root/build/lulld" --upstream "$url" --data-dir "$state" "$@"
