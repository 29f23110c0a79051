"""Apache ZooKeeper from Debian's packages, driven from Python: a server, its Java client, a recording proxy.

What this module knows: how to start and kill a stand-alone server on loopback, how to speak to
InteropClient over its pipes, and how to write the frames that pass through a TCP proxy as text.
What it does not know: any operation's meaning beyond its number, which it needs for comments.
"""

import contextlib
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent
JAVA = "/usr/share/java"
CLASSPATH = ":".join(
    f"{JAVA}/{name}.jar"
    for name in ("zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-simple", "metrics-core", "snappy-java", "servlet-api")
)
JVM = ["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
# InteropClient and Apache's tools keep standard output for their answers.
QUIET = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=error"]

OPS = {
    0: "notification", 1: "create", 2: "delete", 3: "exists", 4: "getData", 5: "setData", 6: "getACL",
    7: "setACL", 8: "getChildren", 9: "sync", 11: "ping", 12: "getChildren2", 13: "check", 14: "multi",
    15: "create2", 16: "reconfig", 17: "checkWatches", 18: "removeWatches", 19: "createContainer",
    20: "deleteContainer", 21: "createTTL", 22: "multiRead", 100: "auth", 101: "setWatches", 102: "sasl",
    103: "getEphemerals", 104: "getAllChildrenNumber", 105: "setWatches2", 106: "addWatch", 107: "whoAmI",
    -10: "createSession", -11: "closeSession",
}
SUPER = "super:golden"


def super_digest():
    """The `user:base64(SHA1(user:password))` form of SUPER."""
    import base64
    import hashlib

    return "super:" + base64.b64encode(hashlib.sha1(SUPER.encode()).digest()).decode()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One server over `data`, killed without mercy at the end unless `stop` came first.

    Stand-alone, unless `config` names a dynamic file (`dynamicConfigFile`, with its client port as `dynamicPort`).
    A setting of None takes a default out.
    """

    def __init__(self, data, properties=(), config=(), admin=False, serving=True):
        config = dict(config)
        self.port = int(config.pop("dynamicPort", 0)) or free_port()
        self.admin_port = free_port()
        self.data = pathlib.Path(data)
        self.data.mkdir(parents=True, exist_ok=True)
        cfg = self.data.parent / (self.data.name + ".cfg")
        lines = {
            "tickTime": "2000", "initLimit": "10", "syncLimit": "5", "dataDir": str(self.data),
            "clientPort": str(self.port), "clientPortAddress": "127.0.0.1", "maxClientCnxns": "0",
            "4lw.commands.whitelist": "*", "admin.enableServer": "true" if admin else "false",
            "admin.serverAddress": "127.0.0.1", "admin.serverPort": str(self.admin_port),
        }
        lines.update(config)
        cfg.write_text("".join(f"{k}={v}\n" for k, v in lines.items() if v is not None))
        flags = {
            "zookeeper.preAllocSize": "16", "zookeeper.extendedTypesEnabled": "true",
            "zookeeper.DigestAuthenticationProvider.superDigest": super_digest(),
            "znode.container.checkIntervalMs": "100000000",
        }
        flags.update(dict(properties))
        self.log = open(self.data.parent / (self.data.name + ".log"), "ab")
        self.process = subprocess.Popen(
            ["java", *JVM, *(f"-D{k}={v}" for k, v in flags.items() if v is not None), "-cp", CLASSPATH,
             "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
             "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(cfg)],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, cwd=self.data.parent)
        for _ in range(300):
            with contextlib.suppress(OSError):
                if self.four("ruok", wait=1) == b"imok" and (not serving or b"Mode:" in self.four("srvr", wait=1)):
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"server did not start; see {self.log.name}")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def four(self, word, wait=10):
        """The whole answer to a four-letter word."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as s:
            s.sendall(word.encode() if isinstance(word, str) else word)
            answer = b""
            while chunk := s.recv(65536):
                answer += chunk
            return answer

    def admin(self, command):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/commands/{command}") as answer:
            return answer.read()

    def kill(self):
        """SIGKILL: what is on disk is what a crash leaves."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
        self.log.close()


class Failed(Exception):
    """An error answer of InteropClient."""

    def __init__(self, answer):
        super().__init__(answer)
        self.answer = answer


def enc(word):
    """Percent-encodes one word; text outside ASCII as UTF-8."""
    return urllib.parse.quote(word, safe="/:,=@-._~")


class Java:
    """InteropClient in its own process."""

    def __init__(self, classes):
        self.process = subprocess.Popen(
            ["java", *JVM, *QUIET, "-cp", f"{classes}:{CLASSPATH}", "InteropClient"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")

    def send(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("InteropClient ended")
        return json.loads(line)

    def __call__(self, *words):
        answer = self.send(*words)
        if "error" in answer:
            raise Failed(answer)
        return answer["ok"]

    def fails(self, *words):
        """Runs a command that must be refused; returns the error's name."""
        answer = self.send(*words)
        if "error" not in answer:
            raise AssertionError(f"{words} succeeded: {answer}")
        return answer["error"]

    def halt(self):
        """Ends the process with its sessions open."""
        self.process.stdin.write("halt\n")
        self.process.stdin.flush()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def java():
    """Compiles InteropClient and runs it."""
    with tempfile.TemporaryDirectory() as classes:
        subprocess.run(["javac", "-cp", CLASSPATH, "-d", classes, str(HERE / "InteropClient.java")], check=True)
        with Java(classes) as client:
            yield client


class Recording:
    """A text file of frames; see ../README.md for the format."""

    def __init__(self, path, title):
        self.path = pathlib.Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lines = [f"# {line}" for line in title.strip().splitlines()]
        self.lock = threading.Lock()
        self.types = {}
        self.fresh = {">": True, "<": True}

    def note(self, text):
        with self.lock:
            self.lines.append(f"# {text}")

    def connection(self):
        with self.lock:
            self.lines.append("+")
            self.types = {}
            self.fresh = {">": True, "<": True}

    def closed(self, side):
        with self.lock:
            self.lines.append(f"x {side}")

    def frame(self, direction, payload, odd=False):
        """`odd` frames are marked: a strict decoder is not expected to take them."""
        with self.lock:
            self.lines.append(f"# {self._describe(direction, payload)}")
            self.lines.append(f"{direction}{'?' if odd else ''} {payload.hex()}".rstrip())

    def _describe(self, direction, payload):
        if self.fresh[direction]:
            self.fresh[direction] = False
            return "ConnectRequest" if direction == ">" else "ConnectResponse"
        if direction == ">":
            if len(payload) < 8:
                return "a frame without a whole header"
            xid, kind = struct.unpack(">ii", payload[:8])
            self.types.setdefault(xid, []).append(kind)
            return f"{OPS.get(kind, kind)} xid={xid}"
        xid, zxid, err = struct.unpack(">iqi", payload[:16])
        if xid == -1:
            kind, state = struct.unpack(">ii", payload[16:24])
            return f"notification zxid={zxid:#x} event={kind} state={state}"
        waiting = self.types.get(xid)
        kind = waiting.pop(0) if waiting else None
        return f"reply to {OPS.get(kind, kind)} xid={xid} zxid={zxid:#x} err={err}"

    def save(self):
        with self.lock:
            self.path.write_text("\n".join(self.lines) + "\n")


class Proxy:
    """Forwards one port to the server, a frame at a time, and records what passes."""

    def __init__(self, upstream, recording):
        self.upstream = upstream
        self.recording = recording
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.open = []
        self.running = True
        self.refuse = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while self.running:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.refuse:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.upstream))
            if client.recv(4, socket.MSG_PEEK | socket.MSG_WAITALL) == b"isro":
                # A client of a read-only server looks for a better one; not a session, not recorded.
                server.sendall(client.recv(4))
                client.sendall(server.recv(16))
                client.close()
                server.close()
                continue
            pair = {"sockets": (client, server), "over": threading.Lock(), "done": threading.Event()}
            self.open.append(pair)
            self.recording.connection()
            threading.Thread(target=self._pump, args=(pair, client, server, ">"), daemon=True).start()
            threading.Thread(target=self._pump, args=(pair, server, client, "<"), daemon=True).start()

    def _pump(self, pair, source, target, direction):
        try:
            while header := read_exactly(source, 4):
                payload = read_exactly(source, struct.unpack(">i", header)[0])
                if payload is None:
                    break
                self.recording.frame(direction, payload)
                target.sendall(header + payload)
        except OSError:
            pass
        if pair["over"].acquire(blocking=False):
            self.recording.closed("client" if direction == ">" else "server")
            for s in pair["sockets"]:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)
            for s in pair["sockets"]:
                s.close()
            pair["done"].set()

    def cut(self):
        """Breaks every connection; the client will come back unless `refuse` is set."""
        for pair in self.open:
            if pair["over"].acquire(blocking=False):
                self.recording.closed("proxy")
                for s in pair["sockets"]:
                    with contextlib.suppress(OSError):
                        s.shutdown(socket.SHUT_RDWR)
                    s.close()
                pair["done"].set()

    def finish(self):
        """Waits for connections to end, then for no more."""
        for pair in self.open:
            pair["done"].wait(3)
        self.running = False
        self.cut()
        self.listener.close()
        self.recording.save()


def read_exactly(source, count):
    """`count` bytes, or None at the end of the stream."""
    data = b""
    while len(data) < count:
        chunk = source.recv(count - len(data))
        if not chunk:
            return None
        data += chunk
    return data


class Raw:
    """A socket for frames that no client would send."""

    def __init__(self, port, recording):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.recording = recording
        self.ended = False
        recording.connection()

    def connect(self, read_only=False, session=0, password=bytes(16), timeout=30000, last_zxid=0, version=0):
        """ConnectRequest; `read_only=None` leaves the last byte out, as clients before 3.4 do."""
        body = struct.pack(">iqiqi", version, last_zxid, timeout, session, len(password)) + password
        if read_only is not None:
            body += struct.pack(">?", read_only)
        self.send(body)
        return self.receive()

    def send(self, payload, odd=False):
        self.recording.frame(">", payload, odd)
        self.socket.sendall(struct.pack(">i", len(payload)) + payload)

    def receive(self, wait=5, odd=False):
        """The next frame, or None when the server has closed or stays silent."""
        if self.ended:
            return None
        self.socket.settimeout(wait)
        try:
            header = read_exactly(self.socket, 4)
            payload = None if header is None else read_exactly(self.socket, struct.unpack(">i", header)[0])
        except socket.timeout:
            self.recording.note("no answer")
            return None
        except ConnectionResetError:
            payload = None
        if payload is None:
            self.ended = True
            self.recording.closed("server")
            return None
        self.recording.frame("<", payload, odd)
        return payload

    def call(self, xid, kind, body=b"", odd=False, odd_reply=False, wait=5):
        self.send(struct.pack(">ii", xid, kind) + body, odd)
        return self.receive(wait, odd_reply)

    def rest(self, wait=1):
        """Takes what still comes; ends with the server's close or silence."""
        while self.receive(wait) is not None:
            pass

    def close(self):
        if not self.ended:
            self.recording.closed("client")
            self.ended = True
        self.socket.close()


def text(value):
    """A jute string or buffer."""
    if value is None:
        return struct.pack(">i", -1)
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">i", len(data)) + data
