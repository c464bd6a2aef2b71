"""TCP proxies in a process of their own, which can hold back what passes or cut it off.

Not for: knowing what lies behind them (stack). Run as a program it obeys lines on stdin: "listen NAME PORT TARGET",
"stall NAME", "cut NAME", "open NAME"; each is answered with one line.
"""

import pathlib
import socket
import struct
import subprocess
import sys
import threading


class Link:
    """One listening port and the connections through it."""

    def __init__(self, port, target):
        self.target = target
        self.flowing = threading.Event()
        self.flowing.set()
        self.refusing = False
        self.lock = threading.Lock()
        self.sockets = set()
        self.server = socket.create_server(("127.0.0.1", port), backlog=128)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.server.accept()
            if self.refusing:
                self.reset(client)
                continue
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        self.flowing.wait()
        try:
            upstream = socket.create_connection(("127.0.0.1", self.target), timeout=10)
        except OSError:
            self.reset(client)
            return
        upstream.settimeout(None)
        for s in (client, upstream):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            if self.refusing:
                self.reset(client)
                self.reset(upstream)
                return
            self.sockets.update((client, upstream))
        back = threading.Thread(target=self.pump, args=(upstream, client), daemon=True)
        back.start()
        self.pump(client, upstream)
        back.join()
        with self.lock:
            self.sockets.difference_update((client, upstream))
        client.close()
        upstream.close()

    def pump(self, a, b):
        try:
            while True:
                data = a.recv(1 << 17)
                self.flowing.wait()
                if not data:
                    break
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    @staticmethod
    def reset(s):
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
        except OSError:
            pass

    def stall(self):
        self.flowing.clear()

    def cut(self):
        self.refusing = True
        with self.lock:
            for s in self.sockets:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def open(self):
        self.refusing = False
        self.flowing.set()


def serve():
    links = {}
    for line in sys.stdin:
        words = line.split()
        try:
            if words[0] == "listen":
                links[words[1]] = Link(int(words[2]), int(words[3]))
            else:
                getattr(links[words[1]], {"stall": "stall", "cut": "cut", "open": "open"}[words[0]])()
            print("ok", flush=True)
        except (OSError, KeyError) as error:
            print(f"failed: {error!r}", flush=True)


class Proxies:
    """The other side of the pipe: starts the process and tells it what to do. One thread at a time."""

    def __init__(self):
        self.names = []
        self.process = subprocess.Popen([sys.executable, str(pathlib.Path(__file__))], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)

    def tell(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != "ok":
            raise RuntimeError(f"proxy: {words}: {answer or 'it has ended'}")

    def listen(self, name, port, target):
        self.tell("listen", name, port, target)
        self.names.append(name)

    def stop(self):
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait()


if __name__ == "__main__":
    serve()
