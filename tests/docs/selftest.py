"""Whether the checks of the pages can fail: pages with one mistake each, and a page without."""
import os
import tempfile

import links
import reference

# (part of the page, line of the mistake within it, part of the message); line 0: no mistake
SNIPPETS = [
    ("```conf\n[upstream default]\nurl = http://127.0.0.1:1\n```", 0, ""),
    ("```conf\n[upstream default]\nurl = http://127.0.0.1:1\n[tasks]\nmodle = x\n```", 5, "unknown key 'modle'"),
    ("```conf\n[tasks]\nmodel = x\n```", 2, "no model server"),
    ("```conf\n# ...\n[tasks]\nmodel = x\n```", 0, ""),
    ("```\nx\n```", 1, "tag (none)"),
    ("```bash\nls\n```", 1, "tag bash"),
    ("```sh\nlullctl stats\nlullctl stat\n```", 3, "ended with 2"),
    ("```sh\nlullctl ls | cat > list.txt && cat list.txt\n```", 0, ""),
    ("```sh\nwget http://127.0.0.1:11435/\n```", 2, "neither run nor checked"),
    ("```sh\nlullctl ls | tee list.txt\n```", 2, "neither run nor checked"),
    ("```sh\nrm -r /var/lib/dpkg\n```", 2, "outside of the test"),
    ("```sh\ncat > /etc/lull.conf\n```", 2, "outside of the test"),
    ("```sh\nlulld --upstrem http://127.0.0.1:11434\n```", 2, "lulld ended with 2"),
    ("```sh\ncurl -s http://127.0.0.1:11435/@unknown/v1/models\n```", 2, "ended with"),
    ("```sh\nlullctl get ID && lullctl rm ID\n```", 0, ""),
    ("```sh\ncd contrib/compse\n```", 2, "no folder"),
    ("```sh\ndocker compose -f contrib/compose/compose.yml up -d\n```", 2, "no contrib/compose/compose.yml"),
    ("```sh\ncd contrib/compose\ndocker compose exec lul lullctl stats\n```", 3, "no service lul"),
    ("```sh\ncd contrib/compose\ndocker compose exec lull lullctl statz\n```", 3, "ended with 2"),
    ("```sh\ncd contrib/compose\ndocker compose exec lull sh\n```", 3, "not in the image"),
    ("```sh\ndocker volume rm lull_data\n```", 2, "makes a volume lull_data"),
    ("```sh\ndocker build -t lull .\ndocker run -d --name lull -e LULL_UPSTREAM=http://a:1 -v lull:/data lull\n```", 0, ""),
    ("```sh\ndocker run -d -v lull:/var/lib/lull lull\n```", 2, "in /data"),
    ("```sh\ndocker run -d -e LULL_UPSTRAEM=http://a:1 lull\n```", 2, "no variable of lull"),
    ("```sh\ndocker run -d lull stats\n```", 2, "nothing behind it"),
    ("```sh\ndocker network create lul\n```", 2, "network create|connect lull"),
    ("```sh\nbuild/lullctl stats\n```", 0, ""),
    ("```sh\nbuild/lullctl statz\n```", 2, "ended with 2"),
    ("```sh\nsudoedit /etc/passwd\n```", 2, "only files of /etc/lull"),
    ("```sh\nsudo systemctl restart lull\n```", 2, "no lull.service"),
    ("```sh\nsudo apt-get install lull\n```", 2, "the package lull"),
    ("```sh\ncontrib/setup/start.sh\n```", 2, "no contrib/setup/start.sh"),
    ("```env\nLULL_TASKS_MODE=observe\nLULL_TASKS_MODE=watch\n```", 3, "lulld --check"),
    ("```env\nENABLE_TITEL_GENERATION=True\n```", 2, "Open WebUI's variables"),
    ("```env\nOLLAMA_API_CONFIGS='{\"0\": {\"headers\": {\"X-OpenWebUI-Tsk\": \"{{TASK}}\"}}}'\n```", 2, "other headers"),
    ("```env\nOPENAI_API_KEYS=a;b\n```", 2, "not NAME=VALUE"),
    ("```yaml\nservices:\n  lull:\n    environment:\n      LULL_UPSTREAM: http://ollama:11434\n```", 0, ""),
    ("```yaml\nservices:\n  lull:\n    enviroment:\n      LULL_UPSTREAM: http://ollama:11434\n```", 2, "key enviroment"),
    ("```yaml\nservices:\n  lull:\n    environment:\n      LULL_TASKS_MODE: never\n```", 2, "lulld --check"),
    ("```yaml\nservices:\n  lull:\n image: lull\n```", 4, "indented further"),
    ("```yaml\nservices:\n  lull:\n    volumes: [\"lull:/data\"]\n```", 2, "not declared, or not used"),
    ("```yaml\nservices:\n  lull:\n    build: .\n```\n```sh\ndocker compose up -d lul\n```", 7, "no service lul"),
    ("```yaml\nservices:\n  lull:\n    build: .\n```\n```sh\ndocker compose exec lull lullctl stats\n```", 0, ""),
    ("```ini\n[Service]\nLoadCredential=k:/etc/lull/k\nEnvironment=LULL_UPSTREAM_BIG_API_KEY_FILE=%d/k\n```", 0, ""),
    ("```ini\n[Service]\nLoadCredential=k:/etc/lull/k\nEnvironment=LULL_UPSTREAM_BIG_API_KEY_FILE=%d/l\n```", 2, "no LoadCredential=l"),
    ("```ini\n[Service]\nEnvironment=LULL_TASKS_MODE=never\n```", 2, "lulld --check"),
    ("```ini\n[Service]\nRestart=maybe\n```", 2, "systemd-analyze"),
    ("```json\n{\"a\": 1,}\n```", 2, "not JSON"),
    ("```json\n{\"X-OpenWebUI-Task\": \"{{TASK}}\"}\n```", 2, "other headers"),
    ("`LULL_TASKS_MODLE`", 1, "no variable of lull"),
    ("`ENABLE_TITEL_GENERATION`", 1, "Open WebUI's variables"),
    ("`lullctl statistics`", 1, "no verb statistics"),
    ("`[tasks] modle = x`", 1, "no key"),
    ("`X-Lull-Kind`", 1, "no header of lull"),
    ("`{{USER}}`", 1, "template variables"),
]
LINKS = [
    ("[a](other.md)", 0, ""),
    ("[a](othre.md)", 1, "leads nowhere"),
    ("[a](other.md#two-words)", 0, ""),
    ("[a](other.md#three-words)", 1, "no such heading"),
    ("One [a\nb](othre.md)", 1, "leads nowhere"),
    ("![a window](other.md)", 0, ""),
    ("![a window](othre.png)", 1, "is missing"),
    ("![](other.md)", 1, "has no text"),
    ("![a window](large.png)", 1, "larger than"),
    ("One `a", 1, "a backtick"),
    ("[a](other.md)\n```text\nx", 2, "never closed"),
]


# a mistake in conf/lull.conf or the manual page, part of the message
HELP = "[server]\n  size = 1MB\n      size\n      how much\n\n[tasks]\n  mode = on\n      on or off\n      on; off: not at all\n"
CONF = "[server]\n# how much\n#size = 1MB\n[tasks]\n# on; off: not at all\n#mode = on\n"
MAN = '.BR size " (1MB)"\nHow much.\n.TP\n.BR mode " (on)"\non; off: not at all.\n'
REFERENCE = [
    (CONF, MAN, None),
    (CONF.replace("1MB", "2MB"), MAN, "size = 2MB; the default is 1MB"),
    (CONF.replace("mode = on", "mode = off"), MAN, "mode = off; the default is on"),
    (CONF.replace("#size = 1MB\n", ""), MAN, "size is missing"),
    (CONF.replace("how much", "how many"), MAN, "size: not the sentence"),
    (CONF, MAN.replace("1MB", "see the text"), "size (see the text); the default is 1MB"),
    (CONF, MAN.replace("on; off", "On; off"), "mode: not the sentence"),
    (CONF, MAN.replace("BR mode", "BR mood"), "mode is missing"),
]


def write(root, path, text):
    os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
    with open(os.path.join(root, path), "w", encoding="utf-8") as f:
        f.write(text)


def compare(what, cases, findings, paths):
    """Every case must have its finding, on its line, and no other."""
    bad = 0
    for (text, line, message), path in zip(cases, paths):
        mine = [(n, m) for p, n, m in findings if p == path]
        fine = not mine if line == 0 else bool(mine) and all(n == line and message in m for n, m in mine)
        if not fine:
            print(f"{what}: {text!r}: want {(line, message)}, have {mine}")
            bad += 1
    return bad


def run(run_snippets):
    bad = 0
    with tempfile.TemporaryDirectory(prefix="ld-") as root:
        paths = [f"docs/{i}.md" for i in range(len(SNIPPETS))]
        for (text, _, _), path in zip(SNIPPETS, paths):
            write(root, path, text + "\n")
        bad += compare("snippets", SNIPPETS, run_snippets(root), paths)
    for conf, man, wanted in REFERENCE:
        found = reference.keys(HELP)
        said = [m for _, _, m in reference.check_conf(found, conf) + reference.check_man(found, man)]
        if (wanted is None and said) or (wanted is not None and (len(said) != 1 or wanted not in said[0])):
            print(f"reference: want {wanted}, have {said}")
            bad += 1
    for case in LINKS:
        with tempfile.TemporaryDirectory(prefix="ld-") as root:
            write(root, "docs/README.md", case[0] + "\n")
            write(root, "docs/other.md", "# Other\n\n## Two words\n")
            write(root, "docs/large.png", "x" * (links.MAX_IMAGE + 1))
            bad += compare("links", [case], links.check(root), ["docs/README.md"])
    with tempfile.TemporaryDirectory(prefix="ld-") as root:
        write(root, "docs/README.md", "[es](es/guia.md)\n```sh\nlullctl stats\n```\n")
        write(root, "docs/lost.md", "")
        write(root, "docs/es/guia.md", "```sh\nlullctl stats\n```\n```sh\nlullctl ls\n```\n")
        have = links.check(root)
        want = [("docs/lost.md", 1, "cannot be reached"), ("docs/es/guia.md", 5, "in no English page")]
        if len(have) != 2 or any(h[:2] != w[:2] or w[2] not in h[2] for h, w in zip(have, want)):
            print(f"links: want {want}, have {have}")
            bad += 1
    print(f"docs.selftest: {len(SNIPPETS) + len(REFERENCE) + len(LINKS) + 1} cases, {bad} wrong")
    return 1 if bad else 0
