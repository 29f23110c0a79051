"""Checks that the golden data hangs together: digests of trees, session passwords, the recordings' form."""

import base64
import json
import re
import struct
import zlib

from apache import GOLDEN


def string(data, at):
    size = struct.unpack(">i", data[at:at + 4])[0]
    return data[at + 4:at + 4 + size].decode(), at + 4 + size


def entries(log):
    """Bodies of a log's entries; header, checksum and end mark are checked."""
    data = log.read_bytes()
    assert data[:4] == b"ZKLG"
    at = 16
    while at + 12 <= len(data):
        checksum, size = struct.unpack(">qi", data[at:at + 12])
        if size == 0:
            return
        body = data[at + 12:at + 12 + size]
        assert zlib.adler32(body) == checksum and data[at + 12 + size] == 0x42
        yield body
        at += 13 + size


def owners(kind, body, found):
    """Containers and TTL nodes keep their kind in ephemeralOwner, where clients see 0."""
    if kind == 19:
        found[string(body, 0)[0]] = -(1 << 63)
    elif kind == 21:
        found[string(body, 0)[0]] = (0xFF << 56 | struct.unpack(">q", body[-8:])[0]) - (1 << 64)
    elif kind in (1, 15):
        found.pop(string(body, 0)[0], None)
    elif kind == 14:
        at = 4
        for _ in range(struct.unpack(">i", body[:4])[0]):
            sub, size = struct.unpack(">ii", body[at:at + 8])
            owners(sub, body[at + 8:at + 8 + size], found)
            at += 8 + size


def node_digest(node, owner):
    path, stat = node["path"].removesuffix("/"), node["stat"]
    if path.startswith("/zookeeper/"):
        return 0
    # What is stored counts creations; what clients see counts creations and deletions.
    cversion = (stat["cversion"] + stat["numChildren"]) // 2
    data = base64.b64decode(node["data"] or "")
    return zlib.crc32(path.encode() + data + struct.pack(
        ">qqqqqiiiq", stat["czxid"], stat["mzxid"], stat["pzxid"], stat["ctime"], stat["mtime"], stat["version"],
        cversion, stat["aversion"], owner or stat["ephemeralOwner"]))


def check_directory(folder):
    found = {}
    logs = sorted(folder.glob("version-2/log.*"), key=lambda log: int(log.name[4:], 16))
    for log in logs:
        for last in entries(log):
            kind = struct.unpack(">i", last[28:32])[0]
            owners(kind, last[32:] if folder.name == "old-style" else last[32:-12], found)
    nodes = json.loads((folder / "tree.json").read_text())
    total = sum(node_digest(node, found.get(node["path"])) for node in nodes)
    version, logged = struct.unpack(">iq", last[-12:])
    if folder.name != "old-style":
        assert (version, logged) == (2, total), (folder, version, logged, total)
    print(folder.name, len(nodes), "nodes, digest", total)


def password(session):
    """java.util.Random(session ^ 0xB3415C00).nextBytes(16)."""
    mask = (1 << 48) - 1
    state = (session ^ 0xB3415C00 ^ 0x5DEECE66D) & mask
    out = b""
    for _ in range(4):
        state = (state * 0x5DEECE66D + 0xB) & mask
        out += struct.pack("<I", state >> 16 & 0xFFFFFFFF)
    return out


def check_recording(file):
    fresh = False
    for line in file.read_text().splitlines():
        assert re.fullmatch(r"#.*|\+|x (client|server|proxy)|[<>] ([0-9a-f]{2})+|[<>]\?( ([0-9a-f]{2})+)?", line), (file, line)
        if line == "+":
            fresh = True
        elif line.startswith("<") and fresh:
            fresh = False
            answer = bytes.fromhex(line.split()[1])
            session = struct.unpack(">q", answer[8:16])[0]
            assert answer[20:36] == (password(session) if session else bytes(16)), file


def check_streams(file):
    for line in file.read_text().splitlines():
        assert re.fullmatch(r"#.*|\+ (quorum|election) [1-9]|[<>] ([0-9a-f]{2})+", line), (file, line)


def main():
    for folder in sorted((GOLDEN / "data").iterdir()):
        check_directory(folder)
    recordings = list((GOLDEN / "client-port").glob("*.txt"))
    for file in recordings:
        check_recording(file)
    for file in (GOLDEN / "quorum").glob("*.txt"):
        check_streams(file)
    print(len(recordings), "recordings")


if __name__ == "__main__":
    main()
