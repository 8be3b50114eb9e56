"""view_chromium.py STE RUNS [OUT]: every page of the viewer, of the runs in the folder RUNS, in Debian's Chromium.

At 390, 1024 and 1600 pixels and in both colour schemes: no error in the console, no request that fails or leaves the
server, no page wider than its window, nothing serious that axe-core finds with all that is folded opened, headings in
order. Screenshots go to the folder OUT. Exits 1 if something was found.
"""
import os
import re
import sys
import urllib.request

import browser

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
import lib_serve  # noqa: E402

OPEN = "document.querySelectorAll('details').forEach(d => d.open = true)"


def pages_of(server):
    """Every kind of page, found by the links that the pages have."""
    get = lambda path: urllib.request.urlopen(server + path).read().decode()
    yield "runs", "/"
    names = re.findall(r'href="(/runs/[^"/]+)"', get("/"))
    for i, run in enumerate(names):
        tag = "" if i == 0 else f"-{i + 1}"
        yield f"overview{tag}", run
        yield f"report{tag}", f"{run}/report"
        for part in ("instructions", "pairs", "judgments"):
            yield f"{part}{tag}", f"{run}/{part}"
            first = re.search(rf'href="({run}/(?:instructions|pairs)/[^"?]+)', get(f"{run}/{part}"))
            if first and part != "judgments":
                yield f"{part[:-1]}{tag}", first[1]
        yield f"verdicts{tag}", f"{run}/judgments?suite=test"
        yield f"searched{tag}", f"{run}/pairs?text=a&disagree=1"
        yield f"not-found{tag}", f"{run}/pairs/none"
    if names:
        a, b = (n.split("/")[-1] for n in (names[0], names[-1]))
        yield "diff", f"/diff?a={a}&b={b}"
    yield "diff-empty", "/diff"


def main():
    ste, runs, out = sys.argv[1], sys.argv[2], (sys.argv + [""])[3]
    axe, found = browser.load_axe(), 0
    page = browser.Browser()
    try:
        with lib_serve.Server(ste, runs) as server:
            for name, path in pages_of(server.url):
                for width in browser.SIZES:
                    for scheme in ("light", "dark"):
                        bad = browser.check(page, axe, server.url + path, width, scheme)
                        if out:
                            os.makedirs(out, exist_ok=True)
                            page.shoot(f"{out}/{name}-{width}{'' if scheme == 'light' else '-dark'}.png")
                        page.evaluate(OPEN)
                        bad += [f"{b}, opened" for b in browser.found(page, axe) if b not in bad]
                        if name.startswith("not-found"):
                            bad = [b for b in bad if "404" not in b]
                        found += len(bad)
                        print(f"{name:16} {width:5} {scheme:6} {'ok' if not bad else 'FAIL ' + '; '.join(bad)}")
    finally:
        page.close()
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
