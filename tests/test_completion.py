"""What shells complete, asked of the shells themselves where they are installed."""

import os
import shlex
import shutil
import sys

import pytest

from batch_alias.problems import ACCEPTABLE, WARNINGS
from batch_alias.settings.target import REGIONS
from tests.support.processes import finish

ASK = {
    # As bash calls the function that the script has registered.
    "bash": """
        source ./script
        COMP_WORDS=(batch-alias "$@"); COMP_CWORD=$#
        _batch_alias_completion batch-alias; printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "fish": """source ./script; complete --do-complete "batch-alias $argv\"""",
    # zsh completes only on a terminal. Here its script is given the words, and what it would offer is printed.
    "zsh": """
        compdef() { }
        compadd() { print -l -- ${(P)@[-1]} }
        _describe() { print -l -- ${${(P)3}%%:*} }
        source ./script
        words=(batch-alias "$@"); CURRENT=$#words
        _batch_alias_completion
    """,
}
"""What completes some words, by shell."""


@pytest.fixture(params=sorted(ASK))
def complete(request, batch_alias, tmp_path, environment):
    """What a shell offers for the last of some words, sorted."""
    shell = request.param
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "batch-alias"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m batch_alias \"$@\"\n")
    program.chmod(0o755)
    variables = environment(PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}", HOME=str(tmp_path))
    printed = batch_alias("completion", shell)
    if "Bash versions older than" in printed.err:  # macOS has 3.2
        pytest.skip(printed.err.strip())
    assert (printed.code, printed.err) == (0, "")
    (tmp_path / "script").write_text(printed.out)

    def ask(*words: str) -> list[str]:
        more = ["--", *words] if shell == "fish" else [shell, *words]
        done = finish([shell, "-c", ASK[shell], *more], cwd=tmp_path, env=variables)
        assert (done.code, done.err) == (0, ""), done.err
        return sorted(line.split("\t")[0] for line in done.out.splitlines())

    return ask


@pytest.mark.slow
@pytest.mark.posix_only
def test_a_shell_completes_commands_flags_and_values(complete):
    assert complete("re") == ["report", "retry"]
    assert complete("run", "a.csv", "--max-f") == ["--max-failed"]
    assert complete("run", "a.csv", "--region", "") == sorted(REGIONS)


def test_what_is_offered_to_a_shell(batch_alias, monkeypatch):
    def offered(*words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", shlex.join(["batch-alias", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        monkeypatch.setenv("_BATCH_ALIAS_COMPLETE", "bash_complete")  # as in the script for bash
        return sorted(line.removeprefix("plain,") for line in batch_alias().out.splitlines())

    assert {"run", "retry", "completion", "jobs"} <= set(offered(""))
    assert offered("run", "a.csv", "--accept", "") == sorted([*ACCEPTABLE, *WARNINGS])
    first = ACCEPTABLE[0]
    assert first in offered("check", "a.csv", "--accept", first[:4])
    assert offered("status", "--lang", "") == ["en", "zh"]
    assert offered("completion", "") == ["bash", "fish", "zsh"]


def test_another_shell_has_no_script(batch_alias):
    ended = batch_alias("completion", "csh")
    assert (ended.code, ended.out) == (2, "")
