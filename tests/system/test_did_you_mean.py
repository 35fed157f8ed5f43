"""Command lines with a misspelt word: which one it is, what was meant, the exit code, and no secret shown."""

import subprocess

import pytest

from conftest import BIN


def complaint(*words):
    answer = subprocess.run([str(BIN / words[0]), *words[1:]], capture_output=True, text=True, timeout=20)
    assert answer.returncode == 2, answer
    assert answer.stdout == ""
    return answer.stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("start_node --adress 127.0.0.1", "there is no option --adress: did you mean --address?"),
        ("start_node --head --pasword=hidden7", "there is no option --pasword: did you mean --password?"),
        ("start_node --head --work 4", "there is no option --work: did you mean --workers?"),
        ("start_node -workers 4", "there is no option -workers: did you mean --workers?"),
        ("start_node --workers_per_gpu 2", "there is no option --workers_per_gpu: did you mean --workers-per-gpu?"),
        ("start_node --frobnicate", "there is no option --frobnicate\n"),
        ("start_node --head hidden7", "word 2 behind the command belongs to no option"),
        ("distributed-computing stauts", "there is no command 'stauts': did you mean 'status'?"),
        ("distributed-computing stauts -r hidden7", "there is no command 'stauts': did you mean 'status'?"),
        (
            "distributed-computing frobnicate",
            "there is no command 'frobnicate': there are version, status, pools, doctor",
        ),
        ("distributed-computing pools lits", "there is no command 'lits': did you mean 'list'?"),
        ("distributed-computing status --jsno", "there is no option --jsno: did you mean --json?"),
        ("distributed-computing pools remove x --stael", "there is no option --stael: did you mean --steal?"),
        ("distributed-computing -p 1 status", "option -p belongs behind the command: status -p"),
        ("distributed-computing doctor --adress h", "there is no option --adress: did you mean --address?"),
    ],
)
def test_the_wrong_word_is_named_with_what_was_meant(line, told):
    said = complaint(*line.split())
    assert told in said
    assert "Run with --help for more information." in said
    assert "hidden7" not in said


def test_several_are_all_named():
    said = complaint("start_node", "--adress", "h", "--prot", "1")
    assert said.index("did you mean --address?") < said.index("did you mean --port?")


def test_what_is_not_misspelt_is_told_as_before():
    assert "A subcommand is required: there are version, status, pools, doctor" in complaint("distributed-computing")
    assert "--workers" in complaint("start_node", "--workers", "x")
    assert "a URL, not the name of a machine" in complaint("start_node", "-a", "http://10.0.0.5:8899")
