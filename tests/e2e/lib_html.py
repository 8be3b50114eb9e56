"""lib_html.py PAGE [--json FIGURES] [--text FILE]...: checks a page of HTML that ste made.

Each element that is opened is closed; ids are unique, and what names one finds it; nothing refers to anything outside of
the page, and nothing is a script. --json: each number and each name in the file stands in the page. --text: the text of
the file stands in the page, as text, within one element. Exits 1 and says what is wrong.
"""
import html.parser
import json
import re
import sys

VOID = {"meta", "link", "br", "hr", "img", "input", "col", "wbr"}
KNOWN = set("html head title style body main nav h1 h2 h3 h4 p ul ol li a span strong bdi dl dt dd div details summary "
            "figure figcaption table caption thead tbody tr th td code pre em svg desc line path rect circle g text "
            "meta link label form input select option button header section".split())


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.wanted, self.wrong, self.texts = [], set(), [], [], []
        self.feed(text)
        self.close()
        if self.open:
            self.wrong.append(f"left open: {self.open}")
        self.wrong += [f"nothing has the id {i}" for i in self.wanted if i not in self.ids]

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        if len(names) != len(set(names)):
            self.wrong.append(f"{tag} has an attribute twice: {names}")
        if tag not in KNOWN:
            self.wrong.append(f"an element {tag}, which ste does not write")
        for name, value in attributes:
            if name == "id":
                if value in self.ids:
                    self.wrong.append(f"the id {value} twice")
                self.ids.add(value)
            elif name == "aria-labelledby":
                self.wanted += value.split()
            elif name == "href" and value.startswith("#"):
                self.wanted.append(value[1:])
            elif name in ("href", "src", "action", "xlink:href", "srcset", "data", "poster") and value != "data:,":
                self.wrong.append(f"{tag} refers to {value}")
            elif name.startswith("on") or name == "style":
                self.wrong.append(f"{tag} has {name}={value}")
        if tag not in VOID:
            self.open.append(tag)
            self.texts.append("")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"{tag} is closed at line {self.getpos()[0]} and was not the last that was opened")

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            if re.search(r"url\(|@import|</", data):
                self.wrong.append("the styles refer to something")
        elif self.texts:
            self.texts.append(data)

    def handle_comment(self, data):
        self.wrong.append(f"a comment: {data[:60]}")


def leaves(value):
    """The numbers of VALUE, as they were written, and its names."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def ways(leaf):
    """LEAF, and as a number of six digits."""
    try:
        short = f"{float(leaf):.6g}"
        return {leaf, short, short + ".0"}
    except ValueError:
        return {leaf}


def main():
    text = open(sys.argv[1], encoding="utf-8").read()
    page = Page(text)
    if not text.startswith("<!doctype html>"):
        page.wrong.append("no doctype")
    whole = "".join(f"\n{t}" for t in page.texts)
    words = set(re.split(r"[\s,]+", whole)) | {t.strip() for t in page.texts}
    for what, file in zip(sys.argv[2::2], sys.argv[3::2]):
        if what == "--json":
            figures = json.load(open(file), parse_float=str, parse_int=str)
            figures.pop("recipe", None) if isinstance(figures.get("recipe"), dict) else None
            missing = [leaf for leaf in leaves(figures) if leaf and not ways(leaf) & words and leaf not in whole]
            page.wrong += [f"not in the page: {leaf!r}" for leaf in missing[:10]]
        else:
            wanted = open(file, encoding="utf-8", newline="").read()
            if wanted not in whole:
                page.wrong.append(f"the text of {file} is not in the page")
    for wrong in page.wrong[:20]:
        print(f"{sys.argv[1]}: {wrong}")
    return 1 if page.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
