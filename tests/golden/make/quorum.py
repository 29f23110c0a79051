"""Records ../quorum/*.txt: what the servers of an ensemble say to each other, on both ports.

Run without arguments for all of them, or with the names of some; README.md says what is needed. Every server finds itself
under its own address and every other under that of a recording proxy, by a hosts file of its own: so all have the same
configuration text, and reconfigurations leave the proxies in place.
"""

import contextlib
import pathlib
import re
import socket
import struct
import sys
import tempfile
import threading
import time

from apache import GOLDEN, SUPER, Failed, Raw, Recording, Server, free_port, java, text

OUT = GOLDEN / "quorum"
TICK = 1000
OPEN_ACL = struct.pack(">ii", 1, 31) + text("world") + text("anyone")


class Wire:
    """One connection between two servers: what passed, in order, and whose end came first."""

    def __init__(self, kind, server):
        self.kind = kind
        self.server = server
        self.passed = []
        self.lock = threading.Lock()
        self.sockets = ()

    def take(self, direction, chunk):
        with self.lock:
            if self.passed and self.passed[-1][0] == direction:
                self.passed[-1][1].extend(chunk)
            else:
                self.passed.append((direction, bytearray(chunk)))

    def lines(self):
        yield f"+ {self.kind} {self.server}"
        for direction, chunk in self.passed:
            yield f"{direction} {chunk.hex()}"


class Relay:
    """Stands in for one port of one server towards all others."""

    def __init__(self, wires, kind, server, at, upstream, told):
        """`told` has pairs: what a dialler tells of where it can be dialled back, and what is passed on instead."""
        self.wires = wires
        self.told = [(own.encode(), relayed.encode()) for own, relayed in told]
        assert all(len(own) == len(relayed) for own, relayed in self.told)
        self.kind = kind
        self.server = server
        self.upstream = upstream
        self.flowing = threading.Event()
        self.flowing.set()
        self.listener = socket.create_server(at, family=socket.AF_INET6 if ":" in at[0] else socket.AF_INET)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                try:
                    server = socket.create_connection(self.upstream)
                except OSError:
                    client.close()
                    continue
                wire = Wire(self.kind, self.server)
                wire.sockets = (client, server)
                self.wires.append(wire)
                threading.Thread(target=self._pump, args=(wire, client, server, ">"), daemon=True).start()
                threading.Thread(target=self._pump, args=(wire, server, client, "<"), daemon=True).start()

    def _pump(self, wire, source, target, direction):
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                self.flowing.wait()
                target.sendall(self._passed_on(chunk) if direction == ">" and not wire.passed else chunk)
                wire.take(direction, chunk)
        for s in wire.sockets:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def _passed_on(self, chunk):
        for own, relayed in self.told:
            chunk = chunk.replace(own, relayed)
        return chunk

    def cut(self):
        """Ends every connection; what was held back is lost."""
        for wire in [wire for wire in self.wires if (wire.kind, wire.server) == (self.kind, self.server)]:
            for s in wire.sockets:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)


class Ensemble:
    """Servers 1 to `count`; `line` makes a server's line of its number, its ports and its client port."""

    running = []

    def __init__(self, home, client, count, line, settings="", properties=(), names=("zk{}",)):
        self.running.append(self)
        self.home = pathlib.Path(home)
        self.j = client
        self.names = names
        self.properties = dict(properties)
        self.settings = settings
        self.wires = []
        self.relays = {}
        self.servers = {}
        self.clients = {}
        self.lines = {}
        for i in range(1, count + 1):
            quorum, election, self.clients[i] = free_port(), free_port(), free_port()
            self.lines[i] = line(i, quorum, election, self.clients[i])
            for n in range(len(names)):
                for kind, port in (("quorum", quorum), ("election", election)):
                    at, upstream = (self.relayed(i, n), port), (self.own(i, n), port)
                    self.relays[kind, i, n] = Relay(self.wires, kind, i, at, upstream, [("127.0.1", "127.0.2")])

    @staticmethod
    def own(i, n):
        return f"127.0.1{n}.{i}"

    @staticmethod
    def relayed(i, n):
        return f"127.0.2{n}.{i}"

    def start(self, *ids, lines=None, serving=True):
        """Starts servers; `lines` says what each finds in its configuration, if not what all do."""
        for i in ids:
            self._start(i, lines(i) if lines else self.lines)
        for i in ids if serving else ():
            self.wait_for_mode(i)

    def _start(self, i, lines):
        data = self.home / f"server{i}"
        data.mkdir(exist_ok=True)
        (data / "myid").write_text(f"{i}\n")
        hosts = self.home / f"hosts{i}"
        hosts.write_text("".join(
            f"{self.own(k, n) if k == i else self.relayed(k, n)} {name.format(k)}\n"
            for k in self.lines for n, name in enumerate(self.names)
        ) + f"127.0.0.1 localhost {socket.gethostname()}\n")
        config = self.home / f"server{i}.cfg"
        dynamic = self.newest_dynamic(i)
        settings = {} if dynamic else dict(line.split("=", 1) for line in self.settings.split())
        if dynamic:
            settings["dynamicConfigFile"] = str(dynamic)
        else:
            settings.update({f"server.{k}": value for k, value in lines.items()})
        if ":observer" in self.lines[i]:
            settings["peerType"] = "observer"
        settings.update({
            "standaloneEnabled": "false", "tickTime": str(TICK),
            "clientPort": None, "clientPortAddress": None, "dynamicPort": str(self.clients[i]),
        })
        settings.setdefault("reconfigEnabled", "true")
        config.unlink(missing_ok=True)
        properties = {"jdk.net.hosts.file": str(hosts), "zookeeper.multiAddress.reachabilityCheckEnabled": "false",
                      **self.properties}
        self.servers[i] = Server(data, properties=properties, config=settings, serving=False)

    def newest_dynamic(self, i):
        found = self.home.glob(f"server{i}.cfg.dynamic.*")
        return max(found, key=lambda path: path.stat().st_mtime, default=None)

    def mode(self, i):
        with contextlib.suppress(OSError):
            found = re.search(rb"Mode: (\w+)", self.servers[i].four("srvr"))
            return found and found[1].decode()

    def wait_for_mode(self, i, seconds=60):
        for _ in range(seconds * 10):
            if mode := self.mode(i):
                return mode
            time.sleep(0.1)
        raise RuntimeError(f"server {i} does not serve; see {self.servers[i].log.name}")

    def leader(self):
        leaders = [i for i in self.servers if self.mode(i) == "leader"]
        assert len(leaders) == 1, leaders
        return leaders[0]

    def kill(self, i):
        self.servers.pop(i).kill()

    def address(self, i):
        return f"127.0.0.1:{self.clients[i]}"

    def session(self, name, i, timeout=20000, *options):
        self.j("open", name, self.address(i), timeout, *options)

    def end(self):
        while self.servers:
            self.kill(next(iter(self.servers)))
        for relay in self.relays.values():
            relay.listener.close()
            relay.cut()

    def finish(self, name, title):
        self.end()
        time.sleep(0.2)
        lines = [f"# {line}" for line in title.strip().splitlines()]
        for wire in self.wires:
            if wire.passed:
                lines.extend(wire.lines())
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / f"{name}.txt").write_text("\n".join(lines) + "\n")


def named(role="participant"):
    return lambda i, quorum, election, client: f"zk{i}:{quorum}:{election}:{role};127.0.0.1:{client}"


def with_observer(i, quorum, election, client):
    return named("observer" if i == 4 else "participant")(i, quorum, election, client)


def life(home, client):
    """Three participants and an observer: everything of an ordinary life."""
    e = Ensemble(home, client, 4, with_observer, properties={"zookeeper.snapshot.trust.empty": "true",
                                                             "zookeeper.snapshotSizeFactor": "-1"})
    e.start(1, 2, 3)
    leader = e.leader()
    follower, other = (i for i in (1, 2, 3) if i != leader)
    e.session("a", follower)
    e.j("auth", "a", "digest", "user:secret")
    e.j("create", "a", "/a", "text:1", "open", "PERSISTENT")
    e.j("create", "a", "/e", "text:1", "open", "EPHEMERAL")
    for i in range(3):
        e.j("set", "a", "/a", f"text:{i}", -1)
    e.j("multi", "a", "create", "/a/b", "text:", "open", "PERSISTENT", "check", "/a", -1)
    e.j.fails("delete", "a", "/none", -1)
    e.j("sync", "a", "/a")
    e.session("l", leader)
    e.j("create", "l", "/l", "null", "open", "PERSISTENT")
    revalidate(e, follower, other)
    # The observer has nothing, and the log is not asked: a snapshot.
    e.start(4)
    e.session("o", 4)
    e.j("create", "o", "/o", "text:1", "open", "PERSISTENT")
    e.j("sync", "o", "/o")
    revalidate(e, 4, other)
    time.sleep(2 * TICK / 1000)
    # One follower misses a few: a difference, in PROPOSAL and COMMIT pairs; so does the observer.
    e.kill(other)
    e.kill(4)
    for i in range(3):
        e.j("set", "a", "/a", f"text:{i}", -1)
    e.start(other, 4)
    # A reconfiguration: the observer changes its line.
    e.j("auth", "l", "digest", SUPER)
    e.j("reconfig", "l", e.lines[4].split(";")[0].join(("server.4=", f";127.0.0.1:{free_port()}")), "null", "null", -1)
    e.j("set", "a", "/a", "text:after", -1)
    time.sleep(TICK / 1000)
    for name in "alo":
        with contextlib.suppress(Failed):
            e.j("close", name)
    e.finish("life", life.__doc__)


def revalidate(e, first, second):
    """A session moves from one server to another, and an ended one tries to."""
    e.session("m", first)
    moving = e.j("session", "m")
    name = f"{moving['id']}:{moving['password']}"
    e.session("n", second, 20000, name)
    e.session("p", first, 20000, name)
    e.j("close", "p")
    with contextlib.suppress(Failed):
        e.session("q", second, 20000, name)


def trunc(home, client):
    """A leader logs what no quorum has, dies, and comes back: it must forget."""
    e = Ensemble(home, client, 3, named())
    e.start(1, 2, 3)
    leader = e.leader()
    raw = Raw(e.clients[leader], Recording(pathlib.Path(home) / "unused.txt", ""))
    raw.connect()
    raw.call(1, 1, text("/kept") + text(None) + OPEN_ACL + struct.pack(">i", 0))
    e.relays["quorum", leader, 0].flowing.clear()
    raw.send(struct.pack(">ii", 2, 1) + text("/lost") + text(None) + OPEN_ACL + struct.pack(">i", 0))
    time.sleep(0.5)
    e.kill(leader)
    e.relays["quorum", leader, 0].cut()
    e.relays["quorum", leader, 0].flowing.set()
    time.sleep(2 * TICK / 1000)
    others = [i for i in (1, 2, 3) if i != leader]
    for i in others:
        e.wait_for_mode(i)
    # Only while the new epoch has no transaction is the answer TRUNC; afterwards it is SNAP.
    e.start(leader)
    e.session("a", others[0])
    e.j("create", "a", "/next", "text:1", "open", "PERSISTENT")
    time.sleep(0.5)
    e.finish("trunc", trunc.__doc__)


def handover(home, client):
    """Reconfigurations: a participant joins, the leader leaves, and another is designated."""
    e = Ensemble(home, client, 4, named())
    e.start(1, 2, 3, lines=lambda _: {i: e.lines[i] for i in (1, 2, 3)})
    e.start(4, serving=False)
    leader = e.leader()
    others = [i for i in (1, 2, 3) if i != leader]
    e.session("a", others[0])
    e.j("auth", "a", "digest", SUPER)
    e.j("reconfig", "a", f"server.4={e.lines[4]}", "null", "null", -1)
    e.wait_for_mode(4)
    with contextlib.suppress(Failed):  # The election that follows may cut the client off.
        e.j("reconfig", "a", "null", leader, "null", -1)
    for i in (*others, 4):
        e.wait_for_mode(i)
    e.session("b", 4)
    e.j("create", "b", "/b", "text:1", "open", "PERSISTENT")
    e.finish("handover", handover.__doc__)


def addresses(home, client):
    """Two addresses a server: the second form of the initial message."""
    def line(i, quorum, election, client):
        return f"zk{i}a:{quorum}:{election}|zk{i}b:{quorum}:{election}:participant;127.0.0.1:{client}"

    e = Ensemble(home, client, 3, line, names=("zk{}a", "zk{}b"), properties={"zookeeper.multiAddress.enabled": "true"})
    e.start(1, 2, 3)
    e.finish("addresses", addresses.__doc__)


def groups(home, client):
    """A hierarchical quorum: groups and weights in the text, a server of weight zero."""
    e = Ensemble(home, client, 3, named(), settings="group.1=1 group.2=2:3 weight.3=0")
    e.start(1, 2, 3)
    e.finish("groups", groups.__doc__)


def ipv6(home, client):
    """Addresses of IPv6 in place of names. Without reconfigurations, as every server has lines of its own."""
    e = Ensemble(home, client, 3, named(), names=(), settings="reconfigEnabled=false")
    own, relayed = ({i: (free_port(), free_port()) for i in e.clients} for _ in range(2))
    told = [(f"]:{own[i][1]}", f"]:{relayed[i][1]}") for i in e.clients]
    for i in e.clients:
        for n, kind in enumerate(("quorum", "election")):
            at, upstream = ("::1", relayed[i][n]), ("::1", own[i][n])
            e.relays[kind, i, 0] = Relay(e.wires, kind, i, at, upstream, told)

    def lines(me):
        ports = {i: own[i] if i == me else relayed[i] for i in e.clients}
        return {i: f"[::1]:{ports[i][0]}:{ports[i][1]};127.0.0.1:{e.clients[i]}" for i in e.clients}

    e.start(1, 2, 3, lines=lines)
    e.finish("ipv6", ipv6.__doc__)


JAAS = """
QuorumServer { org.apache.zookeeper.server.auth.DigestLoginModule required user_golden="secret"; };
QuorumLearner { org.apache.zookeeper.server.auth.DigestLoginModule required username="golden" password="secret"; };
"""


def sasl(home, client):
    """Servers that log in at each other, with DIGEST-MD5, on both ports."""
    jaas = pathlib.Path(home) / "jaas.conf"
    jaas.write_text(JAAS)
    settings = "quorum.auth.enableSasl=true quorum.auth.learnerRequireSasl=true quorum.auth.serverRequireSasl=true"
    e = Ensemble(home, client, 3, named(), settings=settings, properties={"java.security.auth.login.config": str(jaas)})
    e.start(1, 2, 3)
    e.finish("sasl", sasl.__doc__)


SCENARIOS = {"life": life, "trunc": trunc, "handover": handover, "addresses": addresses, "groups": groups,
             "ipv6": ipv6, "sasl": sasl}


def main():
    for name in sys.argv[1:] or SCENARIOS:
        with java() as client, tempfile.TemporaryDirectory() as home:
            try:
                SCENARIOS[name](home, client)
            finally:
                for ensemble in Ensemble.running:
                    ensemble.end()
            print(name, flush=True)


if __name__ == "__main__":
    main()
