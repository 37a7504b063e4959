# packages.sh: sourced by run.sh and test.sh. need PACKAGE...: installs the Debian packages that are
# missing, with apt-get (through sudo when not root); leaves apt-get alone when all are there. Of A|B
# either will do; B is what gets installed.
need() {
    local missing=() p sudo=
    for p in "$@"; do
        # shellcheck disable=SC2086 # one or two names
        dpkg-query -W -f='${db:Status-Status}\n' ${p//|/ } 2>/dev/null | grep -qx installed ||
            missing+=("${p#*|}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || {
            echo "missing: ${missing[*]}; run this as root, or install sudo" >&2
            return 1
        }
        sudo=sudo
        sudo true || {
            echo "missing: ${missing[*]}; as an administrator: apt-get install ${missing[*]}" >&2
            return 1
        }
    fi
    echo "installing ${missing[*]}"
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
}

BUILD_PACKAGES=(gcc libc6-dev cmake ninja-build pkg-config libevent-dev libcurl4-openssl-dev liblmdb-dev
    libxxhash-dev libcjson-dev libssl-dev ca-certificates)
TEST_PACKAGES=(libcmocka-dev clang clang-format clang-tidy 'libclang-rt-14-dev|libclang-rt-dev' universal-ctags
    shellcheck codespell python3 nodejs openssl python3-venv dpkg-dev file systemd groff-base)
