"""Bad input of every kind: one clear message for each problem, exit code 2, no traceback, nothing made or changed."""

import json
import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from command import make_bench

FITS = "--load-format dummy --max-model-len 1024"
DUMMY = ("--", *FITS.split())
HUGE = "9" * 400


def contents(folder):
    """Every path under a folder with its bytes; a folder has none."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def refused(bench, *words, code=2, **env):
    """What a command line complains of, in lines. The same in both outputs, and nothing made or changed."""
    before = contents(bench.cwd)
    done = bench.run(*words, **env)
    assert contents(bench.cwd) == before
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    said = [line.removeprefix("dyno: ") for line in done.stderr.splitlines() if line.startswith("dyno: ")]
    if "--json" in words:
        assert json.loads(done.stdout) == {"error": {"exit_code": code, "problems": said}}
    else:
        assert done.stdout == ""
    return said


def complains(said, *parts):
    """One problem for each part, and no other."""
    assert not [part for part in parts if not any(part in line for line in said)], said
    assert len(said) == len(parts), said


@pytest.fixture(scope="session")
def study(tmp_path_factory, fake_home):
    """The folder of a small finished study."""
    bench = make_bench(tmp_path_factory.mktemp("finished"), fake_home, tpot_ms=1)
    done = bench.run("tune", bench.spec(candidates="{}", pairs="0", tests="[]"), "--study", "chat")
    assert done.returncode == 0, done.stderr
    return bench.cwd / "chat"


@pytest.fixture
def copied(bench, study):
    """A bench with a copy of the study to spoil; returns the bench and the copy's journal."""
    shutil.copytree(study, bench.cwd / "chat")
    return bench, bench.cwd / "chat" / "journal.jsonl"


# What stands in a spec

SPECS = {
    "unknown key": ("objectiv: ttft_p95", ["objectiv: unknown key; did you mean 'objective'?"]),
    "unknown key of the workload": ("workload: {inputlen: 3}", ["workload.inputlen: unknown key; did you mean 'input"]),
    "two problems": (
        "pairs: many\nlimits: {ttft: 2 s}",
        ["pairs: 'many' must be a whole number", "limits.ttft: not a known limit; did you mean 'ttft_p9"],
    ),
    "wrong values, all at once": (
        "pairs: -1\nbudget: nan s\nready_timeout: 0\nobjective: fastest\ntests: [tft]\n"
        "workload: {input_len: -1, concurrency: 0}\n"
        "limits: {output_throughput: .nan, ttft_p95: -2 s, ram: 2 apples, request_throughput: .inf, vram: nan}\n"
        'candidates: {baseline: --x, "a\\nb": --x, " ": --x}',
        ["pairs: -1 must be at least 0", "budget: 'nan s' is not a duration", "ready_timeout: 0 must be more than 0 s",
         "objective: 'fastest' is not known", "tests: 'tft' is not a test; did you mean 'ttft'?",
         "workload.input_len: -1 must be at least 1", "workload.concurrency: 0 must be at least 1",
         "limits.output_throughput: nan is not a rate",
         "limits.ttft_p95: '-2 s' must not be negative", "limits.ram: '2 apples' is not an amount of memory",
         "limits.request_throughput: inf is not a rate", "limits.vram: 'nan' is not an amount of memory",
         "candidates.baseline: 'baseline' is the name of what", "candidates.'a\\nb': a name is needed",
         "candidates. : a name is needed"],
    ),
    "values of another type": (
        "tests: ttft\nworkload: [1]\nlimits:\ncandidates: {ok: 5}\nbudget: true\nseed: 1.5\nengine: {a: b}\n"
        "allow_output_change: maybe",
        ["tests: 'ttft' must be a list", "workload: [1] must be text or a mapping", "limits: is empty; it must be a",
         "candidates.ok: 5 must be text", "budget: True must be text or a whole number or a number",
         "seed: 1.5 must be a whole number", "engine: {'a': 'b'} must be text",
         "allow_output_change: 'maybe' must be true or false"],
    ),
    "numbers out of all proportion": (
        f"pairs: 1000000000000\nbudget: {HUGE} h\nlimits: {{ram: {HUGE} GiB}}\nworkload: {{concurrency: 1000000000}}",
        ["pairs: 1000000000000 must be at least 0 and at most 1000", "budget: '99", "limits.ram: '99",
         "workload: 2,560,000,000,000 tokens in 4,000,000,000 requests are more than"],
    ),
    "a limit that nothing here can measure": (
        "limits: {accuracy_drop: 2 %, vram: 11 GiB}",
        ["limits.accuracy_drop: cannot be checked here", "limits.vram: cannot be checked here"],
    ),
    "a workload longer than the engine takes": (
        "workload: long", ["baseline: the workload needs 8320 tokens a request, but max_model_len is 1024"],
    ),
    "a baseline of another model": (
        "baseline: vllm serve other --load-format dummy",
        ["baseline: serves 'other', but the study's model is 'model'"],
    ),
    "a baseline that starts no vLLM": ("baseline: python serve model", ["'python serve model' does not begin a vLLM"]),
    "flags and values that this vLLM does not know": (
        "candidates: {a: --max-num-seq 8, b: --kv-cache-dtype fp9, c: --max-num-seqs few, d: eager, e: --dtype,\n"
        "  f: --max-num-seqs 4 --max-num-seqs 8, g: --tokenizer 'x, h: --port 80, i: HF_TOKEN=hf_x}",
        ["candidates.a: --max-num-seq is not a flag of vLLM 0.32.0+cpu; did you mean '--max-num-seqs'?",
         "candidates.b: --kv-cache-dtype: 'fp9' is not one of", "candidates.c: --max-num-seqs: 'few' is not a whole n",
         "candidates.d: 'eager' is neither a flag nor", "candidates.e: --dtype: needs a value",
         "candidates.f: --max-num-seqs is given twice, as 4 and as 8", "candidates.g: cannot be read as a command",
         "candidates.h: --port cannot be given", "candidates.i: HF_TOKEN: a secret would end up in records"],
    ),
    "a pinned flag that clashes": (
        "pinned: --max-model-len 512 --enforce-eager\ncandidates: {eager: --enforce-eager}",
        ["baseline: --max-model-len is pinned to 512", "candidates.eager: --enforce-eager is pinned to True"],
    ),
    "a card for an engine that has none": ("device: 0", ["device: '0' is no use to the engine fake, which runs"]),
}  # fmt: skip


@pytest.mark.parametrize("case", SPECS)
def test_every_problem_of_a_spec_is_told_with_its_key(bench, case):
    text, parts = SPECS[case]
    given = f"model: model\nbaseline: {FITS}\n" if "baseline:" not in text else "model: model\n"
    (bench.cwd / "spec.yaml").write_text(given + text)
    complains(refused(bench, "tune", "spec.yaml", "--json"), *parts)


NO_SPECS = {
    "empty": (b"", "must be a mapping such as"),
    "a list": (b"- model\n- chat\n", "must be a mapping such as"),
    "numbers for keys": (b"1: 2\n", "must be a mapping such as"),
    "cut short": (b"model: [", "line 1 is not YAML"),
    "a key twice": (b"model: a\nmodel: b\n", 'line 2 is not YAML: found duplicate key "model" with value "b"'),
    "a tab": (b"model: a\n\tpairs: 2\n", "line 2 is not YAML: found character '\\t'"),
    "code": (b"model: !!python/object/apply:os.system [ls]\n", "line 1 is not YAML: could not determine a constructor"),
    "binary": (b"\x7fELF\x99\xfe\x00", "is not text in UTF-8"),
    "control characters": (b"model: mo\0del\n", "is not YAML: unacceptable character #x0000"),
}


@pytest.mark.parametrize("case", NO_SPECS)
def test_a_file_that_is_no_spec_is_named_with_the_line(bench, case):
    content, part = NO_SPECS[case]
    (bench.cwd / "spec.yaml").write_bytes(content)
    (said,) = refused(bench, "tune", "spec.yaml")
    assert said.startswith("spec.yaml: ")
    assert part in said


def test_a_spec_that_is_a_folder_or_missing_is_named(bench):
    (bench.cwd / "folder.yaml").mkdir()
    assert refused(bench, "tune", "folder.yaml") == [
        "folder.yaml: cannot be read (Is a directory); name a spec in YAML"
    ]
    complains(refused(bench, "tune", "missing.yaml"), "missing.yaml: cannot be read (No such file or directory)")


# What stands on the command line

WORDS = {
    "no model": (["tune"], ["model: missing; give a model folder"]),
    "an option that there is not": (["tune", "--frobnicate"], ["No such option: --frobnicate"]),
    "a value of another type": (["tune", "model", "--pairs", "x"], ["Invalid value for '--pairs'"]),
    "a verb that there is not": (["tuna"], ["No such command 'tuna'"]),
    "too many words": (["tune", "a", "b"], ["Got unexpected extra argument(s) (b)"]),
    "flags for a verb that takes none": (["report", "--", "--enforce-eager"], ["flags after `--` are vLLM's"]),
    "two candidates and a limit without a form": (
        ["tune", "model", "--candidate", "a", "--candidate", ": --x"],
        ["--candidate: 'a' is not NAME:", "--candidate: ': --x' is not NAME:"],
    ),
    "a candidate twice": (
        ["tune", "model", "--candidate", "a: --x", "--candidate", "a: --y"],
        ["--candidate: 'a' is given twice, as '--x' and as '--y'"],
    ),
    "a limit twice": (
        ["tune", "model", "--limit", "ram=1 GiB", "--limit", "ram=2 GiB"],
        ["--limit: 'ram' is given twice, as '1 GiB' and as '2 GiB'"],
    ),
    "a dry run of what is under way": (["tune", "--resume", "--dry-run"], ["--dry-run: shows what a new study would"]),
    "words that are not text": (
        ["tune", b"m\xff", "--study", b"s\xff"],
        ["'m\\udcff': is not text in UTF-8", "'s\\udcff': is not text in UTF-8"],
    ),
    "nothing to bench": (["bench"], ["say what to measure"]),
    "a preset that there is not": (["bench", "--url", "http://127.0.0.1:9", "--workload", "chatt"], ["mean 'chat'?"]),
    "no study to go on with": (["tune", "--resume"], ["no study under ./studies; run `dyno tune MODEL` first"]),
    "no study to report": (["report"], ["no study under ./studies; run `dyno tune MODEL` first"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WORDS)
def test_every_problem_of_a_command_line_is_told(bench, case):
    words, parts = WORDS[case]
    complains(refused(bench, words[0], "--json", *words[1:]), *parts)


def test_an_engine_that_there_is_not_is_a_broken_environment_with_the_nearest_name(bench):
    (said,) = refused(bench, "tune", "model", "--engine", "fakes", "--json", *DUMMY, code=3)
    assert "no engine environment 'fakes'; did you mean 'fake'?" in said


def test_debug_shows_where_an_error_came_from(bench):
    for words in (("--debug", "tune", "nowhere"), ("tune", "nowhere", "--debug")):
        done = bench.run(*words)
        assert done.returncode == 2
        assert "Traceback" in done.stderr
        assert done.stderr.splitlines()[-1].startswith("dyno: nowhere: no such model folder")


# Models

CONFIG = '{"architectures": ["Qwen3ForCausalLM"], "vocab_size": 4096, "hidden_size": 256, "num_hidden_layers": 4'
WHOLE = CONFIG + ', "max_position_embeddings": 1024, "num_attention_heads": 4}'
MODELS = {
    "missing": (None, ["no such model folder, and not a Hugging Face id"]),
    "without a config": ({}, ["has no config.json"]),
    "with a config that is not JSON": ({"config.json": "{oops"}, ["config.json: is not JSON"]),
    "with a config that is a list": ({"config.json": "[1]"}, ["config.json: is not a JSON object (it holds list)"]),
    "with a config that lacks fields": (
        {"config.json": CONFIG + "}"},
        ["lacks the field max_position_embeddings", "lacks the field num_attention_heads"],
    ),
    "with a config of wrong values": (
        {"config.json": CONFIG + ', "max_position_embeddings": "many", "num_attention_heads": -4}'},
        ["max_position_embeddings is 'many'", "num_attention_heads is -4"],
    ),
    "without weights": (
        {"config.json": WHOLE},
        ["holds no weights; to measure with random ones add --load-format dummy"],
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_model_that_cannot_be_served_is_named_with_what_it_lacks(bench, case):
    files, parts = MODELS[case]
    if files is not None:
        (bench.cwd / "m").mkdir()
    for name, text in (files or {}).items():
        (bench.cwd / "m" / name).write_text(text)
    complains(refused(bench, "tune", "./m", "--json"), *parts)


class Hub(BaseHTTPRequestHandler):
    """A hub with one model that is larger than any disk."""

    sizes = {"config.json": len(WHOLE), "model.safetensors": 10**18}  # noqa: RUF012

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        name = self.path.rpartition("/")[2]
        self.answer(self.sizes[name], {"ETag": f'"{name}"', "X-Repo-Commit": "0" * 40})

    def do_GET(self):
        files = [{"type": "file", "path": name, "size": size, "oid": name} for name, size in self.sizes.items()]
        body = WHOLE
        if "/api/" in self.path:
            siblings = [{"rfilename": name} for name in self.sizes]
            body = json.dumps(files if "/tree/" in self.path else {"id": "a/b", "sha": "0" * 40, "siblings": siblings})
        self.answer(len(body), {"ETag": '"config.json"', "X-Repo-Commit": "0" * 40})
        self.wfile.write(body.encode())

    def answer(self, length, headers):
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()


def test_a_model_that_the_disk_cannot_hold_is_not_begun(bench, tmp_path_factory):
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        where = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_OFFLINE": "0"}
        cache = tmp_path_factory.mktemp("cache")
        (said,) = refused(bench, "tune", "somebody/huge", "--json", code=3, HF_HOME=str(cache), **where)
        server.shutdown()
        thread.join()
    assert said.startswith("somebody/huge: 909495 TiB to download, ")
    assert said.endswith("free some, or point HF_HOME at a larger disk")
    assert not list(cache.rglob("*.incomplete"))


# Study folders


def test_a_study_is_made_in_a_new_or_empty_folder_only(copied):
    bench, journal = copied
    (bench.cwd / "file").write_text("mine")
    spec = bench.spec()
    taken = {
        "chat": "chat: holds a study already; go on with it (--resume)",
        "model": "model: holds other things (config.json, ",
        "": "holds other things",
        "file": "file: cannot be made (Not a directory)",
        "file/below": "cannot be made (Not a directory)",
        "/proc/below": "cannot be made",
        "x" * 300: "cannot be made (File name too long)",
        "two\nlines": "'two\\nlines': cannot be printed",
    }
    for folder, part in taken.items():
        complains(refused(bench, "tune", spec, "--study", folder, "--json"), part)
    assert journal.is_file()


def test_a_folder_without_a_study_is_said_to_be_none(bench):
    (bench.cwd / "file").write_text("mine")
    for words in (("report", "--study"), ("tune", "--resume", "--study"), ("serve",)):
        complains(refused(bench, *words, "model"), "model: is not a study (it has no journal.jsonl)")
    complains(refused(bench, "report", "--study", "nowhere"), "nowhere: is not a study")
    complains(refused(bench, "report", "--study", "file"), "file/journal.jsonl: cannot be read (Not a directory)")


def test_a_study_that_cannot_be_read_is_left_alone(copied):
    bench, journal = copied
    journal.unlink()
    journal.mkdir()
    for words in (("report", "--json", "--study"), ("tune", "--json", "--resume", "--study"), ("serve",)):
        complains(refused(bench, *words, "chat"), "journal.jsonl: cannot be read (Is a directory)")


JOURNALS = {
    "another schema version": ('"schema_version":1', '"schema_version":2', "has schema_version 2, this Dyno reads 1"),
    "a damaged first line": ('{"schema_version"', '{"schema', "journal.jsonl:1: is not the first line of a study"),
    "a damaged line in the middle": ('{"step":', '{"stop":', "is damaged (step.step: Field required); nothing was cha"),
    "garbage in the middle": ('{"block":', "\x00\x07{", "journal.jsonl:3: is damaged (Invalid JSON"),
}


@pytest.mark.parametrize("case", JOURNALS)
def test_a_journal_that_is_not_whole_is_named_with_the_line_and_left_alone(copied, case):
    bench, journal = copied
    old, new, part = JOURNALS[case]
    journal.write_text(journal.read_text().replace(old, new, 1))
    complains(refused(bench, "report", "--study", "chat", "--json"), part)
    complains(refused(bench, "tune", "--resume", "--study", "chat", "--json"), part)


def test_a_journal_of_half_a_line_says_that_nothing_is_lost(copied):
    bench, journal = copied
    journal.write_bytes(journal.read_bytes()[:100])
    complains(refused(bench, "tune", "--resume", "--study", "chat"), "holds no whole line: nothing was recorded")


def test_a_study_does_not_go_on_with_another_spec(copied):
    bench, _ = copied
    spec = bench.spec(candidates="{}", pairs="3", tests="[]", seed="7")
    said = refused(bench, "tune", spec, "--resume", "--study", "chat", "--json", "--", "--enforce-eager")
    complains(said, "pairs: was 0, is now 3; a study's spec cannot change: start a new one", "seed: was 0, is now 7",
              "pinned: was '', is now '--enforce-eager'")  # fmt: skip
    complains(refused(bench, "tune", "--resume", "--study", "chat", "--device", "0", "--json"), "device: '0' is no use")


def test_a_report_that_cannot_be_written_names_the_file(copied):
    bench, _ = copied
    for output in ("chat", "nowhere/page.html", "/dev/full"):
        said = refused(bench, "report", "--study", "chat", "--format", "markdown", "--output", output)
        complains(said, f"--output {output}: cannot be written")


def test_an_engine_is_not_made_where_nothing_can_be_made(bench):
    (said,) = refused(bench, "env", "install", "--vllm", "cpu", "--json", code=3, DYNO_HOME="/proc/nothing")
    assert "/proc/nothing" in said
