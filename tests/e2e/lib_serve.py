"""A `ste serve` for tests: with Server(ste, runs) as s: s.url is where it answers."""
import re
import subprocess
import urllib.error
import urllib.request


class Server:
    def __init__(self, ste, runs, *flags):
        self.process = subprocess.Popen([ste, "serve", "--runs", runs, "--port", "0", *flags], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.url, said = None, []
        for line in self.process.stdout:
            said.append(line)
            found = re.search(r"http://[\w.:\[\]]+", line)
            if found:
                self.url = found[0].rstrip("/.:")
                return
        raise RuntimeError("ste serve did not begin: " + "".join(said))

    def get(self, path, **headers):
        """Status, headers and bytes of a page, whatever the status."""
        request = urllib.request.Request(self.url + path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read()

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.process.terminate()
        self.process.communicate(timeout=60)
