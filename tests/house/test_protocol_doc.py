"""docs/protocol.md lists the messages of the code: the same numbers, names and fields, in the same order."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def in_code(header: str) -> list[tuple[int, str, list[str]]]:
    """Return (number, name, fields) of every message that the header defines."""
    found = []
    for name, body in re.findall(r"^struct (\w+) \{\n(.*?)^\};", (ROOT / "src/wire" / header).read_text(), re.S | re.M):
        number = re.search(r"type = (\d+);", body)
        fields = re.search(r"MSGPACK_DEFINE\(([^)]*)\)", body)
        if number and fields:
            found.append((int(number[1]), name, re.split(r",\s*", fields[1].strip())))
    return found


def in_document(heading: str) -> list[tuple[int, str, list[str]]]:
    """Return (number, name, fields) of the rows below a heading."""
    text = (ROOT / "docs/protocol.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (\w+) \| [^|]* \| ([^|]*) \| [^|]*", text, re.M)
    return [(int(number), name, re.split(r",\s*", fields.strip())) for number, name, fields in rows]


@pytest.mark.parametrize(
    ("header", "heading"), [("messages.hpp", "Session messages"), ("worker_messages.hpp", "Node and worker")]
)
def test_document_and_code_list_the_same_messages(header, heading):
    code = in_code(header)
    assert len(code) >= 10
    assert in_document(heading) == code


def test_the_version_is_the_codes():
    limits = (ROOT / "src/core/limits.hpp").read_text()
    version = re.search(r"protocol_version = (\d+);", limits)[1]
    assert f"Version {version} (`limits::protocol_version`)" in (ROOT / "docs/protocol.md").read_text()
