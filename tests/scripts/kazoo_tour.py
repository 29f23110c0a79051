"""A tour of kazoo at the server HOST:PORT, one line of text for each thing seen.

The same tour at another server prints the same lines. At `restart` it waits for a line on standard input, during
which the server is stopped and started again; the tour's first session lives on. With the word `die` it only leaves an
ephemeral node behind and ends without closing its session.
"""

import os
import subprocess
import sys
import threading

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import BadVersionError, NoAuthError, NodeExistsError, NoNodeError, NotEmptyError, RolledBackError
from kazoo.security import make_acl, make_digest_acl, OPEN_ACL_UNSAFE
from kazoo.recipe.watchers import PatientChildrenWatch

HOSTS = sys.argv[1]
WAIT = 30


def say(*words):
    print(*words, flush=True)


def client(**options):
    c = KazooClient(HOSTS, timeout=10, connection_retry={"max_tries": -1, "delay": 0.05, "max_delay": 0.5}, **options)
    c.start(timeout=WAIT)
    return c


def done(event):
    assert event.wait(WAIT), "nothing came"


def raises(kind, call, *args, **options):
    try:
        call(*args, **options)
    except kind:
        return kind.__name__
    raise AssertionError(f"no {kind.__name__}")


class Seen:
    """Values in the order in which a watch told them."""

    def __init__(self):
        self.values = []
        self.change = threading.Condition()

    def __call__(self, value):
        with self.change:
            self.values.append(value)
            self.change.notify_all()

    def until(self, wanted):
        with self.change:
            assert self.change.wait_for(lambda: wanted(self.values), WAIT), self.values
            return list(self.values)


def nodes(c):
    c.ensure_path("/tour/deep/er")
    say("create", c.create("/tour/a", b"one"))
    say("again", raises(NodeExistsError, c.create, "/tour/a"))
    say("no parent", raises(NoNodeError, c.create, "/tour/none/a"), c.create("/tour/made/on/the/way", makepath=True))
    data, stat = c.get("/tour/a")
    say("get", data, stat.version, stat.dataLength, stat.numChildren, stat.ephemeralOwner)
    stat = c.set("/tour/a", b"two", version=0)
    say("set", stat.version, raises(BadVersionError, c.set, "/tour/a", b"three", version=0))
    path, stat = c.create("/tour/with-stat", b"12345", include_data=True)
    say("create2", path, stat.dataLength, stat.czxid == stat.mzxid)
    say("children", sorted(c.get_children("/tour")), c.exists("/tour").numChildren, c.exists("/tour/none"))
    say("not empty", raises(NotEmptyError, c.delete, "/tour/deep"), c.delete("/tour/deep", recursive=True))
    say("sequence", [c.create("/tour/seq-", sequence=True) for _ in range(3)], c.create("/tour/", sequence=True))
    say("and on", c.create("/tour/seq-", sequence=True))
    say("unicode", c.create("/tour/ünï-Ω-漢", "Ω".encode()), c.get("/tour/ünï-Ω-漢")[0].decode())
    big = os.urandom(900_000)
    c.create("/tour/big", big)
    say("big", c.get("/tour/big")[0] == big)
    results = [c.create_async(f"/tour/many-{n}", b"x" * n) for n in range(500)]
    results += [c.get_async(f"/tour/many-{n}") for n in range(500)]
    say("pipelined", len({r.get(timeout=WAIT) for r in results[:500]}), sum(len(r.get(timeout=WAIT)[0]) for r in results[500:]))
    say("sync", c.sync("/tour"))


def watches(c, other):
    data, children, none = Seen(), Seen(), Seen()
    c.create("/watch", b"0")
    c.DataWatch("/watch", lambda value, stat: data(value))
    c.DataWatch("/watch/later", lambda value, stat: none(value))
    c.ChildrenWatch("/watch", lambda names: children(sorted(names)))
    for n in (b"1", b"2", b"3"):
        other.set("/watch", n)
        data.until(lambda values: values[-1] == n)
    other.create("/watch/later", b"here")
    none.until(lambda values: values[-1] == b"here")
    children.until(lambda values: values[-1] == ["later"])
    other.delete("/watch/later")
    say("data watch", data.values, none.until(lambda values: len(values) > 1 and values[-1] is None))
    say("children watch", children.until(lambda values: values[-1] == []))
    one = []
    gone = threading.Event()
    c.exists("/watch/once", watch=lambda event: (one.append((event.type, event.state, event.path)), gone.set()))
    other.create("/watch/once")
    done(gone)
    other.delete("/watch/once")
    say("one shot", one)
    quiet = PatientChildrenWatch(c, "/watch", time_boundary=0.2).start()
    say("patient", quiet.get(timeout=WAIT)[0])


def transactions(c):
    t = c.transaction()
    t.create("/txn", b"0")
    t.create("/txn/a-", b"1", sequence=True)
    t.set_data("/txn", b"2", version=0)
    t.check("/txn", version=1)
    t.delete("/txn/a-0000000000")
    path, sequence, stat, check, delete = t.commit()
    say("transaction", path, sequence, stat.version, check, delete)
    t = c.transaction()
    t.create("/txn/b")
    t.check("/txn", version=7)
    t.create("/txn/c")
    say("refused", [type(r).__name__ for r in t.commit()], c.get_children("/txn"))
    with c.transaction() as t:
        t.create("/txn/with")
    say("with", c.get_children("/txn"))
    assert RolledBackError


def permissions(c):
    secret = client(auth_data=[("digest", "alice:secret")])
    mine = make_digest_acl("alice", "secret", all=True)
    secret.create("/secret", b"x", acl=[mine, make_acl("world", "anyone", read=True)])
    say("read", c.get("/secret")[0], raises(NoAuthError, c.set, "/secret", b"y"), raises(NoAuthError, c.create, "/secret/a"))
    say("own", secret.set("/secret", b"y").version, [(a.perms, a.id.scheme) for a in secret.get_acls("/secret")[0]])
    say("masked", [(a.perms, a.id.id) for a in c.get_acls("/secret")[0]])
    secret.set_acls("/secret", [mine])
    say("no read", raises(NoAuthError, c.get, "/secret"), raises(NoAuthError, c.get_children, "/secret"))
    c.add_auth("digest", "alice:secret")
    say("after auth", c.get("/secret")[0], c.set_acls("/secret", OPEN_ACL_UNSAFE).aversion)
    secret.stop()
    secret.close()


def recipes(a, b):
    lock, contender = a.Lock("/lock", "a"), b.Lock("/lock", "b")
    assert lock.acquire(timeout=WAIT)
    got = threading.Event()
    thread = threading.Thread(target=lambda: (contender.acquire(timeout=WAIT), got.set()))
    thread.start()
    while len(lock.contenders()) < 2:
        pass
    say("lock", lock.contenders(), got.is_set(), b.Lock("/lock", "c").acquire(blocking=False))
    lock.release()
    done(got)
    thread.join()
    say("next", contender.contenders())
    contender.release()
    readers = [a.ReadLock("/rw", "r1"), b.ReadLock("/rw", "r2")]
    say("readers", [r.acquire(timeout=WAIT) for r in readers], b.WriteLock("/rw", "w").acquire(blocking=False))
    say("released", [r.release() for r in readers], a.WriteLock("/rw", "w").acquire(timeout=WAIT))
    semaphore = a.Semaphore("/sem", max_leases=2), b.Semaphore("/sem", max_leases=2)
    say("semaphore", [s.acquire(timeout=WAIT) for s in semaphore], a.Semaphore("/sem", max_leases=2).acquire(blocking=False),
        [s.release() for s in semaphore])
    counters = [c.Counter("/counter") for c in (a, b)]
    threads = [threading.Thread(target=lambda c=c: [c + 1 for _ in range(20)]) for c in counters]
    [t.start() for t in threads]
    [t.join() for t in threads]
    say("counter", counters[0].value)
    queue = a.Queue("/queue")
    [queue.put(value, priority) for value, priority in ((b"second", 100), (b"first", 1), (b"third", 200))]
    other = b.Queue("/queue")
    say("queue", len(queue), [other.get() for _ in range(4)])
    queue = a.LockingQueue("/lqueue")
    queue.put_all([b"x", b"y"])
    say("locking queue", queue.get(timeout=WAIT), queue.consume(), queue.get(timeout=WAIT), queue.holds_lock(), queue.consume())
    led = []
    election = a.Election("/election", "a")
    election.run(lambda: led.append(election.contenders()))
    b.Election("/election", "b").run(lambda: led.append("b"))
    say("election", led)
    barrier = a.Barrier("/barrier")
    barrier.create()
    passed = Seen()
    thread = threading.Thread(target=lambda: passed(b.Barrier("/barrier").wait(WAIT)))
    thread.start()
    say("barrier", barrier.wait(0.3), barrier.remove(), passed.until(len))
    thread.join()
    through = Seen()

    def enter(c, name):
        double = c.DoubleBarrier("/double", 2, name)
        double.enter()
        through("in")
        double.leave()
        through("out")

    threads = [threading.Thread(target=enter, args=pair) for pair in ((a, "a"), (b, "b"))]
    [t.start() for t in threads]
    [t.join() for t in threads]
    say("double barrier", sorted(through.values))
    parties = a.Party("/party", "a"), b.Party("/party", "b")
    [p.join() for p in parties]
    say("party", sorted(parties[0]), len(parties[1]), parties[1].leave(), sorted(parties[0]))
    shallow = a.ShallowParty("/shallow", "a")
    shallow.join()
    say("shallow party", list(b.ShallowParty("/shallow", "b")))
    lease = a.NonBlockingLease("/lease", __import__("datetime").timedelta(minutes=1), "a")
    say("lease", bool(lease), bool(b.NonBlockingLease("/lease", __import__("datetime").timedelta(minutes=1), "b")))


def sessions(c, other):
    short = client()
    short.create("/closed", ephemeral=True)
    owner = c.exists("/closed").ephemeralOwner == short.client_id[0]
    gone = threading.Event()
    c.exists("/closed", watch=lambda event: event.type == "DELETED" and gone.set())
    short.stop()
    short.close()
    done(gone)
    say("closed", owner, c.exists("/closed"))
    gone = Seen()
    subprocess.run([sys.executable, __file__, HOSTS, "die"], check=True)
    left = c.exists("/dead", watch=lambda event: gone(event.type))
    say("expired", left is not None, gone.until(len), c.exists("/dead"))


def restart(c):
    states, data = Seen(), Seen()
    c.add_listener(states)
    c.create("/kept", ephemeral=True)
    c.create("/told", b"before")
    c.DataWatch("/told", lambda value, stat: data(value))
    session = c.client_id
    say("restart")
    assert sys.stdin.readline() == "go on\n"
    states.until(lambda values: KazooState.CONNECTED in values)
    say("session kept", c.client_id == session, c.exists("/kept").ephemeralOwner == session[0], KazooState.LOST in states.values)
    c.set("/told", b"after")
    say("watch kept", data.until(lambda values: values[-1] == b"after"), c.get("/tour/a")[0])


def crowd(c):
    c.ensure_path("/crowd")
    made, all_in = Seen(), Seen()

    def one():
        member = client()
        made(member.create("/crowd/m-", ephemeral=True, sequence=True))
        all_in.until(len)
        member.stop()
        member.close()

    threads = [threading.Thread(target=one) for _ in range(200)]
    [t.start() for t in threads]
    made.until(lambda values: len(values) == 200)
    say("crowd", len(set(made.values)), len(c.get_children("/crowd")))
    all_in(True)
    [t.join() for t in threads]
    say("left", len(c.get_children("/crowd")))


def main():
    if sys.argv[2:] == ["die"]:
        dying = KazooClient(HOSTS, timeout=1)
        dying.start(timeout=WAIT)
        dying.create("/dead", ephemeral=True)
        os._exit(0)
    first, second = client(), client()
    nodes(first)
    watches(first, second)
    transactions(first)
    recipes(first, second)
    sessions(first, second)
    restart(first)
    crowd(first)
    permissions(first)
    for c in (first, second):
        c.stop()
        c.close()
    say("end")


main()
