"""What a plan foresees of a study's candidates, from end to end over the fake engine."""

import json

WORDS = "vllm serve model --max-model-len 512 --load-format dummy"


def test_what_cannot_fit_is_never_launched_and_stands_in_the_matrix_with_its_reason(bench):
    spec = bench.spec(
        baseline=f"VLLM_CPU_KVCACHE_SPACE=1 {WORDS}",
        candidates="{larger: VLLM_CPU_KVCACHE_SPACE=2, huge: VLLM_CPU_KVCACHE_SPACE=9999}",
        pairs="0",
    )
    done = bench.run("tune", spec, "--study", "made", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["huge"]["state"] == "rejected"
    assert rows["huge"]["cause"].startswith("9.76 TiB of KV cache are asked for")
    lines = [json.loads(line) for line in (bench.cwd / "made/journal.jsonl").read_text().splitlines()]
    assert {line["step"]["candidate"] for line in lines if "step" in line} == {"baseline", "larger"}
    shown = bench.run("report", "--study", "made", "--format", "markdown").stdout
    assert "| baseline | KV cache GiB | 1 | 1 | +0.0% |" in shown
    assert "| larger | KV cache GiB | 2 | 2 | +0.0% |" in shown
    assert "rejected: 9.76 TiB of KV cache are asked for" in shown


def test_what_the_engine_refuses_is_not_launched_unless_it_is_asked_to_be(bench):
    spec = bench.spec(candidates="{long: --max-model-len 200000}", pairs="0")
    done = bench.run("tune", spec, "--study", "made", "--json")
    assert done.returncode == 0, done.stderr
    long = next(row for row in json.loads(done.stdout)["rows"] if row["name"] == "long")
    assert long["state"] == "rejected"
    assert long["cause"] == "max_model_len 200000 is more than the model's 40960"
    assert "not launched, long" in bench.run("tune", spec, "--dry-run").stdout
    assert "not launched, long" not in bench.run("tune", spec, "--dry-run", "--no-lint").stdout


def test_a_baseline_that_cannot_fit_is_refused_before_anything_starts(bench):
    spec = bench.spec(baseline=f"VLLM_CPU_KVCACHE_SPACE=9999 {WORDS}")
    done = bench.run("tune", spec, "--study", "refused")
    assert done.returncode == 2
    assert "baseline: 9.76 TiB of KV cache are asked for" in done.stderr
    assert not (bench.cwd / "refused").exists()
