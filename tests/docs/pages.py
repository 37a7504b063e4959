"""The pages: README.md and docs/**/*.md, cut into blocks, links, headings and plain text."""
import os
import re

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FENCE = re.compile(r"^(\s*)(```+|~~~+)\s*(\S*)\s*$")
LINK = re.compile(r"(?<!!)\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
ALONE = re.compile(r"^(\s*$|\||#|\s*[-*] |\d+\. )")  # lines that do not go on from the one before
CODE = re.compile(r"`([^`]+)`")


class Block:
    """A fenced block. line: of its first line of text; section: counts the headings before it."""

    def __init__(self, page, tag, line, section):
        self.page, self.tag, self.line, self.section, self.lines = page, tag, line, section, []

    @property
    def text(self):
        return "\n".join(self.lines) + "\n"


class Page:
    def __init__(self, root, path):
        self.path = path
        self.blocks, self.links, self.images, self.codes, self.plain, self.findings = [], [], [], [], [], []
        self.anchors, self.sections = set(), 0
        with open(os.path.join(root, path), encoding="utf-8") as f:
            self.read(f.read().split("\n"))

    def read(self, lines):
        block = None
        for number, line in enumerate(lines, 1):
            fence = FENCE.match(line)
            if fence and block is None:
                block = Block(self, fence.group(3), number + 1, self.sections)
                self.blocks.append(block)
            elif fence and fence.group(3) == "":
                block = None
            elif block is not None:
                block.lines.append(line)
            else:
                self.plain.append((number, line))
                self.read_heading(line)
        if block is not None:
            self.findings.append((self.path, block.line - 1, "a fence that is never closed"))
        for number, text in self.paragraphs():
            self.read_paragraph(number, text)

    def read_heading(self, line):
        heading = re.match(r"^#{1,6}\s+(.*?)\s*#*$", line)
        if heading:
            self.sections += 1
            self.anchors.add(self.slug(heading.group(1)))

    def paragraphs(self):
        """(line, text) of each paragraph, item, row and heading; lines stay apart by "\\n"."""
        out, last = [], None
        for number, line in self.plain:
            if out and last == number - 1 and not ALONE.match(line) and not re.match(r"^(\s*$|\||#)", out[-1][1]):
                out[-1] = (out[-1][0], out[-1][1] + "\n" + line)
            else:
                out.append((number, line))
            last = number
        return out

    def read_paragraph(self, first, text):
        def line_of(position):
            return first + text.count("\n", 0, position)
        if text.count("`") % 2:
            self.findings.append((self.path, first, "a backtick without its other one"))
            return
        for m in CODE.finditer(text):
            self.codes.append((line_of(m.start()), re.sub(r"\s*\n\s*", " ", m.group(1))))
        bare = CODE.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)
        for m in LINK.finditer(bare):
            self.links.append((line_of(m.start()), m.group(1)))
        for m in IMAGE.finditer(bare):
            self.images.append((line_of(m.start()), m.group(1), m.group(2)))
        if re.search(r"\]\s*\n\s*\(|\]\s+\([^)]*\.md", bare):
            self.findings.append((self.path, first, "a link that is torn apart"))

    def slug(self, heading):
        """The anchor that GitHub makes of a heading."""
        text = re.sub(r"[^\w\- ]", "", heading.lower().strip()).replace(" ", "-")
        n, out = 0, text
        while out in self.anchors:
            n += 1
            out = f"{text}-{n}"
        return out


def read_pages(root):
    """{path: Page}, the pages under root."""
    paths = ["README.md"] if os.path.exists(os.path.join(root, "README.md")) else []
    for base, folders, names in os.walk(os.path.join(root, "docs")):
        folders.sort()
        paths += [os.path.relpath(os.path.join(base, n), root) for n in sorted(names) if n.endswith(".md")]
    return {p: Page(root, p) for p in paths}
