"""report_chromium.py OUT FILE...: reports as pages (`ste report RUN --html FILE` and the like), in Debian's Chromium.

At 390, 1024 and 1600 pixels and in both colour schemes: no error in the console, no request at all, no page wider than
its window, nothing serious that axe-core finds with all that is folded opened, headings in order. Screenshots go to the
folder OUT. Exits 1 if something was found.
"""
import os
import pathlib
import sys

import browser

OPEN = "document.querySelectorAll('details').forEach(d => d.open = true)"


def main():
    out, files = sys.argv[1], sys.argv[2:]
    os.makedirs(out, exist_ok=True)
    axe, found = browser.load_axe(), 0
    page = browser.Browser()
    try:
        for file in files:
            url = pathlib.Path(file).resolve().as_uri()
            for width in browser.SIZES:
                for scheme in ("light", "dark"):
                    bad = browser.check(page, axe, url, width, scheme)
                    name = f"{out}/{pathlib.Path(file).stem}-{width}{'' if scheme == 'light' else '-dark'}.png"
                    page.shoot(name, whole=True)
                    page.evaluate(OPEN)
                    bad += [f"{b}, opened" for b in browser.found(page, axe) if b not in bad]
                    found += len(bad)
                    print(f"{pathlib.Path(file).name:24} {width:5} {scheme:6} {'ok' if not bad else 'FAIL ' + '; '.join(bad)}")
    finally:
        page.close()
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
