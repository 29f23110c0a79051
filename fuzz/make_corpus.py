#!/usr/bin/env python3
"""Writes the seed corpus of every fuzz target from the golden data.

usage: fuzz/make_corpus.py [FOLDER]    (writes FOLDER/TARGET/; fuzz/corpus/TARGET/ without FOLDER)
"""
import hashlib
import pathlib
import re
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent
GOLDEN = ROOT.parent / "tests" / "golden"
OUT = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "corpus"

SIGNATURE = b"\0\0\0\x0aBenWasHere"
SNAP = 13


def seed(target: str, content: bytes) -> None:
    folder = OUT / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)


def frames() -> None:
    for file in sorted((GOLDEN / "client-port").glob("*.txt")):
        for line in file.read_text(encoding="utf-8").splitlines():
            mark, _, digits = line.partition(" ")
            if mark in (">", ">?"):
                frame = bytes.fromhex(digits)
                seed("client_frame", struct.pack(">i", len(frame)) + frame)
                seed("client_frame", frame)
            elif mark in ("<", "<?"):
                seed("server_frame", bytes.fromhex(digits))


def files() -> None:
    for file in sorted(GOLDEN.glob("data/**/version-2/*")):
        content = file.read_bytes()
        if file.name.startswith("log."):
            seed("txn_log", content.rstrip(b"\0")[:65536])
            at = 16
            while at + 12 < len(content):
                length = struct.unpack(">i", content[at + 8 : at + 12])[0]
                if length <= 0:
                    break
                seed("txn", content[at + 12 : at + 12 + length])
                at += length + 13
        elif file.name.startswith("snapshot."):
            seed("snapshot", content[:65536])
            body = snapshot_body(content)
            if body is not None:
                for piece in (0, 1, 40):
                    seed("snapshot_stream", bytes([piece]) + body + SIGNATURE + b"rest")


def snapshot_body(content: bytes) -> bytes | None:
    """The nodes of a snapshot with their sessions and ACLs, and the path "/"."""
    # A seal, and after 3.8 the digest and its seal, after 3.9 the zxid and its seal.
    for trailer in (13, 13 + 33, 13 + 33 + 21):
        body = content[16 : len(content) - trailer]
        if content[:4] == b"ZKSN" and body.endswith(b"\0\0\0\1/"):
            return body
    return None


# Numbers of names in src/directory.rs.
KINDS = {"flushed": 4, "intent": 5, "acceptedEpoch": 7, "currentEpoch": 8}


def directories() -> None:
    """Whole data directories, as src/directory.rs reads them."""
    for folder in sorted(GOLDEN.glob("data/**/version-2")):
        for sealed in (0, 0x80):
            parts = [directory_file(file, sealed) for file in sorted(folder.iterdir())]
            directory = b"".join(parts)
            if len(directory) < 65536:
                seed("recovery", directory)
        texts = [folder / name for name in ("acceptedEpoch", "currentEpoch")]
        if all(text.exists() for text in texts):
            accepted, current = (text.read_bytes() for text in texts)
            for present in range(16):
                header = bytes([present, 1, 0, 0b0101, 9, 0b0011, len(accepted)])
                seed("epochs", header + accepted + current)
    # Other promises than those few.
    for accepted, current in ((b"7", b"7\n"), (b"4294967295", b"0"), (b"2", b"3"), (b"", b"x")):
        seed("epochs", bytes([3, 1, 0, 0, 0, 0, len(accepted)]) + accepted + current)


def directory_file(file: pathlib.Path, sealed: int) -> bytes:
    content = file.read_bytes()
    kind, zxid = KINDS.get(file.name, 12), 0
    named = re.fullmatch(r"(log|snapshot)\.([0-9a-f]+)(|\.gz|\.snappy)", file.name)
    if named:
        name, number, suffix = named.groups()
        kind = 0 if name == "log" else {"": 1, ".gz": 2, ".snappy": 3}[suffix]
        zxid = int(number, 16)
    if kind == 0:
        content = content.rstrip(b"\0")
    length = len(content)
    header = struct.pack(">BHHBH", kind | sealed, zxid >> 32, zxid & 0xFFFF, length >> 16, length & 0xFFFF)
    return header + content


def requests() -> None:
    """The requests of whole conversations as steps of the target `tree`, and steps of each kind for crashes."""
    create, delete, get, set_data, multi, close = (1, 15, 19, 20), 2, (3, 4), 5, 14, -11
    for file in sorted((GOLDEN / "client-port").glob("*.txt")):
        steps, paths = b"", {}
        for line in file.read_text(encoding="utf-8").splitlines():
            mark, _, digits = line.partition(" ")
            frame = bytes.fromhex(digits) if mark == ">" else b""
            if len(frame) < 8:
                continue
            op = struct.unpack(">i", frame[4:8])[0]
            length = struct.unpack(">i", frame[8:12])[0] if len(frame) >= 12 else 0
            path = frame[12 : 12 + max(0, length)]
            number = paths.setdefault(path, len(paths) * 4 % 248)
            what = (
                create.index(op) if op in create
                else 22 if op == delete
                else 30 if op == set_data
                else 40 if op == multi
                else 51 + 5 * get.index(op) if op in get
                else 69 if op == close
                else 77
            )
            kind = 3 if op == multi else create.index(op) if op in create else 1
            steps += bytes([what * 3, number, kind, 0])
            steps += b"".join(bytes([i, number, 1]) for i in range(3)) if op == multi else b""
        seed("tree", b"\0" + steps)
        seed("tree", b"\1" + steps)
    # Batches, a roll, a snapshot, a sync of the mark, a power cut, a restart; then each kind of damage.
    steps = b"\0\2\1\0" + b"\3" + b"\1\4\2\0" + b"\4" + b"\0\1\0\5" + b"\5" + b"\6\4\3\3\0\x55\xaa" + b"\7" + b"\0\4\0\0"
    for power in (0, 1):
        for damage in range(5):
            for log, at in ((0, 17), (1, 30), (1, 900)):
                end = struct.pack(">BIBIB", power, log, damage, at, 5)
                seed("damaged_log", end + steps)


def configurations() -> None:
    """Every key with its default, in the file, as a flag and on the command line."""
    page = (ROOT.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| (?:`([^`]*)`|[^|]*) \|", page, re.MULTILINE)
    least = "dataDir=/data\nclientPort=2181\n"
    for key, _, default in rows:
        for value in filter(None, (default, "1", "true", "/x")):
            line = f"{key}={value}"
            seed("zoo_cfg", f"{least}{line}\n".encode())
            seed("zoo_cfg", f"{least}\0-D{line} -Dzookeeper.{line}\0{line}\0{1}".encode())
    servers = "".join(f"server.{i}=127.0.0.{i}:2888:3888:participant;2181\n" for i in (1, 2, 3))
    seed("zoo_cfg", f"{least}{servers}initLimit=10\nsyncLimit=5\ngroup.1=1:2:3\nweight.1=1\n\0\0\0{2}".encode())


def streams() -> None:
    """Whole streams between servers, and the packets, votes and texts in them."""
    for file in sorted((GOLDEN / "quorum").glob("*.txt")):
        for part in file.read_text(encoding="utf-8").split("\n+ ")[1:]:
            port, *lines = part.splitlines()
            sent, received = (
                b"".join(bytes.fromhex(line[2:]) for line in lines if line.startswith(mark)) for mark in "><"
            )
            if port.startswith("quorum"):
                packets("learner_packets", sent)
                packets("leader_packets", received)
                sent_snapshot(received)
                continue
            seed("initial_message", sent)
            length = 20 + struct.unpack(">i", sent[16:20])[0]
            votes(sent[length:])
            votes(received)


def packets(target: str, stream: bytes) -> None:
    seed(target, stream[:65536])
    # The ids of a request, and the snapshot behind a SNAP, are left to the whole stream.
    while len(stream) >= 20:
        length = max(0, struct.unpack(">i", stream[12:16])[0])
        if stream[16 + length : 20 + length] != b"\xff\xff\xff\xff":
            break
        seed(target, stream[: 20 + length])
        stream = stream[20 + length :]


def sent_snapshot(stream: bytes) -> None:
    """The snapshot behind a SNAP packet, and what follows it."""
    end = stream.find(SIGNATURE)
    packet = stream.rfind(struct.pack(">i", SNAP), 0, max(0, end))
    if packet >= 0:
        for piece in (0, 3):
            seed("snapshot_stream", bytes([piece]) + stream[packet + 20 :][:65536])


def votes(stream: bytes) -> None:
    while len(stream) > 48 and stream[:1] == b"\0":
        end = 4 + struct.unpack(">i", stream[:4])[0]
        seed("notification", stream[4:end])
        seed("ensemble_config", stream[48:end])
        stream = stream[end:]


if __name__ == "__main__":
    frames()
    streams()
    files()
    directories()
    requests()
    configurations()
    for path in ("/", "/a/b", "/zookeeper/quota/a/zookeeper_limits", "/a//b", "/..", "/\u00e9"):
        seed("path", path.encode())
