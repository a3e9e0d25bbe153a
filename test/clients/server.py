"""A model server of the standard library alone: it answers what it is sent.

Variables of the model change it: SLOW is how many seconds an answer takes.
"""
import http.server
import os
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(float(os.environ.get("SLOW", "0")))
        self.answer(200, body)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    if sys.argv[1:] != ["serve"]:
        sys.exit("the only argument is serve")
    address = (os.environ.get("SAGEBRUSH_BIND_HOST", ""), int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")))
    http.server.ThreadingHTTPServer(address, Handler).serve_forever()
