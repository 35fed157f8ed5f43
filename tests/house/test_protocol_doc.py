"""docs/protocol.md lists the messages of the code: the same numbers, names, directions and fields, in the
same order."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


WAYS = {
    "all_to_head": "C, N, V → H",
    "head_to_all": "H → C, N, V",
    "all_to_head | head_to_all": "both",
    **{
        f"{a}_to_{b}": f"{a[0].upper()} → {b[0].upper()}"
        for a in ("client", "node", "viewer", "head")
        for b in ("client", "node", "viewer", "head")
    },
    "node_to_worker": "node → worker",
    "worker_to_node": "worker → node",
}


def in_words(ways: str) -> str:
    """Return the directions of the code as the document has them."""
    return WAYS.get(ways) or ", ".join(WAYS[way] for way in ways.split(" | "))


def in_code(headers: list[str]) -> list[tuple[int, str, str, list[str]]]:
    """Return (number, name, directions, fields) of every message that these headers define, in their order."""
    found = []
    text = "".join((ROOT / "src/wire" / header).read_text() for header in headers)
    for struct, body in re.findall(r"^struct (\w+) \{\n(.*?)^\};", text, re.S | re.M):
        message = re.search(r"DC_MESSAGE\(([^)]*)\)", body)
        if message:
            number, name, ways, *fields = re.split(r",\s*", message[1].strip())
            assert name == struct
            found.append((int(number), name, in_words(ways), fields))
    return found


def in_document(heading: str) -> list[tuple[int, str, str, list[str]]]:
    """Return (number, name, directions, fields) of the rows below a heading."""
    text = (ROOT / "docs/protocol.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (\w+) \| ([^|]*) \| ([^|]*) \| [^|]*", text, re.M)
    return [(int(number), name, way, re.split(r",\s*", fields.strip())) for number, name, way, fields in rows]


@pytest.mark.parametrize(
    ("headers", "heading"),
    [
        ([f"{chapter}_messages.hpp" for chapter in ("handshake", "client", "node", "viewer")], "Session messages"),
        (["worker_messages.hpp"], "Node and worker"),
    ],
)
def test_document_and_code_list_the_same_messages(headers, heading):
    code = in_code(headers)
    assert len(code) >= 10
    assert in_document(heading) == code


def test_the_version_is_the_codes():
    limits = (ROOT / "src/core/limits.hpp").read_text()
    version = re.search(r"protocol_version = (\d+);", limits)[1]
    assert f"Version {version} (`limits::protocol_version`)" in (ROOT / "docs/protocol.md").read_text()
