"""A TCP proxy that can be everything that a dependency does on a bad day."""
import contextlib
import os
import socket
import struct
import threading

from wait import free_port

RESET = struct.pack("ii", 1, 0)


class FaultProxy:
    """Stands before `port`. `mode`: "pass"; "slow": each piece towards the client waits `delay` s; "refused"; "reset"; "silent": connections are there and nothing comes through any
    more; "garbage": other bytes than those of the server."""

    def __init__(self, port, delay=0.15):
        self.target, self.delay, self.mode = port, delay, "pass"
        self.lock, self.changed = threading.Lock(), threading.Condition()
        self.open = set()
        self.port = free_port()
        self.listener = self.listen()

    def listen(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()
        return listener

    def set(self, mode):
        """What is open is cut where the mode says so; and what was silent is cut when that ends, as by a firewall that has forgotten it."""
        with self.changed:
            before, self.mode = self.mode, mode
            if before in ("silent", "garbage"):  # before anything that was held back goes on
                self.cut()
            self.changed.notify_all()
        if before == "refused" and mode != "refused":
            self.listener = self.listen()
        if mode == "refused":
            self.stop_listening()
        if mode in ("refused", "reset", "garbage") or before in ("silent", "garbage"):
            self.cut()

    def stop_listening(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def cut(self):
        with self.lock:
            victims, self.open = self.open, set()
        for one in victims:
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                one.shutdown(socket.SHUT_RDWR)

    def accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                if self.mode == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    client.close()
                    continue
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.target), 10)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        with self.lock:
            self.open |= {client, server}
        if self.mode in ("refused", "reset"):  # it was accepted before that, and cut() had not seen it
            self.cut()
        other = threading.Thread(target=self.pump, args=(client, server, False), daemon=True)
        other.start()
        self.pump(server, client, True)
        other.join()
        with self.lock:
            self.open -= {client, server}
        client.close()
        server.close()

    def pump(self, source, sink, to_client):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self.changed:
                    self.changed.wait_for(lambda: self.mode != "silent")
                    if self.mode == "slow" and to_client:
                        self.changed.wait_for(lambda: self.mode != "slow", self.delay)
                if self.mode == "garbage" and to_client:
                    data = os.urandom(len(data))
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.set("pass")
        self.stop_listening()
        self.cut()
