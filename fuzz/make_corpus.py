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


if __name__ == "__main__":
    frames()
    files()
    for path in ("/", "/a/b", "/zookeeper/quota/a/zookeeper_limits", "/a//b", "/..", "/\u00e9"):
        seed("path", path.encode())
