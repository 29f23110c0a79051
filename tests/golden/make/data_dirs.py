"""Makes ../data/*: data directories that Apache's server left behind, and Apache's own view of each.

Every server is killed while sessions are open. Run with names to make only those; README.md says what is needed.
"""

import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time

from apache import CLASSPATH, GOLDEN, JVM, QUIET, SUPER, Proxy, Raw, Recording, Server, enc, free_port, java, text

OUT = GOLDEN / "data"
TOOL = ["java", *JVM, *QUIET, "-Duser.timezone=UTC", "-cp", CLASSPATH]


class Keeper:
    """One data directory in the making: a home for the server, and the session `s` with super rights."""

    def __init__(self, name, client):
        self.name = name
        self.j = client
        self.home = tempfile.TemporaryDirectory()
        self.data = pathlib.Path(self.home.name) / "data"

    def serve(self, **options):
        server = Server(self.data, admin=True, **options)
        self.j("open", "s", server.address, 40000)
        self.j("auth", "s", "digest", SUPER)
        return server

    def leave(self, server):
        """Writes down what the tree is, kills the server and keeps what is on disk."""
        target = OUT / self.name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        nodes = self.j("dump", "s")
        # The dump is of one moment only if nothing else changed meanwhile.
        assert nodes == self.j("dump", "s")
        lines = ",\n".join(json.dumps(node, ensure_ascii=True) for node in nodes)
        (target / "tree.json").write_text(f"[\n{lines}\n]\n")
        for word in ("srvr", "dump", "hash"):
            (target / f"{word}.txt").write_bytes(server.four(word))
        (target / "hash.json").write_bytes(server.admin("hash"))
        server.kill()
        shutil.copytree(self.data / "version-2", target / "version-2")
        files = [target / "version-2" / file.name for file in self.data.glob("version-2/*")]
        newest = max((file for file in files if file.name.startswith("snapshot.")),
                     key=lambda file: int(file.name.split(".")[1], 16))
        write(target, "org.apache.zookeeper.server.SnapshotFormatter", "-d", newest)
        for file in files:
            # Long, and nothing that the others do not have.
            if file.name.startswith("log.") and self.name not in ("gz", "snappy", "sessions"):
                write(target, "org.apache.zookeeper.server.persistence.TxnLogToolkit", "-d", file)

    def drop(self):
        self.j.send("close", "s")
        self.home.cleanup()


def write(target, tool, option, file):
    """What Apache's own tool says about one file, beside it."""
    done = subprocess.run([*TOOL, tool, option, str(file)], capture_output=True)
    (target / f"{file.name}.dump.txt").write_bytes(done.stdout.replace(str(file).encode(), file.name.encode()))
    assert done.returncode == 0, done.stderr


def cli(server, *words):
    """One command of Apache's own zkCli."""
    done = subprocess.run(["java", *JVM, *QUIET, "-cp", CLASSPATH, "org.apache.zookeeper.ZooKeeperMain", "-server",
                           server.address, *words], capture_output=True, text=True)
    assert done.returncode == 0, done


def refused(k, *words):
    k.j.fails(words[0], "s", *words[1:])


def everything(k, server):
    """One of each: every kind of node, ACL, change, refusal and session end."""
    def do(*words):
        return k.j(words[0], "s", *words[1:])

    # Data.
    do("create", "/data", "text:top", "open", "PERSISTENT")
    do("create", "/data/null", "null", "open", "PERSISTENT")
    do("create", "/data/empty", "text:", "open", "PERSISTENT")
    do("create", "/data/binary", "hex:" + bytes(range(256)).hex(), "open", "PERSISTENT")
    do("create", "/data/changed", "text:0", "open", "PERSISTENT")
    for i in range(3):
        do("set", "/data/changed", f"text:{i}", -1)
    do("create", "/data/became-null", "text:x", "open", "PERSISTENT")
    do("set", "/data/became-null", "null", -1)
    do("create", "/data/became-empty", "text:x", "open", "PERSISTENT")
    do("set", "/data/became-empty", "text:", -1)
    do("create", "/data/large", "text:" + "0123456789" * 500, "open", "PERSISTENT")
    do("set", "/", "text:root-data", -1)
    # ACLs.
    do("create", "/acl", "text:", "open", "PERSISTENT")
    do("create", "/acl/world", "text:", "world:anyone:r", "PERSISTENT")
    do("create", "/acl/ip", "text:", "ip:127.0.0.1:rwcda,ip:10.0.0.0/8:r", "PERSISTENT")
    do("create", "/acl/digest", "text:", "digest:alice:aYXlLOpEooaV1cRAvUL1fp9Qt7E=:rwcda", "PERSISTENT")
    k.j("open", "alice", server.address, 30000)
    k.j("auth", "alice", "digest", "alice:secret")
    k.j("create", "alice", "/acl/auth", "text:", "auth::rwcda", "PERSISTENT")
    k.j("auth", "alice", "digest", "bob:other")
    k.j("create", "alice", "/acl/auth-of-two", "text:", "auth::rw,world:anyone:r", "PERSISTENT")
    do("create", "/acl/same-again", "text:", "world:anyone:r", "PERSISTENT")
    do("create", "/acl/nothing", "text:", "world:anyone:", "PERSISTENT")
    do("create", "/acl/changed", "text:", "open", "PERSISTENT")
    do("setacl", "/acl/changed", "world:anyone:ra", -1)
    do("setacl", "/acl/changed", "digest:carol:hash:rwcda,world:anyone:r", 1)
    # Sequences, also after deletes.
    do("create", "/seq", "text:", "open", "PERSISTENT")
    for i in range(4):
        do("create", "/seq/n-", f"text:{i}", "open", "PERSISTENT_SEQUENTIAL")
    do("delete", "/seq/n-0000000001", -1)
    do("delete", "/seq/n-0000000003", 0)
    do("create", "/seq/n-", "text:after", "open", "PERSISTENT_SEQUENTIAL")
    do("create", "/seq/", "text:digits", "open", "PERSISTENT_SEQUENTIAL")
    do("create", "/seq/plain", "text:", "open", "PERSISTENT")
    do("delete", "/seq/plain", -1)
    do("create", "/seq/plain", "text:again", "open", "PERSISTENT")
    # Containers and TTL.
    do("create", "/kinds", "text:", "open", "PERSISTENT")
    do("create", "/kinds/container", "text:c", "open", "CONTAINER")
    do("create", "/kinds/container/child", "text:", "open", "PERSISTENT")
    do("create", "/kinds/container-used", "null", "open", "CONTAINER")
    do("create", "/kinds/container-used/child", "text:", "open", "PERSISTENT")
    do("delete", "/kinds/container-used/child", -1)
    do("create2", "/kinds/ttl", "text:t", "open", "PERSISTENT_WITH_TTL", 1000000000)
    do("create2", "/kinds/ttl-longest", "text:t", "open", "PERSISTENT_WITH_TTL", 0xFFFFFFFFFF)
    do("create2", "/kinds/ttl-seq-", "null", "open", "PERSISTENT_SEQUENTIAL_WITH_TTL", 1000000000)
    do("create", "/kinds/ttl/child", "text:", "open", "PERSISTENT")
    # Names.
    for name in ("ünï", "Ω", "漢字", "нуль", "a b", "~!@$^&*()_+{}|:<>?`-=[];',.", "x" * 300):
        do("create", "/data/" + enc(name), "text:" + enc(name), "open", "PERSISTENT")
    path = "/deep"
    do("create", path, "text:", "open", "PERSISTENT")
    for depth in range(60):
        path += f"/{depth}"
        do("create", path, f"text:{depth}", "open", "PERSISTENT")
    # Several operations as one.
    do("create", "/multi", "text:", "open", "PERSISTENT")
    do("multi", "create", "/multi/a", "text:1", "open", "PERSISTENT", "create", "/multi/b", "null", "open", "PERSISTENT",
       "set", "/multi/a", "text:2", 0, "check", "/multi/a", 1, "delete", "/multi/b", -1,
       "create", "/multi/s-", "text:", "open", "PERSISTENT_SEQUENTIAL", "create", "/multi/e", "text:", "open", "EPHEMERAL",
       "create", "/multi/c", "text:", "open", "CONTAINER", "createttl", "/multi/t", "text:", "open", "PERSISTENT_WITH_TTL",
       1000000000)
    refused(k, "multi", "create", "/multi/x", "text:", "open", "PERSISTENT", "delete", "/multi/none", -1,
            "set", "/multi/a", "text:", -1)
    # Refused writes.
    refused(k, "create", "/data", "text:", "open", "PERSISTENT")
    refused(k, "delete", "/data", -1)
    refused(k, "delete", "/none", -1)
    refused(k, "set", "/data", "text:", 99)
    refused(k, "create", "/none/x", "text:", "open", "PERSISTENT")
    refused(k, "create", "/data/x", "text:", "nosuch:x:r", "PERSISTENT")
    refused(k, "setacl", "/data", "open", 99)
    # Quotas, set by zkCli, then used.
    do("create", "/quota", "text:12345", "open", "PERSISTENT")
    cli(server, "setquota", "-n", "10", "/quota")
    cli(server, "setquota", "-b", "1000", "/quota")
    do("create", "/quota/a", "text:123", "open", "PERSISTENT")
    do("create", "/quota/b", "null", "open", "PERSISTENT")
    do("set", "/quota/a", "text:1234567", -1)
    do("delete", "/quota/b", -1)
    do("create", "/hard", "null", "open", "PERSISTENT")
    cli(server, "setquota", "-N", "10", "/hard")
    cli(server, "setquota", "-B", "1000", "/hard")
    do("create", "/hard/a", "text:123", "open", "PERSISTENT")
    do("create", "/over", "text:12345", "open", "PERSISTENT")
    cli(server, "setquota", "-b", "1", "/over")
    do("create", "/over/a", "text:12345", "open", "PERSISTENT")
    do("create", "/unlimited", "text:12345", "open", "PERSISTENT")
    cli(server, "setquota", "-n", "5", "/unlimited")
    cli(server, "delquota", "/unlimited")
    # Sessions: closed with and without ephemerals, open ones.
    do("create", "/eph", "text:", "open", "PERSISTENT")
    for name, close in (("one", False), ("two", False), ("gone", True)):
        k.j("open", name, server.address, 30000)
        for i in range(3):
            k.j("create", name, f"/eph/{name}-{i}", "text:e", "open", "EPHEMERAL")
        k.j("create", name, "/eph/q-", "text:", "open", "EPHEMERAL_SEQUENTIAL")
        if close:
            k.j("close", name)
    k.j("delete", "one", "/eph/one-1", -1)
    k.j("open", "idle", server.address, 20000)


def hang_up(k):
    """Drops the client process's sessions after the server is gone."""
    for name in ("alice", "one", "two", "idle"):
        k.j.send("close", name)


def fresh(k):
    """A server that never served."""
    server = Server(k.data, admin=True)
    k.j("open", "s", server.address, 30000)
    k.leave(server)


def one_log(k):
    """Everything in one log above an empty snapshot."""
    server = k.serve()
    everything(k, server)
    k.leave(server)
    hang_up(k)


def many_files(k):
    """The same over many snapshots and logs, and a restart in the middle."""
    server = k.serve(properties={"zookeeper.snapCount": "40"})
    everything(k, server)
    server.kill()
    hang_up(k)
    k.j.send("close", "s")
    server = k.serve(properties={"zookeeper.snapCount": "40"})
    for i in range(150):
        k.j("create", "s", f"/seq/{i % 3}-", "text:", "open", "PERSISTENT_SEQUENTIAL")
        time.sleep(0.01)
    k.leave(server)


def compressed(method):
    def make(k):
        server = k.serve(properties={"zookeeper.snapshot.compression.method": method})
        everything(k, server)
        server.kill()
        hang_up(k)
        k.j.send("close", "s")
        server = k.serve(properties={"zookeeper.snapshot.compression.method": method})
        k.leave(server)

    make.__doc__ = f"Everything, in a snapshot compressed by {method}."
    return make


def old_style(k):
    """No digests in log and snapshot, closeSession txns without paths, no TTL nodes: what 3.5 would write."""
    properties = {"zookeeper.digest.enabled": "false", "zookeeper.closeSessionTxn.enabled": "false",
                  "zookeeper.extendedTypesEnabled": None}
    server = k.serve(properties=properties)
    k.j("create", "s", "/a", "text:1", "open", "PERSISTENT")
    k.j("open", "gone", server.address, 30000)
    k.j("create", "gone", "/a/e", "text:1", "open", "EPHEMERAL")
    k.j("close", "gone")
    server.kill()
    k.j.send("close", "s")
    server = k.serve(properties=properties)
    k.j("create", "s", "/b", "text:1", "open", "PERSISTENT")
    k.j("open", "gone", server.address, 30000)
    k.j("create", "gone", "/b/e", "text:1", "open", "EPHEMERAL")
    k.j("create", "gone", "/b/e2", "text:1", "open", "EPHEMERAL")
    k.j("close", "gone")
    k.leave(server)


def reaped(k):
    """What the server removes by itself: an empty container, an old TTL node, an expired session."""
    server = k.serve(properties={"znode.container.checkIntervalMs": "500"})
    k.j("create", "s", "/container", "text:", "open", "CONTAINER")
    k.j("create", "s", "/container/c", "text:", "open", "PERSISTENT")
    k.j("create", "s", "/never-used", "text:", "open", "CONTAINER")
    k.j("create2", "s", "/ttl", "text:", "open", "PERSISTENT_WITH_TTL", 100)
    k.j("create2", "s", "/ttl-kept", "text:", "open", "PERSISTENT_WITH_TTL", 100)
    k.j("create", "s", "/ttl-kept/child", "text:", "open", "PERSISTENT")
    k.j("delete", "s", "/container/c", -1)
    recording = Recording("/dev/null", "")
    proxy = Proxy(server.port, recording)
    k.j("open", "lost", proxy.address, 4000)
    k.j("create", "lost", "/of-expired", "text:", "open", "EPHEMERAL")
    proxy.refuse = True
    proxy.cut()
    for _ in range(100):
        time.sleep(0.2)
        if k.j("exists", "s", "/of-expired") is None and k.j("exists", "s", "/ttl") is None \
                and k.j("exists", "s", "/container") is None:
            break
    else:
        raise RuntimeError("nothing was reaped")
    k.leave(server)
    proxy.finish()
    k.j.send("close", "lost")


def sessions(k):
    """1,000 sessions with 1,000 timeouts, each with an ephemeral node; every third is closed again."""
    server = k.serve(config={"maxSessionTimeout": "1000000"})
    k.j("create", "s", "/e", "text:", "open", "PERSISTENT")
    recording = Recording("/dev/null", "")
    acl = struct.pack(">ii", 1, 31) + text("world") + text("anyone")
    wires = []
    for i in range(1000):
        wire = Raw(server.port, recording)
        wire.connect(timeout=10000 + i)
        wire.call(1, 1, text(f"/e/{i}") + text(None) + acl + struct.pack(">i", 1))
        wires.append(wire)
    for wire in wires[::3]:
        wire.call(2, -11)
    k.leave(server)
    for wire in wires:
        wire.close()


def quorum_of_one(k):
    """A replicated server alone in its ensemble: epochs, and reconfigurations in log and tree."""
    quorum, election = free_port(), free_port()
    k.data.mkdir(parents=True)
    (k.data / "myid").write_text("3\n")

    dynamic = pathlib.Path(k.home.name) / "zoo.dynamic"
    dynamic.write_text(f"server.3=127.0.0.1:{quorum}:{election}:participant;127.0.0.1:{free_port()}\n")
    port = dynamic.read_text().strip().rsplit(":", 1)[1]
    options = {"config": {"standaloneEnabled": "false", "reconfigEnabled": "true", "dynamicConfigFile": str(dynamic),
                          "clientPort": None, "clientPortAddress": None, "dynamicPort": port}}
    server = k.serve(**options)
    k.j("create", "s", "/a", "text:1", "open", "PERSISTENT")
    recording = Recording(GOLDEN / "client-port" / "reconfig-quorum.txt",
                          "reconfig (16) that succeeds, and its refusals, at a replicated server alone in its ensemble.")
    proxy = Proxy(server.port, recording)
    k.j("open", "r", proxy.address, 30000)
    k.j.fails("reconfig", "r", "server.7=127.0.0.1:2:3:observer;127.0.0.1:4", "null", "null", -1)
    k.j("auth", "r", "digest", SUPER)
    recording.note("an observer joins")
    k.j("reconfig", "r", "server.7=127.0.0.1:2:3:observer;127.0.0.1:4", "null", "null", -1)
    k.j("config", "r")
    recording.note("a version that is not the current one")
    k.j.fails("reconfig", "r", "null", "7", "null", 1)
    recording.note("a participant that is not there")
    k.j.fails("reconfig", "r", "server.8=127.0.0.1:5:6:participant;127.0.0.1:7", "null", "null", -1)
    recording.note("not a server line")
    k.j.fails("reconfig", "r", "nonsense", "null", "null", -1)
    recording.note("the last participant leaves")
    k.j.fails("reconfig", "r", "null", "3", "null", -1)
    recording.note("the observer leaves")
    k.j("reconfig", "r", "null", "7", "null", -1)
    k.j("close", "r")
    proxy.finish()
    server.kill()
    k.j.send("close", "s")
    options["config"]["dynamicConfigFile"] = str(max(pathlib.Path(k.home.name).glob("zoo.dynamic*"), key=lambda p: p.stat().st_mtime))
    server = k.serve(**options)
    k.j("create", "s", "/b", "text:1", "open", "PERSISTENT")
    k.leave(server)


DIRECTORIES = {
    "fresh": fresh, "one-log": one_log, "many-files": many_files, "gz": compressed("gz"), "snappy": compressed("snappy"),
    "old-style": old_style, "reaped": reaped, "sessions": sessions, "quorum-of-one": quorum_of_one,
}


def main():
    wanted = sys.argv[1:] or DIRECTORIES
    for name in wanted:
        with java() as client:
            keeper = Keeper(name, client)
            DIRECTORIES[name](keeper)
            keeper.drop()
            print(name, flush=True)


if __name__ == "__main__":
    main()
