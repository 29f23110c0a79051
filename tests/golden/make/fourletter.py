"""Records ../fourletter: every answer to a four-letter word, and of the admin server, with clients present."""

import json
import pathlib
import re
import shutil
import struct
import tempfile
import urllib.request

from apache import GOLDEN, SUPER, Raw, Recording, Server, free_port, java

OUT = GOLDEN / "fourletter"
WORDS = ("ruok", "isro", "srvr", "stat", "mntr", "conf", "cons", "dump", "envi", "dirs", "wchs", "wchc", "wchp", "hash", "gtmk")
RESETS = ("crst", "srst")


def neutral(answer):
    """The machine's own name and kernel are nobody's business."""
    answer = re.sub(rb'(host\.name"? ?[=:] ?"?)[^\n",]*', rb"\1localhost", answer)
    return re.sub(rb'(os\.version"? ?[=:] ?"?)[^\n",]*', rb"\1", answer)


def populate(j, server):
    j("open", "s", server.address, 40000)
    j("auth", "s", "digest", SUPER)
    j("create", "s", "/app", "text:", "open", "PERSISTENT")
    for i in range(70):
        j("create", "s", f"/app/node-{i}", f"text:{i}", "open", "PERSISTENT")
        j("set", "s", f"/app/node-{i}", "text:changed", -1)
    j("create", "s", "/app/ephemeral-of-s", "text:", "open", "EPHEMERAL")
    j("open", "w", server.address, 30000)
    j("get", "w", "/app/node-1", "x")
    j("get", "w", "/app/node-2", "x")
    j("exists", "w", "/app/none", "x")
    j("ls", "w", "/app/node-1", "x")
    j("addwatch", "w", "/app/node-3", "x", "PERSISTENT")
    j("addwatch", "w", "/", "x", "PERSISTENT_RECURSIVE")
    j("create", "w", "/app/ephemeral-1", "text:", "open", "EPHEMERAL")
    j("create", "w", "/app/ephemeral-2", "text:", "open", "EPHEMERAL")
    j("get", "s", "/app/node-1", "x")


def take(folder, server):
    folder.mkdir(parents=True)
    for word in WORDS:
        (folder / f"{word}.txt").write_bytes(neutral(server.four(word)))
    (folder / "stmk.txt").write_bytes(server.four(b"stmk" + struct.pack(">q", 306)))
    (folder / "ruok-with-newline.txt").write_bytes(server.four("ruok\n"))
    commands = folder / "admin"
    commands.mkdir()
    index = urllib.request.urlopen(f"http://127.0.0.1:{server.admin_port}/commands").read()
    (commands / "index.html").write_bytes(index)
    for name in sorted(set(re.findall(rb'href="/commands/([a-z_]+)"', index))):
        name = name.decode()
        if "reset" in name or name.startswith("set_"):
            continue
        answer = server.admin(name)
        (commands / f"{name}.json").write_bytes(neutral(answer))
        json.loads(answer)
    (commands / "unknown.json").write_bytes(server.admin("nosuch"))
    with urllib.request.urlopen(f"http://127.0.0.1:{server.admin_port}/commands/ruok") as answer:
        (commands / "headers.txt").write_text(f"{answer.status}\n{answer.headers}")
    for word in RESETS:
        (folder / f"{word}.txt").write_bytes(server.four(word))
    (folder / "srvr-after-reset.txt").write_bytes(server.four("srvr"))
    (folder / "cons-after-reset.txt").write_bytes(server.four("cons"))


def main():
    for folder in ("standalone", "leader", "not-in-whitelist", "not-serving", "empty"):
        shutil.rmtree(OUT / folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="zk-") as home:
        with java() as j, Server(f"{home}/data", admin=True) as server:
            wire = Raw(server.port, Recording("/dev/null", ""))
            populate(j, server)
            wire.connect(read_only=None)
            take(OUT / "standalone", server)
    with tempfile.TemporaryDirectory(prefix="zk-") as home:
        data = pathlib.Path(home) / "data"
        data.mkdir()
        (data / "myid").write_text("3\n")
        port = free_port()
        dynamic = pathlib.Path(home) / "zoo.dynamic"
        dynamic.write_text(f"server.3=127.0.0.1:{free_port()}:{free_port()}:participant;127.0.0.1:{port}\n")
        config = {"standaloneEnabled": "false", "dynamicConfigFile": str(dynamic), "clientPort": None,
                  "clientPortAddress": None, "dynamicPort": str(port)}
        with java() as j, Server(data, admin=True, config=config) as server:
            populate(j, server)
            take(OUT / "leader", server)
    with tempfile.TemporaryDirectory(prefix="zk-") as home:
        with Server(f"{home}/data", config={"4lw.commands.whitelist": "ruok, srvr"}) as server:
            folder = OUT / "not-in-whitelist"
            folder.mkdir()
            for word in (*WORDS, *RESETS):
                if word not in ("ruok", "srvr"):
                    (folder / f"{word}.txt").write_bytes(server.four(word))
            (OUT / "empty").mkdir()
            (OUT / "empty" / "srvr.txt").write_bytes(server.four("srvr"))
    with tempfile.TemporaryDirectory(prefix="zk-") as home:
        data = pathlib.Path(home) / "data"
        data.mkdir()
        (data / "myid").write_text("1\n")
        port = free_port()
        config = {f"server.{i}": f"127.0.0.1:{free_port()}:{free_port()}" for i in (1, 2, 3)}
        with Server(data, config=config | {"clientPort": str(port), "dynamicPort": str(port)}, serving=False) as server:
            folder = OUT / "not-serving"
            folder.mkdir()
            for word in (*WORDS, *RESETS):
                (folder / f"{word}.txt").write_bytes(neutral(server.four(word)))


if __name__ == "__main__":
    main()
