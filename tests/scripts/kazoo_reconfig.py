"""Adds a member to an ensemble, as the super user, and prints the membership that it has then.

usage: kazoo_reconfig.py HOST:PORT SERVER_LINE
"""

import sys

from kazoo.client import KazooClient

address, joining = sys.argv[1:]
client = KazooClient(address, auth_data=[("digest", "super:golden")])
client.start()
data, stat = client.reconfig(joining=joining, leaving=None, new_members=None)
shown, _ = client.get("/zookeeper/config")
assert shown == data, (shown, data)
print(data.decode())
client.stop()
