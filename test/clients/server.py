"""A model server of the standard library alone: it answers what it is sent.

Variables of the model change it. SLOW is how many seconds an answer takes. BAD is
a text: what becomes of a request that contains it says HOW, which is a status to
answer, or hang, exit, endless (a body without end) or garbage (no HTTP), the first
TIMES times, or always. UNREADY makes /ping answer that status. TALK is how many
lines it prints over the first answers; it then prints its API_TOKEN, once whole and
once in two writes.
"""
import http.server
import os
import sys
import time

SLOW = float(os.environ.get("SLOW", "0"))
BAD, HOW = os.environ.get("BAD", "").encode(), os.environ.get("HOW", "")
left = int(os.environ.get("TIMES", "1000000"))
talk = iter(range(int(os.environ.get("TALK", "0"))))


def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def speak():
    """A few lines of those that are left to print."""
    for _, i in zip(range(5), talk):
        say("talking %d\n" % i)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(int(os.environ.get("UNREADY", "200")) if self.path == "/ping" else 404, b"")

    def do_POST(self):
        global left
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        speak()
        time.sleep(SLOW)
        if BAD and BAD in body and left > 0:
            left -= 1
            self.misbehave()
        else:
            self.answer(200, body)

    def misbehave(self):
        if HOW == "hang":
            time.sleep(3600)
        elif HOW == "exit":
            os._exit(7)
        elif HOW == "endless":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while True:
                self.wfile.write(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
        elif HOW == "garbage":
            self.wfile.write(b"\x00\x01\x02 this is no HTTP\r\n\r\n")
            self.close_connection = True
        else:
            self.answer(int(HOW), b"no %s please\nreally\n" % BAD)

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
    if "API_TOKEN" in os.environ:
        token = os.environ["API_TOKEN"]
        say("my token is %s\n" % token)
        say("in two pieces: " + token[:5])
        time.sleep(0.05)
        say(token[5:] + "\n")
    address = (os.environ.get("SAGEBRUSH_BIND_HOST", ""), int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")))
    http.server.ThreadingHTTPServer(address, Handler).serve_forever()
