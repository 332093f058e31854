# SPDX-License-Identifier: GPL-2.0
"""A small HTTP server that Prometheus may scrape: one request at a time, one page."""
import http.server
import socket
import urllib.parse

from . import figures
from .text import FormatError
from .tree import ToolError

TYPE = "text/plain; version=0.0.4; charset=utf-8"


class NeverFalling:
    """Keeps counters from falling. A read of a heap in use may miss what was allocated just then,
    and what has been seen before is true of it as well."""

    def __init__(self):
        self.seen = {}

    def __call__(self, pairs):
        """PAIRS: (tree.Heap, stats). Corrects the stats, and forgets heaps that are gone."""
        seen = {}
        for heap, stats in pairs:
            key = heap.name, heap.identity()
            before = self.seen.get(key, {})
            for name in stats:
                stem = name.rpartition("_")[0]
                kind = figures.HEAP.get(name) or figures.BY_CONTEXT.get(stem) or (None,)
                if kind[0] == figures.COUNTER:
                    stats[name] = max(stats[name], before.get(name, 0))
            seen[key] = dict(stats)
        self.seen = seen


def address(word):
    """ADDRESS:PORT, where the address of IPv6 stands in brackets."""
    parts = urllib.parse.urlsplit("//" + word)
    if not parts.hostname or parts.port is None or parts.path or "@" in word:
        raise ValueError(word)
    return parts.hostname, parts.port


def server(where, page):
    """A server at WHERE, an address(); PAGE() makes the text."""
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 10        # a client that says nothing keeps the others waiting

        def do_GET(self):
            if self.path not in ("/metrics", "/"):
                return self.answer(404, "the metrics are in /metrics\n")
            try:
                return self.answer(200, page())
            except (ToolError, FormatError) as error:
                return self.answer(503, "kmheap: %s\n" % error)

        def answer(self, status, text):
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Says nothing."""

    class Server(http.server.HTTPServer):
        address_family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET

    return Server(where, Handler)
