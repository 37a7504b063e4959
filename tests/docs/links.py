"""docs.links: every relative link, anchor and picture is there (a picture is small and has a text), every page can be
reached from docs/README.md, and the blocks of the Spanish pages are, byte for byte, blocks of the English ones."""
import os

from pages import read_pages

START = "docs/README.md"
MAX_IMAGE = 150 * 1000


def target_of(page, link):
    """(path relative to the root, anchor) of a relative link; None for addresses elsewhere."""
    if "://" in link or link.startswith("mailto:"):
        return None
    path, _, anchor = link.partition("#")
    here = os.path.dirname(page.path)
    return (os.path.normpath(os.path.join(here, path)) if path else page.path), anchor


def check_link(root, pages, page, line, link):
    target = target_of(page, link)
    if target is None:
        return []
    path, anchor = target
    if path.startswith("..") or not os.path.exists(os.path.join(root, path)):
        return [(page.path, line, f"the link {link} leads nowhere")]
    if anchor and (path not in pages or anchor not in pages[path].anchors):
        return [(page.path, line, f"the link {link}: {path} has no such heading")]
    return []


def check_image(root, page, line, text, link):
    path = os.path.normpath(os.path.join(os.path.dirname(page.path), link))
    if not text.strip():
        return [(page.path, line, f"the picture {link} has no text")]
    if not os.path.exists(os.path.join(root, path)):
        return [(page.path, line, f"the picture {link} is missing")]
    if os.path.getsize(os.path.join(root, path)) > MAX_IMAGE:
        return [(page.path, line, f"the picture {link} is larger than {MAX_IMAGE} bytes")]
    return []


def reachable(pages):
    seen, todo = set(), [START]
    while todo:
        path = todo.pop()
        if path in seen or path not in pages:
            continue
        seen.add(path)
        for _, link in pages[path].links:
            target = target_of(pages[path], link)
            if target is not None:
                todo.append(target[0])
    return seen


def check(root):
    pages = read_pages(root)
    out = [f for p in pages.values() for f in p.findings]
    if START not in pages:
        return out + [(START, 1, "the start page is missing")]
    for page in pages.values():
        for line, link in page.links:
            out += check_link(root, pages, page, line, link)
        for line, text, link in page.images:
            out += check_image(root, page, line, text, link)
    reached = reachable(pages)
    out += [(p, 1, f"cannot be reached from {START}")
            for p in pages if p.startswith("docs/") and p not in reached]
    spanish = {p for p in pages if p.startswith("docs/es/")}
    english = {(b.tag, b.text) for p, page in pages.items() if p not in spanish for b in page.blocks}
    for path in sorted(spanish):
        out += [(path, b.line, "this block is in no English page") for b in pages[path].blocks
                if (b.tag, b.text) not in english]
    return out
