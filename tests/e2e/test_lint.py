"""`dyno lint` as its users run it, and the verbs that lint before they launch."""

import json

from command import Bench

STALE = "vllm serve model --max-num-seqs 64 --max-num-batched-tokens 32"


def test_findings_as_text_and_as_json(bench: Bench):
    (bench.cwd / "a.sh").write_text("# start\nvllm serve m \\\n  --max-num-seqz 3\n")
    shown = bench.run("lint", "a.sh")
    assert (shown.returncode, shown.stderr) == (1, "")
    assert "a.sh:3:3: error DYN101 --max-num-seqz" in shown.stdout
    told = bench.run("lint", "a.sh", "--json")
    (finding,) = json.loads(told.stdout)
    assert list(finding) == ["code", "severity", "item", "release", "file", "line", "column", "message", "remedy"]
    assert (told.returncode, finding["file"], finding["line"], finding["column"]) == (1, "a.sh", 3, 3)


def test_a_command_as_argument_stdin_and_nothing_wrong(bench: Bench):
    fine = bench.run("lint", "vllm serve m --max-num-seqs 3", "--json")
    assert (fine.returncode, json.loads(fine.stdout)) == (0, [])
    assert bench.run("lint", "--ignore", "DYN101", "vllm serve m --foo 3").returncode == 0
    assert "DYN101" in bench.run("lint", "--explain", "dyn101").stdout


def test_input_that_cannot_be_used_is_exit_2(bench: Bench):
    (bench.cwd / "a.py").write_text("def (")
    (bench.cwd / "b.sh").write_bytes(b"\xff\xfe")
    (bench.cwd / "c.sh").write_text("vllm serve m")
    for words in (["a.py"], ["b.sh"], ["nowhere.yaml"], [], ["--gpu", "nothing", "c.sh"], ["--ignore", "X1", "c.sh"],
                  ["--vllm", "99.0", "c.sh"], ["--model", "nowhere", "c.sh"], ["--explain", "DYN9"]):  # fmt: skip
        done = bench.run("lint", *words)
        assert (done.returncode, done.stderr[:6]) == (2, "dyno: "), words
        assert "Traceback" not in done.stderr


def test_fix_rewrites_a_command_and_says_what_it_did(bench: Bench):
    (bench.cwd / "a.sh").write_text("vllm serve m \\\n  --quantized-kv-cache \\\n  --port 80  # mine\n")
    done = bench.run("lint", "--fix", "a.sh")
    assert done.returncode == 0
    assert (bench.cwd / "a.sh").read_text() == "vllm serve m \\\n  --kv-cache-dtype fp8 \\\n  --port 80  # mine\n"
    assert "rewritten --quantized-kv-cache (DYN101)" in done.stderr


def test_what_an_engine_would_refuse_is_not_launched(bench: Bench):
    flags = ["--max-num-seqs", "64", "--max-num-batched-tokens", "32", "--load-format", "dummy"]
    refused = bench.run("bench", "model", "--", *flags)
    assert refused.returncode == 2
    assert "DYN411" in refused.stderr
    assert not (bench.cwd / "studies").exists()
    planned = bench.run(
        "tune", bench.spec(candidates='{bad: "--max-num-seqs 64 --max-num-batched-tokens 32"}'), "--dry-run"
    )
    assert planned.returncode == 2
    assert "bad: --max-num-seqs 64 is more than max_num_batched_tokens 32 (DYN411)" in planned.stderr


def test_no_lint_launches_it_all_the_same(bench: Bench):
    spec = bench.spec(candidates='{bad: "--max-num-seqs 64 --max-num-batched-tokens 32"}')
    planned = bench.run("tune", spec, "--dry-run", "--no-lint")
    assert (planned.returncode, "bad" in planned.stdout) == (0, True)
