#!/usr/bin/env python3
"""Writes the seed corpus of every fuzz target from the golden data.

usage: fuzz/make_corpus.py    (from the repository's root; writes fuzz/corpus/TARGET/)
"""
import hashlib
import pathlib
import struct

ROOT = pathlib.Path(__file__).resolve().parent
GOLDEN = ROOT.parent / "tests" / "golden"


def seed(target: str, content: bytes) -> None:
    folder = ROOT / "corpus" / target
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
    for path in ("/", "/a/b", "/zookeeper/quota/a/zookeeper_limits", "/a//b", "/..", "/\u00e9"):
        seed("path", path.encode())
