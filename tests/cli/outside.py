"""A proxy that lets nothing through, and remembers who was asked for: everything but the gateway."""

import contextlib
import socketserver
import threading


class Refuse(socketserver.StreamRequestHandler):
    def handle(self):
        words = self.rfile.readline(65536).decode("latin-1").split()
        if len(words) > 1:
            self.server.asked.append(words[1])
        while self.rfile.readline(65536).strip():
            pass
        self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A caller that hangs up is none of our business."""


class Outside:
    def __init__(self, server: Server):
        self.server = server
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    def asked_for(self) -> set[str]:
        """Hosts, without their port, since the last time."""
        asked, self.server.asked = self.server.asked, []
        return {target.split("//")[-1].split("/")[0].rsplit(":", 1)[0] for target in asked}


@contextlib.contextmanager
def outside():
    with Server(("127.0.0.1", 0), Refuse) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Outside(server)
        server.shutdown()
