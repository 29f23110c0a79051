"""Records ../client-port/*.txt: every operation between Apache's clients and Apache's server.

Run without arguments for all of them; README.md says what is needed. One scenario is one file.
"""

import contextlib
import os
import pathlib
import shutil
import struct
import sys
import tempfile
import time

from apache import GOLDEN, SUPER, Proxy, Raw, Recording, Server, enc, free_port, java, text

OUT = GOLDEN / "client-port"
OPEN_ACL = struct.pack(">ii", 1, 31) + text("world") + text("anyone")
READ_ACL = struct.pack(">ii", 1, 1) + text("world") + text("anyone")


class World:
    """A server, the Java client, and one session `s` with super rights that prepares things unrecorded."""

    def __init__(self, server, client):
        self.server = server
        self.j = client
        self.opened = 0

    def prepare(self, *words):
        return self.j(words[0], "s", *words[1:])

    @contextlib.contextmanager
    def session(self, name, title, *options, close=True):
        """Records one session of the Java client, from connect to close, in `name`.txt."""
        recording = Recording(OUT / f"{name}.txt", title)
        proxy = Proxy(self.server.port, recording)
        self.j("open", "c", proxy.address, 30000, *options)

        def run(*words, fails=None, note=None):
            if note:
                recording.note(note)
            if fails:
                error = self.j.fails(words[0], "c", *words[1:])
                assert fails in error, (words, error, fails)
                return error
            return self.j(words[0], "c", *words[1:])

        run.recording = recording
        run.proxy = proxy
        yield run
        time.sleep(0.05)
        if close:
            self.j.send("close", "c")
        proxy.finish()
        print(name)

    @contextlib.contextmanager
    def raw(self, name, title, connect=True):
        """Records a handmade connection in `name`.txt."""
        recording = Recording(OUT / f"{name}.txt", title)
        wire = Raw(self.server.port, recording)
        if connect:
            wire.connect()
        yield wire
        wire.close()
        recording.save()
        print(name)


def connecting(w):
    with w.session("connect", "Connect and close by the Java client: readOnly=false."):
        pass
    with w.session("connect-readonly-allowed", "Connect with readOnly=true to a read-write server.", "ro"):
        pass

    rec = Recording(OUT / "connect-without-readonly-byte.txt",
                    "A client from before 3.4 leaves the readOnly byte out; so does the answer.")
    wire = Raw(w.server.port, rec)
    wire.connect(read_only=None)
    wire.call(1, 3, text("/") + b"\0")
    wire.call(2, -11)
    wire.rest()
    rec.save()

    rec = Recording(OUT / "connect-resume.txt", "A session is resumed by id and password; the older connection is closed.")
    first = Raw(w.server.port, rec)
    granted = first.connect()
    session, password = struct.unpack(">q", granted[8:16])[0], granted[20:36]
    rec.note("second connection, while the first is still open; its zxid is the last one seen")
    second = Raw(w.server.port, rec)
    second.connect(session=session, password=password)
    second.call(1, 4, text("/zookeeper/config") + b"\0")
    rec.note("what the first connection sees")
    first.rest()
    rec.note("the second closes the session; a third connection finds it gone")
    second.call(2, -11)
    second.rest()
    third = Raw(w.server.port, rec)
    third.connect(session=session, password=password)
    third.rest()
    rec.save()

    rec = Recording(OUT / "connect-wrong-password.txt", "Resume with a wrong password, then with the right one.")
    first = Raw(w.server.port, rec)
    granted = first.connect()
    session, password = struct.unpack(">q", granted[8:16])[0], granted[20:36]
    second = Raw(w.server.port, rec)
    second.connect(session=session, password=bytes(16))
    second.rest()
    rec.note("what the first connection sees")
    first.rest()
    third = Raw(w.server.port, rec)
    third.connect(session=session, password=password)
    third.call(1, -11)
    third.rest()
    rec.save()

    with w.raw("connect-unknown-session", "Resume of a session that never was.", connect=False) as wire:
        wire.connect(session=0x1234567890, password=b"0123456789abcdef")
        wire.rest()
    with w.raw("connect-future-zxid", "lastZxidSeen ahead of the server: closed without an answer.", connect=False) as wire:
        wire.connect(last_zxid=0x7FFFFFFFF)
    with w.raw("connect-timeout-too-small", "Timeout 1 ms is raised to 2 ticks.", connect=False) as wire:
        wire.connect(timeout=1)
        wire.call(1, -11)
    with w.raw("connect-timeout-negative", "Timeout -1 is raised to 2 ticks.", connect=False) as wire:
        wire.connect(timeout=-1)
        wire.call(1, -11)
    with w.raw("connect-timeout-too-large", "Timeout is lowered to 20 ticks.", connect=False) as wire:
        wire.connect(timeout=2**31 - 1)
        wire.call(1, -11)
    with w.raw("connect-protocol-version", "protocolVersion 7 is not looked at.", connect=False) as wire:
        wire.connect(version=7)
        wire.call(1, -11)
    with w.raw("connect-password-lengths", "A new session with an empty password is granted.", connect=False) as wire:
        wire.connect(password=b"")
        wire.call(1, -11)
    with w.raw("connect-short", "A ConnectRequest that ends early: closed without an answer.", connect=False) as wire:
        wire.send(struct.pack(">iq", 0, 0), odd=True)
        wire.receive()


def creating(w):
    w.prepare("create", "/t", "text:", "open", "PERSISTENT")
    with w.session("create", "create (1): persistent, ephemeral, sequential; null, empty and some data.") as c:
        c("create", "/t/persistent", "text:data", "open", "PERSISTENT")
        c("create", "/t/empty", "text:", "open", "PERSISTENT", note="empty data")
        c("create", "/t/null", "null", "open", "PERSISTENT", note="null data")
        c("get", "/t/empty")
        c("get", "/t/null")
        c("create", "/t/ephemeral", "text:e", "open", "EPHEMERAL")
        c("create", "/t/seq-", "text:s", "open", "PERSISTENT_SEQUENTIAL")
        c("create", "/t/eseq-", "text:es", "open", "EPHEMERAL_SEQUENTIAL")
        c("create", "/t/persistent/", "text:s", "open", "PERSISTENT_SEQUENTIAL", note="a name of digits only")
        c("create", enc("/t/ünï-Ω-漢"), "text:u", "open", "PERSISTENT")
        c("create", "/t/%F0%9F%A6%80", "text:crab", "open", "PERSISTENT", fails="IllegalArgument",
          note="U+1F980 is refused by the Java client itself: surrogates are not allowed")
        c("create", "/t/acl", "text:a", "world:anyone:r,ip:127.0.0.1:rwcda,digest:u:v:rw", "PERSISTENT",
          note="three ACL entries; the digest id is taken as it is")
        c("create", "/t/duplicates", "text:a", "world:anyone:r,world:anyone:r,world:anyone:w", "PERSISTENT",
          note="duplicate ACL entries are removed")
        c("getacl", "/t/duplicates")
        c("create", "/t/noperms", "text:a", "world:anyone:", "PERSISTENT", note="perms 0 are accepted")
    with w.session("create-errors", "create (1) refused.") as c:
        c("create", "/t/none/x", "text:", "open", "PERSISTENT", fails="NONODE")
        c("create", "/t/persistent", "text:", "open", "PERSISTENT", fails="NODEEXISTS")
        c("create", "/t/e", "text:", "open", "EPHEMERAL")
        c("create", "/t/e/x", "text:", "open", "PERSISTENT", fails="NOCHILDRENFOREPHEMERALS")
        c("create", "/t/x", "text:", "empty", "PERSISTENT", fails="INVALIDACL",
          note="nothing is sent for an empty ACL list: the client refuses it")
        c("create", "/t/x", "text:", "digest:nocolon:r", "PERSISTENT", fails="INVALIDACL")
        c("create", "/t/x", "text:", "ip:not.an.ip:r", "PERSISTENT", fails="INVALIDACL")
        c("create", "/t/x", "text:", "nosuch:id:r", "PERSISTENT", fails="INVALIDACL")
        c("create", "/t/x", "text:", "world:somebody:r", "PERSISTENT", fails="INVALIDACL")
        c("create", "/t/x", "text:", "auth::r", "PERSISTENT", fails="INVALIDACL", note="auth without any identity")
        c("create", "/t/readonly", "text:", "world:anyone:r", "PERSISTENT")
        c("create", "/t/readonly/x", "text:", "open", "PERSISTENT", fails="NOAUTH")
        c("create", "/zookeeper", "text:", "open", "PERSISTENT", fails="NODEEXISTS")
        c("create", "/zookeeper/x", "text:", "open", "PERSISTENT", note="below /zookeeper is open to all")
        c("delete", "/zookeeper/x", -1)
    with w.session("create2", "create2 (15): the reply carries the Stat.") as c:
        c("create2", "/t/two", "text:data", "open", "PERSISTENT")
        c("create2", "/t/two-", "null", "open", "PERSISTENT_SEQUENTIAL")
        c("create2", "/t/two-e", "text:e", "open", "EPHEMERAL")
        c("create2", "/t/two", "text:data", "open", "PERSISTENT", fails="NODEEXISTS")
    with w.session("createContainer", "createContainer (19), with and without interest in the Stat.") as c:
        c("create", "/t/container", "text:c", "open", "CONTAINER")
        c("create2", "/t/container2", "text:c", "open", "CONTAINER")
        c("exists", "/t/container")
        c("create", "/t/container", "text:c", "open", "CONTAINER", fails="NODEEXISTS")
    with w.session("createTTL", "createTTL (21) with zookeeper.extendedTypesEnabled=true.") as c:
        c("create2", "/t/ttl", "text:c", "open", "PERSISTENT_WITH_TTL", 1000000)
        c("create2", "/t/ttl-", "text:c", "open", "PERSISTENT_SEQUENTIAL_WITH_TTL", 0xFFFFFFFFFF)
        c("exists", "/t/ttl")
        c("create2", "/t/ttl", "text:c", "open", "PERSISTENT_WITH_TTL", 1, fails="NODEEXISTS")
        c("create", "/t/ttl/x", "text:", "open", "PERSISTENT")
    with w.raw("createTTL-errors", "createTTL (21) and create flags that are refused, by hand.") as wire:
        for note, flags, ttl in (("ttl 0", 5, 0), ("ttl -1", 5, -1), ("ttl 2^40", 5, 1 << 40), ("flags 0", 0, 5),
                                 ("flags 7", 7, 5)):
            wire.recording.note(f"createTTL {note}")
            wire.call(flags + 1, 21, text("/t/ttl-bad") + text("") + OPEN_ACL + struct.pack(">iq", flags, ttl), odd=True)
        for flags in (4, 5, 6, 7, -1):
            wire.recording.note(f"create flags {flags}")
            wire.call(flags + 20, 1, text(f"/t/flags{flags}-") + text("") + OPEN_ACL + struct.pack(">i", flags), odd=True)
        for flags in (0, 1, 2, 4):
            wire.recording.note(f"createContainer flags {flags}")
            wire.call(flags + 40, 19, text(f"/t/cflags{flags}-") + text("") + OPEN_ACL + struct.pack(">i", flags), odd=flags != 4)
        wire.recording.note("what they became")
        wire.call(50, 12, text("/t") + b"\0")
        wire.call(51, 3, text("/t/flags4-") + b"\0")
        wire.call(52, 3, text("/t/cflags0-") + b"\0")
        wire.call(53, 3, text("/t/cflags1-") + b"\0")


def changing(w):
    w.prepare("create", "/u", "text:", "open", "PERSISTENT")
    with w.session("delete", "delete (2), and how it is refused.") as c:
        c("create", "/u/d", "text:", "open", "PERSISTENT")
        c("delete", "/u/d", 7, fails="BADVERSION")
        c("delete", "/u/d", 0)
        c("delete", "/u/d", -1, fails="NONODE")
        c("delete", "/u/none/d", -1, fails="NONODE")
        c("create", "/u/p", "text:", "open", "PERSISTENT")
        c("create", "/u/p/c", "text:", "open", "PERSISTENT")
        c("delete", "/u/p", -1, fails="NOTEMPTY")
        c("delete", "/u/p/c", -1)
        c("setacl", "/u/p", "world:anyone:ra", -1)
        w.prepare("create", "/u/p/c", "text:", "open", "PERSISTENT")
        c("delete", "/u/p/c", -1, fails="NOAUTH")
        for path in ("/zookeeper", "/zookeeper/quota", "/zookeeper/config"):
            c("delete", path, -1, fails="BADARGUMENTS")
        c("delete", "/", -1, fails="BADARGUMENTS")
    with w.session("setData", "setData (5): any version, right and wrong version, null and empty data, refusals.") as c:
        c("create", "/u/s", "text:0", "open", "PERSISTENT")
        c("set", "/u/s", "text:one", -1)
        c("set", "/u/s", "text:two", 1)
        c("set", "/u/s", "text:three", 1, fails="BADVERSION")
        c("set", "/u/s", "null", -1)
        c("get", "/u/s")
        c("set", "/u/s", "text:", -1)
        c("get", "/u/s")
        c("set", "/u/none", "text:x", -1, fails="NONODE")
        c("set", "/zookeeper/config", "text:x", -1, fails="NOAUTH")
        c("set", "/", "text:root", -1, note="the root takes data")
        c("get", "/")
        c("set", "/", "text:", -1)
    with w.session("exists", "exists (3).") as c:
        c("exists", "/u/s")
        c("exists", "/")
        c("exists", "/u/none", note="a missing node is an error reply; the Java client turns it into null")
    with w.session("getData", "getData (4).") as c:
        c("set", "/u/s", "hex:00ff10", -1)
        c("get", "/u/s")
        c("get", "/u/none", fails="NONODE")
        c("create", "/u/secret", "text:x", "world:anyone:w", "PERSISTENT")
        c("get", "/u/secret", fails="NOAUTH")
        c("exists", "/u/secret", note="exists needs no permission here")
        c("get", "/zookeeper/config")
    with w.session("getACL-setACL", "getACL (6) and setACL (7).") as c:
        c("create", "/u/acl", "text:x", "open", "PERSISTENT")
        c("getacl", "/u/acl")
        c("setacl", "/u/acl", "world:anyone:ra,ip:127.0.0.0/8:rwcda", -1)
        c("getacl", "/u/acl")
        c("setacl", "/u/acl", "world:anyone:ra,ip:127.0.0.1/8:rwcda", 1)
        c("setacl", "/u/acl", "world:anyone:ra", 1, fails="BADVERSION")
        c("setacl", "/u/acl", "nosuch:x:r", -1, fails="INVALIDACL")
        c("setacl", "/u/acl", "auth::r", -1, fails="INVALIDACL")
        c("setacl", "/u/none", "open", -1, fails="NONODE")
        c("setacl", "/u/acl", "digest:bob:hash:r,world:anyone:r", -1, note="gives up the right to administer")
        c("getacl", "/u/acl", note="without ADMIN a digest's hash is masked")
        c("setacl", "/u/acl", "open", -1, fails="NOAUTH")
        w.prepare("setacl", "/u/acl", "world:anyone:wcd", -1)
        c("getacl", "/u/acl", fails="NOAUTH")
        c("getacl", "/u/none", fails="NONODE")
        c("getacl", "/")
        c("getacl", "/zookeeper/config")
    w.prepare("create", "/u/many", "text:", "open", "PERSISTENT")
    for i in range(24):
        w.prepare("create", f"/u/many/child-{i}", "text:", "open", "PERSISTENT")
    with w.session("getChildren", "getChildren (8): the order is that of Java's hash set.") as c:
        c("ls", "/u/many")
        c("ls", "/u/s")
        c("ls", "/u/none", fails="NONODE")
        c("ls", "/u/secret", fails="NOAUTH")
        c("ls", "/zookeeper")
    with w.session("getChildren2", "getChildren2 (12).") as c:
        c("ls2", "/u/many")
        c("ls2", "/u/s")
        c("ls2", "/u/none", fails="NONODE")
        c("ls2", "/u/secret", fails="NOAUTH")
    with w.session("getAllChildrenNumber", "getAllChildrenNumber (104).") as c:
        c("count", "/u/many")
        c("count", "/u/s")
        c("count", "/", note="the root counts every node but itself and one more")
        c("count", "/zookeeper")
        c("count", "/u/none", fails="NONODE")
        c("count", "/u/secret", fails="NOAUTH")
    with w.session("getEphemerals", "getEphemerals (103): this session's own, by plain text prefix.") as c:
        c("ephemerals")
        for path in ("/u/eph-a", "/u/eph-ab", "/u/other"):
            c("create", path, "text:", "open", "EPHEMERAL")
        c("ephemerals")
        c("ephemerals", "/u/eph-a")
        c("ephemerals", "/u/none")
        c("ephemerals", "/u")
    with w.session("sync", "sync (9): the path is echoed, and need not exist.") as c:
        c("sync", "/u")
        c("sync", "/u/none/at/all")
        c("sync", "/")
    with w.session("whoAmI", "whoAmI (107) before and after auth.") as c:
        c("whoami")
        c("auth", "digest", "alice:secret")
        c("whoami")
        c("auth", "digest", "bob")
        c("whoami")
    with w.session("reconfig", "reconfig (16) where reconfigEnabled=false, and getConfig.") as c:
        c("reconfig", "server.1=127.0.0.1:1:2;3", "null", "null", -1, fails="RECONFIGDISABLED")
        c("reconfig", "null", "1", "null", -1, fails="RECONFIGDISABLED")
        c("config")


def authenticating(w):
    w.prepare("create", "/a", "text:", "open", "PERSISTENT")
    with w.session("auth-digest", "auth (100) digest, the auth scheme in ACLs, and what it opens.") as c:
        c("auth", "digest", "alice:secret")
        c("create", "/a/mine", "text:m", "auth::rwcda", "PERSISTENT", note="auth is expanded by the server")
        c("getacl", "/a/mine")
        c("get", "/a/mine")
        c("auth", "digest", "bob:other")
        c("create", "/a/both", "text:m", "auth::rw,world:anyone:r", "PERSISTENT", note="one entry per identity")
        c("getacl", "/a/both")
        c("create", "/a/creatorall", "text:m", "auth:ignored:rwcda", "PERSISTENT", note="the id beside auth is not looked at")
        c("getacl", "/a/creatorall")
    with w.session("auth-missing", "The same nodes without auth.") as c:
        c("get", "/a/mine", fails="NOAUTH")
        c("set", "/a/mine", "text:", -1, fails="NOAUTH")
        c("ls", "/a/mine", fails="NOAUTH")
        c("getacl", "/a/mine", fails="NOAUTH")
        c("getacl", "/a/both", note="READ for all, no ADMIN: hashes are masked")
        c("create", "/a/mine/x", "text:", "open", "PERSISTENT", fails="NOAUTH")
        c("delete", "/a/mine", -1, note="needs DELETE on the parent only")
    with w.session("auth-super", "auth (100) as super.") as c:
        c("auth", "digest", SUPER)
        c("whoami")
        c("get", "/a/both")
        c("getacl", "/a/both")
        c("setacl", "/a/both", "auth::r", -1)
        c("getacl", "/a/both")
    with w.session("auth-bad-scheme", "auth (100) with a scheme that is not known: AUTHFAILED, then close.", close=True) as c:
        c("auth", "nosuch", "x")
        time.sleep(0.5)
    with w.raw("auth-by-hand", "auth (100): xid, type and replies; ip, world and broken packets.") as wire:
        def auth(xid, scheme, data, kind=0):
            return wire.call(xid, 100, struct.pack(">i", kind) + text(scheme) + text(data))

        auth(-4, "digest", "u:p")
        auth(17, "digest", "u:p", kind=5)
        auth(-4, "ip", "10.0.0.1")
        wire.call(1, 107)
        wire.recording.note("digest without a colon is taken")
        auth(-4, "digest", "nocolon")
        auth(-4, "digest", "")
        wire.call(2, 107)
        auth(-4, "world", "anyone")
        wire.rest()
    for name, data in (("auth-null-data", text("digest") + text(None)), ("auth-null-scheme", text(None) + text("x")),
                       ("auth-truncated", b"\0\0")):
        with w.raw(name, f"A broken auth packet: {name}.") as wire:
            wire.call(-4, 100, struct.pack(">i", 0) + data, odd=True)
            wire.rest()
            if not wire.ended:
                wire.call(1, 107)
    with w.raw("sasl-unconfigured", "sasl (102) at a server without a Server section.") as wire:
        wire.call(5, 102, text(b""))
        wire.rest()


def multiple(w):
    w.prepare("create", "/m", "text:", "open", "PERSISTENT")
    with w.session("multi", "multi (14) that succeeds: every kind of operation, also on one node.") as c:
        c("multi", "create", "/m/a", "text:1", "open", "PERSISTENT", "create", "/m/a/b", "null", "open", "EPHEMERAL",
          "set", "/m/a", "text:2", 0, "check", "/m/a", 1, "delete", "/m/a/b", 0)
        c("multi", "create", "/m/s-", "text:", "open", "PERSISTENT_SEQUENTIAL",
          "create", "/m/s-", "text:", "open", "EPHEMERAL_SEQUENTIAL")
        c("multi", "create", "/m/container", "text:", "open", "CONTAINER",
          "createttl", "/m/ttl", "text:", "open", "PERSISTENT_WITH_TTL", 5000)
        c("multi", "check", "/m/a", -1, note="check alone")
        c("multi", note="nothing is sent for no operation at all")
        c("multi", "delete", "/m/a", 1, "create", "/m/a", "text:", "open", "PERSISTENT", "set", "/m/a", "text:x", 0)
    with w.session("multi-errors", "multi (14) that fails: at the first, a middle and the last operation.") as c:
        c("multi", "delete", "/m/none", -1, "create", "/m/x", "text:", "open", "PERSISTENT", fails="NONODE")
        c("multi", "create", "/m/x", "text:", "open", "PERSISTENT", "create", "/m/a", "text:", "open", "PERSISTENT",
          "delete", "/m/x", -1, fails="NODEEXISTS")
        c("multi", "create", "/m/x", "text:", "open", "PERSISTENT", "set", "/m/a", "text:", 99, fails="BADVERSION")
        c("multi", "check", "/m/a", 99, "delete", "/m/a", -1, fails="BADVERSION")
        c("multi", "check", "/m/none", -1, fails="NONODE")
        c("multi", "delete", "/m", -1, fails="NOTEMPTY")
        c("multi", "create", "/m/x", "text:", "nosuch:x:r", "PERSISTENT", fails="INVALIDACL")
        c("multi", "create", "/m/x", "text:", "open", "PERSISTENT", "create", "/m/x", "text:", "open", "PERSISTENT",
          fails="NODEEXISTS")
        c("exists", "/m/x", note="nothing was made")
        c("create", "/m/after-", "text:", "open", "PERSISTENT_SEQUENTIAL", note="the counter was rolled back")
    w.prepare("create", "/m/secret", "text:", "world:anyone:w", "PERSISTENT")
    with w.session("multiRead", "multiRead (22): results and errors side by side.") as c:
        c("multi", "get", "/m/a", "ls", "/m/a", "get", "/m/container")
        c("multi", "get", "/m/none", "get", "/m/a", "ls", "/m/none", "get", "/m/secret", "ls", "/m/secret")
        c("multi", "ls", "/zookeeper")

    def op(kind, body=b"", done=False, err=-1):
        return struct.pack(">i?i", kind, done, err) + body

    end = op(-1, done=True)
    create = op(1, text("/m/hand") + text("") + OPEN_ACL + struct.pack(">i", 0))
    create2 = op(15, text("/m/hand2") + text("") + OPEN_ACL + struct.pack(">i", 0))
    get = op(4, text("/m") + b"\0")
    cases = (
        ("multi-create2", "multi with create2 inside", 14, create2 + end),
        ("multi-mixed", "multi with a read inside", 14, create + get + end),
        ("multi-unknown-op", "multi with an unknown operation inside", 14, op(77) + end),
        ("multi-exists", "multi with exists inside", 14, op(3, text("/m") + b"\0") + end),
        ("multi-setacl", "multi with setACL inside", 14, op(7, text("/m") + OPEN_ACL + struct.pack(">i", -1)) + end),
        ("multi-no-end", "multi without its end", 14, create),
        ("multi-truncated", "multi cut inside an operation", 14, create[:20]),
        ("multi-empty-body", "multi without any body", 14, b""),
        ("multi-reads-only", "reads under the number of multi", 14, get + end),
        ("multiRead-write", "multiRead with a write inside", 22, create + end),
        ("multiRead-empty", "multiRead without operations", 22, end),
        ("multiRead-watch", "multiRead whose getData asks for a watch", 22,
         op(4, text("/m/a") + b"\1") + op(8, text("/m/a") + b"\1") + end),
        ("multi-bad-path", "multi whose create has a relative path", 14,
         op(1, text("hand") + text("") + OPEN_ACL + struct.pack(">i", 0)) + end),
        ("multi-null-path", "multi whose create has a null path", 14,
         op(1, text(None) + text("") + OPEN_ACL + struct.pack(">i", 0)) + end),
        ("multi-done-early", "operations after the end are not looked at", 14, end + create),
        ("multi-error-field", "the err field of a request is not looked at", 14,
         op(1, text("/m/hand3") + text("") + OPEN_ACL + struct.pack(">i", 0), err=5) + end),
    )
    # Requests that a strict decoder takes; the others are marked.
    whole = ("multi-create2", "multi-bad-path", "multiRead-empty", "multiRead-watch")
    for name, title, kind, body in cases:
        with w.raw(name, f"By hand: {title}.") as wire:
            wire.call(1, kind, body, odd=name not in whole, odd_reply=name in ("multiRead-write", "multi-null-path"))
            wire.recording.note("is the connection still good?")
            wire.call(2, 3, text("/m/hand") + b"\0")
            wire.call(3, 5, text("/m/a") + text("poke") + struct.pack(">i", -1))
            wire.rest(0.2)


def watching(w):
    w.prepare("create", "/w", "text:", "open", "PERSISTENT")
    with w.session("watch-data", "getData and exists watches: created, changed, deleted; one shot each.") as c:
        c("exists", "/w/n", "x")
        w.prepare("create", "/w/n", "text:0", "open", "PERSISTENT")
        c("exists", "/w/n", "x")
        w.prepare("set", "/w/n", "text:1", -1)
        c("get", "/w/n", "x")
        w.prepare("set", "/w/n", "text:2", -1)
        w.prepare("set", "/w/n", "text:3", -1)
        c("get", "/w/n", "x")
        w.prepare("setacl", "/w/n", "open", -1)
        w.prepare("delete", "/w/n", -1)
        c("get", "/w/n", "x", fails="NONODE", note="a failed getData leaves no watch")
        w.prepare("create", "/w/n", "text:0", "open", "PERSISTENT")
        c("sync", "/", note="no event came in between")
        w.prepare("delete", "/w/n", -1)
    with w.session("watch-children", "getChildren watches: child created, child deleted, node deleted.") as c:
        w.prepare("create", "/w/p", "text:0", "open", "PERSISTENT")
        c("ls", "/w/p", "x")
        w.prepare("create", "/w/p/c", "text:", "open", "PERSISTENT")
        c("ls2", "/w/p", "x")
        w.prepare("set", "/w/p/c", "text:1", -1)
        w.prepare("set", "/w/p", "text:1", -1)
        w.prepare("delete", "/w/p/c", -1)
        c("ls", "/w/p", "x")
        c("get", "/w/p", "y", note="both a data and a child watch on a node that goes: one event")
        w.prepare("delete", "/w/p", -1)
        c("sync", "/")
    with w.session("watch-own-writes", "A session watches what it changes: the event comes before the reply.") as c:
        c("exists", "/w/own", "x")
        c("ls", "/w", "y")
        c("create", "/w/own", "text:", "open", "PERSISTENT")
        c("get", "/w/own", "x")
        c("ls", "/w", "y")
        c("multi", "set", "/w/own", "text:1", -1, "set", "/w/own", "text:2", -1, "create", "/w/own/a", "text:", "open",
          "PERSISTENT", "delete", "/w/own/a", -1)
        c("get", "/w/own", "x")
        c("delete", "/w/own", -1)
    with w.session("addWatch-persistent", "addWatch (106) persistent: stays; sees data, deletion and children.") as c:
        c("addwatch", "/w/pp", "x", "PERSISTENT")
        w.prepare("create", "/w/pp", "text:", "open", "PERSISTENT")
        w.prepare("set", "/w/pp", "text:1", -1)
        w.prepare("create", "/w/pp/c", "text:", "open", "PERSISTENT")
        w.prepare("set", "/w/pp/c", "text:1", -1)
        w.prepare("delete", "/w/pp/c", -1)
        w.prepare("delete", "/w/pp", -1)
        w.prepare("create", "/w/pp", "text:", "open", "PERSISTENT")
        c("sync", "/")
        w.prepare("delete", "/w/pp", -1)
    with w.session("addWatch-recursive", "addWatch (106) persistent recursive: the whole subtree, no child events.") as c:
        c("addwatch", "/w/pr", "x", "PERSISTENT_RECURSIVE")
        w.prepare("create", "/w/pr", "text:", "open", "PERSISTENT")
        w.prepare("create", "/w/pr/a", "text:", "open", "PERSISTENT")
        w.prepare("create", "/w/pr/a/b", "text:", "open", "PERSISTENT")
        w.prepare("set", "/w/pr/a/b", "text:1", -1)
        w.prepare("delete", "/w/pr/a/b", -1)
        w.prepare("delete", "/w/pr/a", -1)
        w.prepare("delete", "/w/pr", -1)
        c("sync", "/")
        c("addwatch", "/", "y", "PERSISTENT_RECURSIVE", note="on the root")
        w.prepare("create", "/w/any", "text:", "open", "PERSISTENT")
        w.prepare("delete", "/w/any", -1)
        c("sync", "/")
    with w.session("watch-mixed", "One-shot, persistent and recursive watches on one path, and on its parent.") as c:
        w.prepare("create", "/w/mix", "text:", "open", "PERSISTENT")
        c("addwatch", "/w/mix", "x", "PERSISTENT")
        c("addwatch", "/w", "y", "PERSISTENT_RECURSIVE")
        c("get", "/w/mix", "z")
        c("ls", "/w/mix", "z")
        w.prepare("set", "/w/mix", "text:1", -1)
        c("sync", "/", note="one event, although three watches match")
        w.prepare("create", "/w/mix/c", "text:1", "open", "PERSISTENT")
        c("sync", "/")
        w.prepare("delete", "/w/mix/c", -1)
        c("sync", "/")
        w.prepare("delete", "/w/mix", -1)
        c("sync", "/")
    with w.session("watch-ephemeral", "Ephemerals that end with another session.") as c:
        w.j("open", "d", w.server.address, 30000)
        w.j("create", "d", "/w/e1", "text:", "open", "EPHEMERAL")
        w.j("create", "d", "/w/e2", "text:", "open", "EPHEMERAL")
        c("exists", "/w/e1", "x")
        c("get", "/w/e2", "x")
        c("ls", "/w", "x")
        w.j("close", "d")
        c("sync", "/")
    with w.session("watch-acl", "Events of nodes this session may not read.") as c:
        w.prepare("create", "/w/hidden", "text:", "world:anyone:w", "PERSISTENT")
        c("exists", "/w/hidden", "x", note="exists needs no permission, so the watch is there")
        w.prepare("set", "/w/hidden", "text:1", -1)
        c("sync", "/")
        c("addwatch", "/w", "y", "PERSISTENT_RECURSIVE")
        w.prepare("set", "/w/hidden", "text:2", -1)
        w.prepare("create", "/w/hidden/c", "text:2", "world:anyone:w", "PERSISTENT")
        w.prepare("create", "/w/hidden/d", "text:2", "open", "PERSISTENT")
        w.prepare("delete", "/w/hidden/d", -1)
        w.prepare("delete", "/w/hidden/c", -1)
        w.prepare("delete", "/w/hidden", -1)
        c("sync", "/")
    w.prepare("create", "/w/r", "text:", "open", "PERSISTENT")
    with w.session("removeWatches", "removeWatches (18) and checkWatches (17) by the Java client.") as c:
        c("get", "/w/r", "x")
        c("get", "/w/r", "y")
        c("rmwatch", "/w/r", "x", "Data", note="one watcher of two: the client sends checkWatches")
        c("rmwatch", "/w/r", "y", "Data", note="the last one: still checkWatches; the server keeps its watch")
        c("ls", "/w/r", "x")
        c("rmwatch", "/w/r", "x", "Children")
        c("get", "/w/r", "x")
        c("ls", "/w/r", "x")
        c("rmallwatches", "/w/r", "Any", note="only removal of all watches is a removeWatches")
        c("addwatch", "/w/r", "x", "PERSISTENT")
        c("rmallwatches", "/w/r", "Any")
        c("addwatch", "/w/r", "x", "PERSISTENT_RECURSIVE")
        c("rmallwatches", "/w/r", "Any")
        w.prepare("set", "/w/r", "text:1", -1)
        c("sync", "/", note="nothing was left")
    with w.raw("removeWatches-by-hand", "checkWatches (17) and removeWatches (18), every type; also without a watch.") as wire:
        xid = 1
        for arm, label in (((4, text("/w/r") + b"\1"), "data"), ((8, text("/w/r") + b"\1"), "child"),
                           ((106, text("/w/r") + struct.pack(">i", 0)), "persistent"),
                           ((106, text("/w/r") + struct.pack(">i", 1)), "recursive")):
            for kind in (1, 2, 3, 4, 5):
                wire.recording.note(f"a {label} watch; checked, removed and checked as type {kind}")
                wire.call(xid, *arm)
                wire.call(xid + 1, 17, text("/w/r") + struct.pack(">i", kind))
                wire.call(xid + 2, 18, text("/w/r") + struct.pack(">i", kind))
                wire.call(xid + 3, 17, text("/w/r") + struct.pack(">i", kind))
                wire.call(xid + 4, 18, text("/w/r") + struct.pack(">i", 3))
                xid += 5
        wire.recording.note("types that do not exist")
        wire.call(xid, 17, text("/w/r") + struct.pack(">i", 9), odd=True)
        wire.call(xid + 1, 18, text("/w/r") + struct.pack(">i", 0), odd=True)
        wire.rest(0.3)
    with w.raw("addWatch-by-hand", "addWatch (106) with modes that do not exist and odd paths.") as wire:
        wire.call(1, 106, text("/w/none") + struct.pack(">i", 0))
        for xid, path, mode in ((2, "/w/none", 2), (3, "/w/none", -1), (4, "not-absolute", 0), (5, None, 0), (6, "", 1)):
            wire.call(xid, 106, text(path) + struct.pack(">i", mode), odd=True)
        wire.rest(0.3)


def reconnecting(w):
    def away(c):
        c.proxy.refuse = True
        c.recording.note("the connection breaks; things change meanwhile")
        c.proxy.cut()

    def back(c):
        c.proxy.refuse = False
        for _ in range(100):
            time.sleep(0.1)
            if w.j("state", "c") == "CONNECTED":
                break
        c("sync", "/")

    for node in ("data-changed", "data-deleted", "data-same", "child-changed", "child-deleted", "child-same", "exists-deleted",
                 "exists-same"):
        w.prepare("create", f"/w/{node}", "text:", "open", "PERSISTENT")
    with w.session("setWatches", "setWatches (101) after a reconnect: all catch-up rules. The Java client gives it an ordinary xid.") as c:
        for node in ("data-changed", "data-deleted", "data-same"):
            c("get", f"/w/{node}", "x")
        for node in ("child-changed", "child-deleted", "child-same"):
            c("ls", f"/w/{node}", "x")
        for node in ("exists-created", "exists-absent", "exists-deleted", "exists-same"):
            c("exists", f"/w/{node}", "x")
        away(c)
        w.prepare("set", "/w/data-changed", "text:1", -1)
        w.prepare("create", "/w/child-changed/c", "text:1", "open", "PERSISTENT")
        w.prepare("create", "/w/exists-created", "text:1", "open", "PERSISTENT")
        for node in ("data-deleted", "child-deleted", "exists-deleted"):
            w.prepare("delete", f"/w/{node}", -1)
        back(c)
        c.recording.note("the others are armed")
        w.prepare("set", "/w/data-same", "text:1", -1)
        w.prepare("create", "/w/child-same/c", "text:1", "open", "PERSISTENT")
        w.prepare("create", "/w/exists-absent", "text:1", "open", "PERSISTENT")
        w.prepare("set", "/w/exists-same", "text:1", -1)
        c("sync", "/")
    with w.session("setWatches2", "setWatches2 (105) after a reconnect, with auth before it.") as c:
        c("auth", "digest", "alice:secret")
        c("addwatch", "/w/data-same", "x", "PERSISTENT")
        c("addwatch", "/w/child-same", "x", "PERSISTENT_RECURSIVE")
        c("get", "/w/exists-same", "x")
        away(c)
        w.prepare("set", "/w/data-same", "text:2", -1)
        w.prepare("set", "/w/child-same/c", "text:2", -1)
        back(c)
        c.recording.note("persistent watches are armed again; what they missed is lost")
        w.prepare("set", "/w/data-same", "text:3", -1)
        w.prepare("set", "/w/child-same/c", "text:3", -1)
        w.prepare("set", "/w/exists-same", "text:3", -1)
        c("sync", "/")
    with w.raw("setWatches-by-hand", "setWatches (101) and setWatches2 (105) with other xids and odd content.") as wire:
        def paths(*names):
            return struct.pack(">i", len(names)) + b"".join(text(n) for n in names)

        wire.call(-8, 101, struct.pack(">q", 0) + paths() + paths() + paths())
        wire.call(9, 101, struct.pack(">q", 1 << 60) + paths("/w") + paths("/w/none") + paths("/w"))
        wire.recording.note("one node in all three lists of an old zxid")
        wire.call(-8, 101, struct.pack(">q", 0) + paths("/w", "/w/none") + paths("/w") + paths("/w", "/w/none"))
        wire.rest(0.3)
        wire.recording.note("the lists are null")
        null = struct.pack(">i", -1)
        wire.call(10, 101, struct.pack(">q", 0) + null * 3, odd=True)
        wire.rest(0.3)
        wire.call(11, 105, struct.pack(">q", 0) + paths() * 3 + paths("/w/none") + paths("/w"))
        wire.rest(0.3)
        wire.recording.note("cut")
        wire.call(12, 101, struct.pack(">q", 0) + paths("/w"), odd=True)
        wire.rest(0.3)


def odd(w):
    with w.raw("ping", "ping (11).") as wire:
        wire.call(-2, 11)
        wire.call(-2, 11)
    with w.raw("odd-xids", "The reply to a ping has xid -2 whatever the request's was; other xids are echoed.") as wire:
        wire.call(5, 11, odd=True, odd_reply=True)
        wire.recording.note("getData under xid 0, -1, -2, -4, and the same xid twice")
        for xid in (0, -1, -2, -4, 7, 7):
            special = xid < 0
            wire.call(xid, 4, text("/zookeeper") + b"\0", odd=special, odd_reply=special)
    with w.raw("pipelined", "Many requests in one write: replies in order of requests.") as wire:
        requests = [(1, 1, text("/pipe") + text("") + OPEN_ACL + struct.pack(">i", 0)), (2, 4, text("/pipe") + b"\0"),
                    (3, 5, text("/pipe") + text("x") + struct.pack(">i", -1)), (-2, 11, b""),
                    (4, 4, text("/pipe") + b"\0"), (5, 2, text("/pipe") + struct.pack(">i", -1)),
                    (6, 3, text("/pipe") + b"\0"), (7, -11, b""), (8, 3, text("/pipe") + b"\0")]
        packed = b""
        for xid, kind, body in requests:
            frame = struct.pack(">ii", xid, kind) + body
            wire.recording.frame(">", frame)
            packed += struct.pack(">i", len(frame)) + frame
        wire.socket.sendall(packed)
        wire.rest()
    for kind, name in ((13, "check"), (0, "notification"), (999, "unknown"), (10, "unknown-10"), (-10, "createSession"),
                       (23, "unknown-23"), (-1, "error")):
        body = text("/") + struct.pack(">i", -1) if kind == 13 else struct.pack(">i", 5000) if kind == -10 else b""
        with w.raw(f"op-{name}-bare", f"A bare operation {kind} from a client.") as wire:
            wire.call(1, kind, body, odd=True, odd_reply=kind == -10, wait=1)
            if not wire.ended:
                wire.call(2, 3, text("/") + b"\0")
            wire.rest(0.3)
    w.prepare("create", "/odd", "text:", "open", "PERSISTENT")
    w.prepare("create", "/odd/plain", "text:", "open", "PERSISTENT")
    w.prepare("create", "/odd/container", "text:", "open", "CONTAINER")
    w.prepare("create2", "/odd/ttl", "text:", "open", "PERSISTENT_WITH_TTL", 1000000)
    w.prepare("create", "/odd/closed", "text:", "world:anyone:", "CONTAINER")
    w.prepare("create", "/odd/full", "text:", "open", "CONTAINER")
    w.prepare("create", "/odd/full/c", "text:", "open", "PERSISTENT")
    w.prepare("create", "/odd/e", "text:", "open", "EPHEMERAL")
    with w.raw("op-deleteContainer", "deleteContainer (20) from a client is always refused: the server takes the header for a part of the path.") as wire:
        for xid, path in enumerate(("/odd/container", "/odd/none", "/odd/full", "/odd/closed", "/odd/plain", "/odd/ttl",
                                    "/odd/e", "/zookeeper/quota", "/"), 1):
            wire.recording.note(path)
            wire.call(xid, 20, path.encode(), odd=True)
        wire.recording.note("the path as a string record")
        wire.call(20, 20, text("/odd/container"))
        wire.rest(0.3)
    with w.raw("closeSession", "closeSession (-11): header only, then the server closes.") as wire:
        wire.call(1, 1, text("/odd/mine") + text("") + OPEN_ACL + struct.pack(">i", 1))
        wire.call(2, -11)
        wire.rest()
    with w.raw("closeSession-body", "closeSession (-11) with bytes after its header.") as wire:
        wire.call(2, -11, b"abc", odd=True)
        wire.rest()
    with w.raw("trailing-bytes", "Bytes after a complete record are not looked at.") as wire:
        wire.call(1, 3, text("/") + b"\0" + b"more", odd=True)
        wire.call(2, 1, text("/trailing") + text("") + OPEN_ACL + struct.pack(">i", 1) + b"more", odd=True)
        wire.call(-2, 11, b"more", odd=True)
    with w.raw("booleans", "A watch flag that is neither 0 nor 1.") as wire:
        wire.call(1, 3, text("/boolean") + b"\2", odd=True)
        w.prepare("create", "/boolean", "text:", "open", "PERSISTENT")
        wire.rest(0.3)
    acl_null = struct.pack(">i", -1)
    flags = struct.pack(">i", 0)
    data = text("x")
    cases = (
        ("create-truncated", 1, text("/odd/x") + data),
        ("create-empty-body", 1, b""),
        ("create-null-path", 1, text(None) + data + OPEN_ACL + flags),
        ("create-empty-path", 1, text("") + data + OPEN_ACL + flags),
        ("create-relative", 1, text("odd") + data + OPEN_ACL + flags),
        ("create-trailing-slash", 1, text("/odd/x/") + data + OPEN_ACL + flags),
        ("create-double-slash", 1, text("/odd//x") + data + OPEN_ACL + flags),
        ("create-dot", 1, text("/odd/./x") + data + OPEN_ACL + flags),
        ("create-dotdot", 1, text("/odd/..") + data + OPEN_ACL + flags),
        ("create-nul", 1, text("/odd/a\0b") + data + OPEN_ACL + flags),
        ("create-control", 1, text("/odd/a\x1fb") + data + OPEN_ACL + flags),
        ("create-delete-char", 1, text("/odd/a\x7fb") + data + OPEN_ACL + flags),
        ("create-private-use", 1, text("/odd/a\ue000b") + data + OPEN_ACL + flags),
        ("create-f8ff", 1, text("/odd/a\uf8ffb") + data + OPEN_ACL + flags),
        ("create-fff0", 1, text("/odd/a\ufff0b") + data + OPEN_ACL + flags),
        ("create-astral", 1, text("/odd/a\U0001f980b") + data + OPEN_ACL + flags),
        ("create-cesu8", 1, text(b"/odd/a\xed\xa0\xbe\xed\xb6\x80b") + data + OPEN_ACL + flags),
        ("create-bad-utf8", 1, text(b"/odd/a\xff\xfeb") + data + OPEN_ACL + flags),
        ("create-overlong", 1, text(b"/odd/a\xc0\xafb") + data + OPEN_ACL + flags),
        ("create-acl-null", 1, text("/odd/x") + data + acl_null + flags),
        ("create-acl-empty", 1, text("/odd/x") + data + struct.pack(">i", 0) + flags),
        ("create-acl-null-scheme", 1, text("/odd/x") + data + struct.pack(">ii", 1, 31) + text(None) + text("x") + flags),
        ("create-acl-null-id", 1, text("/odd/x") + data + struct.pack(">ii", 1, 31) + text("digest") + text(None) + flags),
        ("create-acl-negative", 1, text("/odd/x") + data + struct.pack(">i", -2) + flags),
        ("create-acl-huge", 1, text("/odd/x") + data + struct.pack(">i", 2**31 - 1) + flags),
        ("create-acl-perms-32", 1, text("/odd/perms") + data + struct.pack(">ii", 1, 63) + text("world") + text("anyone") + flags),
        ("create-data-negative", 1, text("/odd/x") + struct.pack(">i", -2) + OPEN_ACL + flags),
        ("create-path-length-huge", 1, struct.pack(">i", 2**31 - 1) + b"/odd"),
        ("create-root", 1, text("/") + data + OPEN_ACL + flags),
        ("create-root-sequential", 1, text("/") + data + OPEN_ACL + struct.pack(">i", 2)),
        ("create-sequential-slash", 1, text("/odd/") + data + OPEN_ACL + struct.pack(">i", 3)),
        ("create2-truncated", 15, text("/odd/x")),
        ("createTTL-truncated", 21, text("/odd/x") + data + OPEN_ACL + struct.pack(">i", 5)),
        ("delete-truncated", 2, text("/odd/x")),
        ("delete-null-path", 2, text(None) + struct.pack(">i", -1)),
        ("delete-relative", 2, text("odd") + struct.pack(">i", -1)),
        ("delete-empty-path", 2, text("") + struct.pack(">i", -1)),
        ("delete-trailing-slash", 2, text("/odd/plain/") + struct.pack(">i", -1)),
        ("setData-truncated", 5, text("/odd")),
        ("setData-null-path", 5, text(None) + data + struct.pack(">i", -1)),
        ("setData-relative", 5, text("odd") + data + struct.pack(">i", -1)),
        ("setData-empty-path", 5, text("") + data + struct.pack(">i", -1)),
        ("setACL-null-list", 7, text("/odd") + acl_null + struct.pack(">i", -1)),
        ("setACL-empty-list", 7, text("/odd") + struct.pack(">ii", 0, -1)),
        ("setACL-null-path", 7, text(None) + OPEN_ACL + struct.pack(">i", -1)),
        ("getData-truncated", 4, text("/odd")),
        ("getData-empty-body", 4, b""),
        ("getData-null-path", 4, text(None) + b"\0"),
        ("getData-empty-path", 4, text("") + b"\0"),
        ("getData-relative", 4, text("odd") + b"\0"),
        ("getData-trailing-slash", 4, text("/odd/") + b"\0"),
        ("getData-nul", 4, text("/odd\0") + b"\0"),
        ("exists-null-path", 3, text(None) + b"\0"),
        ("exists-nul", 3, text("/odd\0") + b"\0"),
        ("exists-relative-watch", 3, text("odd") + b"\1"),
        ("exists-empty-path", 3, text("") + b"\0"),
        ("getChildren-null-path", 8, text(None) + b"\0"),
        ("getChildren-empty-path", 8, text("") + b"\0"),
        ("getChildren2-empty-body", 12, b""),
        ("getACL-null-path", 6, text(None)),
        ("getACL-empty-path", 6, text("")),
        ("sync-null-path", 9, text(None)),
        ("sync-empty-body", 9, b""),
        ("getEphemerals-null-prefix", 103, text(None)),
        ("getEphemerals-empty-body", 103, b""),
        ("getAllChildrenNumber-empty-path", 104, text("")),
        ("getAllChildrenNumber-null-path", 104, text(None)),
        ("reconfig-empty-body", 16, b""),
        ("whoAmI-body", 107, b"abc"),
    )
    recording = Recording(OUT / "malformed.txt",
                          "Malformed requests, one per connection; after each, exists of / shows whether it lived on.")
    for name, kind, body in cases:
        wire = Raw(w.server.port, recording)
        recording.note(name)
        wire.connect()
        wire.call(1, kind, body, odd=True, odd_reply=name == "sync-null-path")
        if not wire.ended:
            wire.call(2, 3, text("/") + b"\0")
        wire.close()
    wire = Raw(w.server.port, recording)
    recording.note("a frame without a whole header")
    wire.connect()
    wire.send(b"\0\0\0\1", odd=True)
    wire.rest(0.5)
    wire.close()
    wire = Raw(w.server.port, recording)
    recording.note("an empty frame")
    wire.connect()
    wire.send(b"", odd=True)
    wire.rest(0.5)
    if not wire.ended:
        wire.call(2, 3, text("/") + b"\0")
    wire.close()
    recording.save()
    print("malformed")


def framing(w):
    """What cannot be written as frames goes into a note file: lengths out of bounds."""
    lines = ["# Length fields out of bounds: sent bytes, then what the server did."]
    import socket
    for label, before, raw in (
        ("before connect: length -1", False, struct.pack(">i", -1)),
        ("before connect: length 0", False, struct.pack(">i", 0)),
        ("before connect: length 1048576", False, struct.pack(">i", 1048576)),
        ("before connect: length 1048575", False, struct.pack(">i", 1048575)),
        ("after connect: length -1", True, struct.pack(">i", -1)),
        ("after connect: length 1048576", True, struct.pack(">i", 1048576) + bytes(100)),
        ("after connect: length 1048575, not completed", True, struct.pack(">i", 1048575) + bytes(100)),
    ):
        s = socket.create_connection(("127.0.0.1", w.server.port))
        if before:
            s.sendall(struct.pack(">i", 45) + struct.pack(">iqiqi", 0, 0, 30000, 0, 16) + bytes(16) + b"\0")
            s.recv(1000)
        s.sendall(raw)
        s.settimeout(2)
        try:
            got = s.recv(1000)
            result = "closed" if not got else f"answered {got.hex()}"
        except socket.timeout:
            result = "waits"
        except ConnectionResetError:
            result = "reset"
        lines.append(f"# {label}: {result}")
        s.close()
    (OUT / "lengths.txt").write_text("\n".join(lines) + "\n")


def largest(w):
    """The largest payload: setData whose frame is exactly jute.maxbuffer, then one byte more. Not stored: too big."""
    rec = Recording("/dev/null", "")
    for extra in (0, 1):
        wire = Raw(w.server.port, rec)
        wire.connect()
        body = text("/odd") + struct.pack(">i", 0)
        size = 0xFFFFF + extra - 8 - len(body) - 4
        wire.send(struct.pack(">ii", 1, 5) + text("/odd") + text(bytes(size)) + struct.pack(">i", -1))
        got = wire.receive()
        print("frame of", 0xFFFFF + extra, "bytes:", got.hex() if got else "closed")
        wire.close()


def ttl_disabled(client):
    with tempfile.TemporaryDirectory() as home, Server(
            f"{home}/data", properties={"zookeeper.extendedTypesEnabled": None}) as server:
        w = World(server, client)
        client("open", "s", server.address, 30000)
        with w.session("createTTL-disabled", "createTTL (21) without extendedTypesEnabled; containers need no switch.") as c:
            c("create2", "/ttl", "text:c", "open", "PERSISTENT_WITH_TTL", 1000, fails="UNIMPLEMENTED")
            c("multi", "createttl", "/ttl", "text:", "open", "PERSISTENT_WITH_TTL", 5000, "create", "/x", "text:", "open",
              "PERSISTENT", fails="UNIMPLEMENTED")
            c("create2", "/container", "text:c", "open", "CONTAINER")
        client("close", "s")


def quota_enforced(client):
    with tempfile.TemporaryDirectory() as home, Server(
            f"{home}/data", properties={"zookeeper.enforceQuota": "true"}) as server:
        w = World(server, client)
        client("open", "s", server.address, 30000)
        w.prepare("create", "/q", "text:", "open", "PERSISTENT")
        w.prepare("create", "/zookeeper/quota/q", "text:", "open", "PERSISTENT")
        w.prepare("create", "/zookeeper/quota/q/zookeeper_limits", "text:" + enc(
            "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3"), "open", "PERSISTENT")
        w.prepare("create", "/zookeeper/quota/q/zookeeper_stats", "text:" + enc("count=1,bytes=0"), "open", "PERSISTENT")
        with w.session("quota-exceeded", "QUOTAEXCEEDED with enforceQuota=true: 3 nodes, 10 bytes.") as c:
            c("set", "/q", "text:12345", -1)
            c("create", "/q/a", "text:12345", "open", "PERSISTENT")
            c("get", "/zookeeper/quota/q/zookeeper_stats")
            c("create", "/q/b", "text:1", "open", "PERSISTENT", fails="QUOTAEXCEEDED")
            c("create", "/q/b", "text:", "open", "PERSISTENT")
            c("create", "/q/c", "text:", "open", "PERSISTENT", fails="QUOTAEXCEEDED")
            c("set", "/q", "text:123456", -1, fails="QUOTAEXCEEDED")
            c("multi", "set", "/q", "text:123456", -1, fails="QUOTAEXCEEDED")
            c("delete", "/q/b", -1)
            c("get", "/zookeeper/quota/q/zookeeper_stats")
            c("get", "/zookeeper/quota/q/zookeeper_limits")
        client("close", "s")


def reconfig_standalone(client):
    with tempfile.TemporaryDirectory() as home, Server(f"{home}/data", config={"reconfigEnabled": "true"}) as server:
        w = World(server, client)
        client("open", "s", server.address, 30000)
        with w.session("reconfig-standalone", "reconfig (16) where it is enabled, at a stand-alone server.") as c:
            c("reconfig", "server.1=127.0.0.1:1:2;3", "null", "null", -1, fails="UNIMPLEMENTED")
            c("config")
        client("close", "s")


def read_only(client):
    with tempfile.TemporaryDirectory() as home:
        data = pathlib.Path(home) / "data"
        data.mkdir()
        (data / "myid").write_text("1\n")
        port = free_port()
        config = {f"server.{i}": f"127.0.0.1:{free_port()}:{free_port()}" for i in (1, 2, 3)}
        config |= {"clientPort": str(port), "dynamicPort": str(port), "localSessionsEnabled": "true"}
        with Server(data, config=config, properties={"readonlymode.enabled": "true"}) as server:
            w = World(server, client)
            with w.session("readonly", "A server without its quorum, in read-only mode; a client that allows it.", "ro") as c:
                c("exists", "/")
                c("ls", "/zookeeper")
                c("create", "/x", "text:", "open", "PERSISTENT", fails="NOTREADONLY")
                c("set", "/", "text:", -1, fails="NOTREADONLY")
                c("delete", "/x", -1, fails="NOTREADONLY")
                c("setacl", "/", "open", -1, fails="NOTREADONLY")
                c("sync", "/", fails="NOTREADONLY")
                c("multi", "create", "/x", "text:", "open", "PERSISTENT", fails="NOTREADONLY")
                c("get", "/zookeeper", "x")
                c("whoami")
            with w.raw("readonly-refused", "A client that does not allow read-only mode is closed.", connect=False) as wire:
                wire.connect()
            folder = GOLDEN / "fourletter" / "read-only"
            folder.mkdir(parents=True, exist_ok=True)
            for word in ("isro", "srvr", "ruok"):
                (folder / f"{word}.txt").write_bytes(server.four(word))


def local_sessions(client):
    with tempfile.TemporaryDirectory() as home:
        data = pathlib.Path(home) / "data"
        data.mkdir()
        (data / "myid").write_text("3\n")
        port = free_port()
        dynamic = pathlib.Path(home) / "zoo.dynamic"
        dynamic.write_text(f"server.3=127.0.0.1:{free_port()}:{free_port()}:participant;127.0.0.1:{port}\n")
        config = {"standaloneEnabled": "false", "dynamicConfigFile": str(dynamic), "clientPort": None,
                  "clientPortAddress": None, "dynamicPort": str(port), "localSessionsEnabled": "true"}
        with Server(data, config=config) as server:
            w = World(server, client)
            with w.session("local-session", "A local session: no transaction at its start and end, and no ephemeral nodes.") as c:
                c("create", "/x", "text:", "open", "PERSISTENT")
                c("create", "/e", "text:", "open", "EPHEMERAL", fails="EPHEMERALONLOCALSESSION")
                c("multi", "create", "/e", "text:", "open", "EPHEMERAL", fails="EPHEMERALONLOCALSESSION")
                c("exists", "/x")
        config["localSessionsUpgradingEnabled"] = "true"
        with Server(data, config=config) as server:
            w = World(server, client)
            with w.session("local-session-upgraded", "A local session that becomes global with its first ephemeral node.") as c:
                c("exists", "/x")
                c("create", "/e", "text:", "open", "EPHEMERAL")
                c("exists", "/e")


PARTS = (connecting, creating, changing, authenticating, multiple, watching, reconnecting, odd, framing, largest)


def main():
    wanted = set(sys.argv[1:])
    with java() as client:
        with tempfile.TemporaryDirectory() as home, Server(f"{home}/data") as server:
            w = World(server, client)
            client("open", "s", server.address, 40000)
            client("auth", "s", "digest", SUPER)
            for part in PARTS:
                if not wanted or part.__name__ in wanted:
                    part(w)
            client("close", "s")
            if log := os.environ.get("SERVER_LOG"):
                shutil.copy(server.log.name, log)
        for part in (ttl_disabled, quota_enforced, reconfig_standalone, read_only, local_sessions):
            if not wanted or part.__name__ in wanted:
                part(client)


if __name__ == "__main__":
    main()
