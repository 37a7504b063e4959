#!/bin/bash
# install.sh WORK [VERSION]   what the end-to-end run needs, into the folder WORK: an unmodified Open
# WebUI release from PyPI in its own virtual environment (uv, without torch), and playwright-core.
# Headless Chromium, Node.js and Python come from Debian, with apt-get when they are missing.
set -euo pipefail
work=$1
version=${2:-0.12.4}
here=$(cd "$(dirname "$0")" && pwd)

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    echo "installing ${missing[*]}"
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

mkdir -p "$work"
cd "$work"
export UV_CACHE_DIR="$work/uv-cache" UV_PYTHON_DOWNLOADS=never npm_config_cache="$work/npm-cache"
if [ ! -x tools/bin/uv ]; then
    python3 -m venv tools
    tools/bin/pip install -q --no-cache-dir uv
fi
if [ ! -x "owui-$version/bin/open-webui" ]; then
    python=$(python3 -c 'import sys; print(sys.executable)')
    tools/bin/uv venv -q -p "$python" "owui-$version"
    # torch is loaded only for local embedding, reranking and speech models, none of which run here
    printf "torch ; sys_platform == 'win32'\ntorchvision ; sys_platform == 'win32'\n" > no-torch.txt
    tools/bin/uv pip install -q -p "owui-$version/bin/python" --override no-torch.txt "open-webui==$version"
fi
if [ ! -d node/node_modules/playwright-core ]; then
    mkdir -p node
    cp "$here/package.json" node/
    (cd node && npm install --no-audit --no-fund --loglevel=error)
fi
echo "ready: $work"
