"""A kazoo client that is content to read, at a member without its quorum: python3 kazoo_read_only.py HOST:PORT

Prints "quorum" and waits for a line of input once it wants the quorum back.
"""

import queue
import sys

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

PATIENCE = 60


def refused(what, call):
    try:
        call()
    except KazooException as error:
        print(what, type(error).__name__)
    else:
        print(what, "done")


def main():
    states, values = queue.Queue(), queue.Queue()
    client = KazooClient(hosts=sys.argv[1], timeout=20, read_only=True)
    client.add_listener(states.put)
    client.start(PATIENCE)
    print(client.client_state, states.get(timeout=PATIENCE))
    reader, _ = client.client_id
    client.DataWatch("/a")(lambda data, stat: values.put(data))
    print(values.get(timeout=PATIENCE), client.exists("/none"), client.get_children("/a"))
    refused("create", lambda: client.create("/b"))
    refused("set", lambda: client.set("/a", b"no"))
    refused("delete", lambda: client.delete("/none"))
    refused("sync", lambda: client.sync("/a"))
    refused("commit", lambda: client.transaction().commit())

    print("quorum", flush=True)
    sys.stdin.readline()
    print(*(states.get(timeout=PATIENCE) for _ in range(3)))
    print(client.client_state, client.client_id[0] != reader)
    client.set("/a", b"2")
    while values.get(timeout=PATIENCE) != b"2":
        pass
    client.stop()
    client.close()


main()
