# SPDX-License-Identifier: GPL-2.0
"""Chromium without a window, told what to do through a pair of pipes (the DevTools protocol)."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

# No page takes a tenth of this, on a busy host either.
PATIENCE = 80


class Browser:
    """One tab. Used by "with"."""

    def __init__(self, program):
        self.program = program
        self.number = 0
        self.rest = b""
        self.events = []

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="kmheap-browser-")
        told, tell = os.pipe()
        hear, say = os.pipe()

        def pipes():
            """The program reads 3 and writes 4."""
            os.dup2(os.dup(told), 3)
            os.dup2(os.dup(say), 4)

        # Without its sandbox, which root has not: the pages are our own, and have no script.
        self.process = subprocess.Popen(
            [self.program, "--headless=new", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
             "--disable-background-networking", "--disable-extensions",
             "--remote-debugging-pipe", "--user-data-dir=" + self.folder, "about:blank"],
            preexec_fn=pipes, close_fds=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(told)
        os.close(say)
        self.tell, self.hear = tell, hear
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target,
                                 flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(domain + ".enable")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.tell)
        os.close(self.hear)
        shutil.rmtree(self.folder, ignore_errors=True)

    def message(self):
        """The next thing it says."""
        end = time.monotonic() + PATIENCE
        while b"\0" not in self.rest:
            if not select.select([self.hear], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError("the browser says nothing")
            more = os.read(self.hear, 1 << 20)
            if not more:
                raise AssertionError("the browser has ended")
            self.rest += more
        one, _, self.rest = self.rest.partition(b"\0")
        return json.loads(one)

    def call(self, method, **parameters):
        """What it answers to METHOD."""
        self.number += 1
        command = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            command["sessionId"] = self.session
        os.write(self.tell, json.dumps(command).encode() + b"\0")
        while True:
            said = self.message()
            if said.get("id") == self.number:
                if "error" in said:
                    raise AssertionError("%s: %s" % (method, said["error"]))
                return said["result"]
            self.events.append(said)

    def open(self, path, width=1200):
        """Show the file PATH in a window of that WIDTH."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900,
                  deviceScaleFactor=1, mobile=False)
        self.events.clear()
        self.call("Page.navigate", url="file://" + path)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.message())

    def medium(self, scheme, media=""):
        """The reader's system is "light" or "dark"; MEDIA "print": as on paper."""
        self.call("Emulation.setEmulatedMedia", media=media,
                  features=[{"name": "prefers-color-scheme", "value": scheme}])

    def value(self, script):
        """What the expression SCRIPT is in the page."""
        said = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in said:
            raise AssertionError(said["exceptionDetails"])
        return said["result"].get("value")

    def asked_for(self):
        """Addresses that the page has asked for."""
        return [event["params"]["request"]["url"] for event in self.events
                if event.get("method") == "Network.requestWillBeSent"]

    def complaints(self):
        """What it has to say about the page."""
        return [event["params"] for event in self.events
                if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown",
                                           "Runtime.consoleAPICalled")]

    def picture(self, path):
        """All of the page as a PNG file."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(data["data"]))

    def paper(self):
        """All of the page as PDF."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])
