"""Works on an ensemble while its servers are replaced, and says whether anybody noticed.

Prints `ready`, works until a line comes on standard input, then checks what every client knows and prints a report in
JSON. Clients keep their sessions to the end; all they tell of is what was acknowledged.
"""

import json
import logging
import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.protocol.states import KazooState
from kazoo.retry import KazooRetry

TIMEOUT = 15.0
ROOT = "/swap"


class Worker:
    """A client with a session of its own, which goes on until it is told to stop."""

    def __init__(self, hosts, name):
        self.name = name
        self.states = []
        retry = dict(max_tries=-1, delay=0.02, backoff=1.5, max_delay=0.5)
        self.client = KazooClient(hosts=hosts, timeout=TIMEOUT, randomize_hosts=True,
                                  connection_retry=KazooRetry(**retry), command_retry=KazooRetry(**retry))
        self.client.add_listener(self.states.append)
        self.client.start(timeout=30)
        self.session = self.client.client_id[0]
        self.client.ensure_path(f"{ROOT}/alive")
        self.client.create(f"{ROOT}/alive/{name}", ephemeral=True)
        self.stopping = threading.Event()
        self.problems = []
        self.acknowledged = 0
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.stopping.is_set():
            try:
                self.work()
            except KazooException as error:
                # A request in doubt; what was acknowledged is checked at the end.
                if self.client.state != KazooState.LOST:
                    continue
                self.problems.append(f"{self.name}: {error!r}")
                return

    def finish(self):
        self.stopping.set()
        self.thread.join()
        self.check()
        owner = self.client.exists(f"{ROOT}/alive/{self.name}")
        if owner is None or owner.ephemeralOwner != self.session:
            self.problems.append(f"{self.name}: its ephemeral is {owner}")
        if KazooState.LOST in self.states or self.client.client_id[0] != self.session:
            self.problems.append(f"{self.name}: its session is over")

    def check(self):
        pass


class Creator(Worker):
    """Creates znodes, each once."""

    def __init__(self, hosts, name):
        super().__init__(hosts, name)
        self.client.ensure_path(f"{ROOT}/made/{name}")
        self.number = 0
        self.made = []

    def work(self):
        self.number += 1
        path = f"{ROOT}/made/{self.name}/{self.number}"
        self.client.create(path, str(self.number).encode())
        self.made.append(str(self.number))
        self.acknowledged += 1

    def check(self):
        self.client.sync(ROOT)
        found = set(self.client.get_children(f"{ROOT}/made/{self.name}"))
        lost = [name for name in self.made if name not in found]
        if lost:
            self.problems.append(f"{self.name}: {len(lost)} znodes are lost, such as {lost[:5]}")


class Counter(Worker):
    """Counts with kazoo's recipe, together with others."""

    def __init__(self, hosts, name):
        super().__init__(hosts, name)
        self.counter = self.client.Counter(f"{ROOT}/counter")

    def work(self):
        self.counter += 1
        self.acknowledged += 1


class Locker(Worker):
    """Takes and releases a lock; nobody else may hold it meanwhile."""

    holders = 0

    def __init__(self, hosts, name):
        super().__init__(hosts, name)
        self.lock = self.client.Lock(f"{ROOT}/lock", name)

    def work(self):
        with self.lock:
            Locker.holders += 1
            try:
                if Locker.holders != 1:
                    self.problems.append(f"{self.name}: {Locker.holders} hold the lock")
                self.client.exists(f"{ROOT}/lock")
            finally:
                Locker.holders -= 1
        self.acknowledged += 1


class Watcher(Worker):
    """Sees the counter change: never backwards, and in the end as it is."""

    def __init__(self, hosts, name):
        super().__init__(hosts, name)
        self.seen = []
        self.client.DataWatch(f"{ROOT}/counter", self._on_change)

    def _on_change(self, data, stat):
        if stat is not None:
            self.seen.append((stat.version, data))
            self.acknowledged += 1

    def work(self):
        self.stopping.wait(0.05)

    def check(self):
        versions = [version for version, _ in self.seen]
        if versions != sorted(versions):
            self.problems.append(f"{self.name}: the counter went back: {versions}")
        for _ in range(200):
            self.client.sync(ROOT)
            data, stat = self.client.get(f"{ROOT}/counter")
            if self.seen and self.seen[-1] == (stat.version, data):
                return
            threading.Event().wait(0.05)
        self.problems.append(f"{self.name}: saw {self.seen[-1:]} last, and the counter is at {stat.version}, {data}")


def main():
    logging.basicConfig(level=logging.CRITICAL)
    hosts = sys.argv[1]
    kinds = [Creator, Creator, Counter, Counter, Locker, Locker, Locker, Watcher]
    workers = [kind(hosts, f"{kind.__name__.lower()}-{number}") for number, kind in enumerate(kinds)]
    for worker in workers:
        worker.thread.start()
    print("ready", flush=True)
    sys.stdin.readline()
    # Who watches looks last, when nobody counts any more.
    for worker in workers:
        worker.finish()
    problems = [problem for worker in workers for problem in worker.problems]
    counted = sum(worker.acknowledged for worker in workers if isinstance(worker, Counter))
    client = workers[0].client
    client.sync(ROOT)
    counter = int(client.get(f"{ROOT}/counter")[0])
    if counter < counted:
        problems.append(f"{counted} counted, and the counter is at {counter}")
    report = {
        "problems": problems,
        "acknowledged": {worker.name: worker.acknowledged for worker in workers},
        "suspended": sum(worker.states.count(KazooState.SUSPENDED) for worker in workers),
    }
    for worker in workers:
        worker.client.stop()
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
