"""Pages in Debian's Chromium, headless, by its DevTools protocol: what they say in the console, whether they are wider
than their window, what axe-core finds. The venv has websocket-client and axe-playwright-python, which carries axe.min.js.
"""
import base64
import importlib.util
import itertools
import json
import os
import re
import subprocess
import tempfile
import time
import urllib.request

import websocket

SIZES = (390, 1024, 1600)


class Browser:
    """One page of a headless Chromium, by its DevTools protocol."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
             "--remote-allow-origins=*", "--hide-scrollbars", f"--user-data-dir={self.folder.name}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = f"{self.folder.name}/DevToolsActivePort"
        until = time.time() + 60
        while not (os.path.exists(port) and os.path.getsize(port)) and time.time() < until:
            time.sleep(0.1)
        address = f"http://127.0.0.1:{open(port).readline().strip()}/json/list"
        page = [p for p in json.load(urllib.request.urlopen(address)) if p["type"] == "page"][0]
        self.socket = websocket.create_connection(page["webSocketDebuggerUrl"], timeout=120)
        self.ids, self.events = itertools.count(1), []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        number = next(self.ids)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self.socket.recv())
            if said.get("id") == number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']}")
                return said["result"]
            self.events.append(said)

    def evaluate(self, script):
        got = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in got:
            raise RuntimeError(got["exceptionDetails"])
        return got["result"].get("value")

    def open(self, url, width, scheme):
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=url)
        until = time.time() + 60
        while self.evaluate("document.readyState + location.href") != "complete" + url and time.time() < until:
            time.sleep(0.05)

    def shoot(self, path, whole=False):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        height = min(size["height"], 12000 if whole else 1400)
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)["data"]
        open(path, "wb").write(base64.b64decode(data))

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def complaints(browser, url):
    """What the browser said of the page at URL, which is open, and what it asked for elsewhere."""
    http = re.match(r"https?://[^/]+/", url)
    for event in browser.events:
        method, p = event.get("method"), event.get("params", {})
        if method == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
            yield f"log: {p['entry']['text']}"
        elif method == "Runtime.exceptionThrown":
            yield f"exception: {p['exceptionDetails']['text']}"
        elif method == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"):
            yield f"console: {p['args']}"
        elif method == "Network.loadingFailed" and not p.get("canceled"):
            yield f"a request failed: {p['errorText']}"
        elif method == "Network.requestWillBeSent":
            to = p["request"]["url"]
            if not (to == url or to.startswith(("data:", "blob:")) or (http and to.startswith(http[0]))):
                yield f"a request elsewhere: {to}"


AXE = """axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(v =>
    [v.impact, v.id, v.nodes.length, v.nodes[0].html.slice(0, 200), v.nodes[0].failureSummary.slice(0, 300)]))"""
WIDE = """[document.documentElement.scrollWidth, innerWidth, [...document.querySelectorAll("main *")].filter(
    e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".wide")).slice(0, 3).map(e => e.outerHTML.slice(0, 120))]"""
HEADINGS = """[...document.querySelectorAll("h1,h2,h3,h4,h5")].map(h => +h.tagName[1])"""


def check(browser, axe, url, width, scheme):
    """Opens URL, and lists what is wrong."""
    browser.open(url, width, scheme)
    return list(complaints(browser, url)) + found(browser, axe)


def found(browser, axe):
    """What is wrong with the page as it stands."""
    bad = []
    scroll, window, wide = browser.evaluate(WIDE)
    if scroll > window:
        bad.append(f"{scroll} pixels wide: {wide}")
    levels = browser.evaluate(HEADINGS)
    if levels[:1] != [1] or levels.count(1) != 1 or any(b > a + 1 for a, b in zip(levels, levels[1:])):
        bad.append(f"headings {levels}")
    browser.evaluate(axe + "; 0")
    for impact, name, n, html, why in browser.evaluate(AXE):
        print(f"  axe {impact}: {name}, {n} times, as {html}\n    {why}")
        if impact in ("serious", "critical"):
            bad.append(f"axe: {name}")
    return bad


def load_axe():
    spec = importlib.util.find_spec("axe_playwright_python")
    return open(f"{list(spec.submodule_search_locations)[0]}/axe.min.js").read()
