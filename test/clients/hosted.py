"""A model server for endpoints, of the standard library alone: it answers NAME, a
colon and what it is sent.

Variables of the model change it. GATE is a file: /ping answers 503 until it is
there. DIE is a file: the server ends as soon as it is there. LINGER is a file: after
SIGTERM the server ends only when it is there.

A body {"parts": N, "folder": F} is answered in N parts. Behind each part K it waits
until somebody makes the file F/K; {"break": true} breaks the answer off behind the
last.
"""
import http.server
import json
import os
import signal
import sys
import threading
import time

GATE, DIE = os.environ.get("GATE"), os.environ.get("DIE")
LINGER = os.environ.get("LINGER")
PATIENCE = 60  # seconds, for a file


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(503 if GATE and not os.path.exists(GATE) else 200, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if body.startswith(b'{"parts"'):
            self.parts(json.loads(body))
        else:
            self.answer(200, os.environ.get("NAME", "").encode() + b":" + body)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", self.headers.get("Accept", "text/plain"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def parts(self, asked):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for k in range(asked["parts"]):
            part = b"%d of %d\n" % (k, asked["parts"])
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()
            end = time.monotonic() + PATIENCE
            while not os.path.exists(os.path.join(asked["folder"], str(k))) and time.monotonic() < end:
                time.sleep(0.01)
        if asked.get("break"):
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args):
        pass


def watch():
    """Ends the process when DIE is there."""
    while not os.path.exists(DIE):
        time.sleep(0.02)
    os._exit(7)


def end(*_):
    while LINGER and not os.path.exists(LINGER):
        time.sleep(0.02)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    if DIE:
        if os.path.exists(DIE):
            sys.exit("%s is there" % DIE)
        threading.Thread(target=watch, daemon=True).start()
    address = (os.environ.get("SAGEBRUSH_BIND_HOST", ""), int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")))
    http.server.ThreadingHTTPServer(address, Handler).serve_forever()
