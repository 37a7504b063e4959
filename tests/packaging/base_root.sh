# shellcheck shell=bash
# base_root.sh: for bare.sh, deb.sh and container/run, which source it and have skip(): a minimal Debian in a folder.
#
#   LULL_BASE_TAR=FILE     a root file system of that suite to begin with, instead of debootstrap
#   LULL_BASE_COPY=FILES   files of this machine that apt-get needs there (proxy, certificates)

base_root() { # base_root SUITE FOLDER LOG [FILE...]: with these files of this machine and LULL_BASE_COPY's
    local suite=$1 folder=$2 log=$3 file
    mkdir -p "$folder"
    if [ -n "${LULL_BASE_TAR-}" ]; then
        tar -C "$folder" -xf "$LULL_BASE_TAR"
    else
        command -v debootstrap >/dev/null || skip "debootstrap is not installed"
        debootstrap --variant=minbase "$suite" "$folder" >"$log" 2>&1 || skip "debootstrap $suite: $(tail -1 "$log")"
    fi
    for file in "${@:4}" ${LULL_BASE_COPY-}; do
        mkdir -p "$folder$(dirname "$file")" && cp -L "$file" "$folder$file"
    done
}
