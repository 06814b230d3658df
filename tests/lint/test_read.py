"""Readers, kind by kind: which engine is configured, by what, and where each piece stands."""

import pytest
from handmade import KNOWN, findings, text

from dyno.errors import InputError
from dyno.lint.argv import items_of
from dyno.lint.read import file_kind, read


def seen(content: str, name: str = "<argument>") -> list[tuple[str, dict[str, object]]]:
    """Each configuration's entry and its items by name."""
    read = text(content, name).read
    return [(each.entry, {item.name: item.value for item in items_of(each, KNOWN)}) for each in read.configurations]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("Dockerfile", "", "dockerfile"),
        ("Dockerfile.gpu", "", "dockerfile"),
        (".env", "", "env"),
        ("prod.env", "", "env"),
        ("a.yml", "", "yaml"),
        ("a.py", "", "python"),
        ("README.md", "", "markdown"),
        ("start.sh", "", "command"),
        ("x", "vllm serve m", "command"),
        ("x", "from vllm import LLM\n", "python"),
        ("x", "services:\n  a:\n", "yaml"),
        ("x", "FROM ubuntu\n", "dockerfile"),
        ("x", "A=1\n", "env"),
        ("x", "text\n```sh\nvllm serve m\n```\n", "markdown"),
    ],
)
def test_the_kind_is_told_from_name_and_content(name, content, kind):
    assert file_kind(name, content) == kind


@pytest.mark.parametrize(
    "command",
    [
        "vllm serve m --port 80",
        "sudo -E env A=1 nohup /opt/v/bin/vllm serve m --port=80 > log 2>&1 &",
        "python3 -m vllm.entrypoints.openai.api_server --model m --port 80",
        "cd /srv && CUDA_VISIBLE_DEVICES=0 exec python -m vllm.entrypoints.cli.main serve 'm' --port \"80\" | tee log",
        "bash -c 'vllm serve m --port 80'",
        "docker run --gpus all -p 80:80 -e A=1 --ipc=host vllm/vllm-openai:v0.20.0 --model m --port 80",
        "docker run -it --entrypoint vllm -v a:/b vllm/vllm-openai:v0.20.0 serve m --port 80",
        "vllm serve ${MODEL:-m} --port ${PORT:-80}",
        "$ vllm serve m \\\n>  --port 80".replace(">  ", "   "),
    ],
)
def test_commands_in_every_dress(command):
    ((_, items),) = seen(command)
    assert items["port"] == "80"
    assert "m" in (items.get("m"), items.get("model"))


def test_variables_before_a_command_and_exports_are_its_own():
    ((entry, items),) = seen("export VLLM_A=1\nVLLM_B='2 3' vllm serve m\n")
    assert (entry, items["VLLM_A"], items["VLLM_B"]) == ("serve", "1", "2 3")


def test_talk_about_commands_is_no_command():
    assert seen('echo "vllm serve m --foo"\n# vllm serve m --foo\npgrep -f "vllm serve"\n') == []


def test_a_here_document_is_not_read_as_commands():
    assert seen("cat > x <<EOF\nvllm serve m --foo\nEOF\n") == []


def test_image_tags_and_container_facts():
    (found,) = text("docker run --shm-size=2g vllm/vllm-openai:v0.10.2 --model m").read.configurations
    assert (found.release, found.facts) == ("0.10.2", {"shm_size": "2g"})


def test_dockerfile_in_both_forms():
    assert seen(
        'FROM a\nENV VLLM_A=1 \\\n    VLLM_B=2\nENTRYPOINT ["vllm", "serve"]\n# x\nCMD ["m", \\\n"--port", "80"]',
        "Dockerfile",
    ) == [("serve", {"VLLM_A": "1", "VLLM_B": "2", "m": "m", "port": "80"})]
    assert seen("FROM a\nCMD vllm serve m --port 80", "Dockerfile") == [("serve", {"m": "m", "port": "80"})]
    assert seen("FROM vllm/vllm-openai:v1\nENV VLLM_A 1\n", "Dockerfile")[0][0] == "variables"


def test_compose_in_both_forms_with_defaults():
    content = """
services:
  v:
    image: vllm/vllm-openai:${TAG:-v0.20.0}
    environment: {VLLM_A: "1", B: "${B:-x}"}
    command: ["--model", "${MODEL:-m}", "--port", "80", "--max-num-seqs", "${SEQS}"]
  w:
    image: vllm/vllm-openai:v0.20.0
    environment:
      - VLLM_A=1
    command: --model m
      --port 80
"""
    (entry, items), (_, others) = seen(content, "compose.yaml")
    assert (entry, items["model"], items["B"], items["port"]) == ("api_server", "m", "x", "80")
    assert items["max_num_seqs"] not in ("${SEQS}", "")
    assert (others["VLLM_A"], others["model"], others["port"]) == ("1", "m", "80")


def test_anchors_merged_into_a_service():
    content = "x: &c\n  image: vllm/vllm-openai:v0.20.0\ns:\n  a:\n    <<: *c\n    command: --model m\n"
    assert [items["model"] for _, items in seen(content, "compose.yaml") if "model" in items] == ["m"]


def test_shell_arrays_are_not_followed_and_not_taken_for_lost_lines():
    content = 'A=(--port 80\n  --foo)\nA+=(--bar)\nvllm serve m "${A[@]}"\n'
    assert [(entry, items["m"]) for entry, items in seen(content)] == [("serve", "m")]


def test_kubernetes_containers():
    content = """
spec:
  containers:
  - image: vllm/vllm-openai:v0.20.0
    command: [vllm, serve]
    args:
    - m
    - --port=80
    env:
    - name: VLLM_A
      value: "1"
"""
    ((_, items),) = seen(content, "pod.yaml")
    assert (items["m"], items["port"], items["VLLM_A"]) == ("m", "80", "1")


def test_vllm_yaml_and_nested_mappings():
    assert seen("model: m\nmax-num-seqs: 3\nenforce_eager: true\n", "c.yaml") == [
        ("yaml", {"model": "m", "max_num_seqs": 3, "enforce_eager": True})]  # fmt: skip
    assert seen("app:\n  vllm:\n    max_num_seqs: 3\n    quantization: fp8\n", "c.yaml") == [
        ("mapping", {"max_num_seqs": 3, "quantization": "fp8"})]  # fmt: skip
    assert seen("a: 1\nmodel: m\nport: 80\n", "c.yaml") == []


def test_python_calls_dicts_and_environment():
    content = """
import os
from vllm import LLM
os.environ["VLLM_A"] = "1"
llm = LLM("m", max_num_seqs=3, quantization=q, **more)
CONFIG = {"max_model_len": 8, "enforce_eager": True, "other": 1}
subprocess.run(["vllm", "serve", "m", "--port", str(port)])
"""
    found = dict(seen(content, "a.py"))
    assert found["LLM"]["max_num_seqs"] == 3
    assert found["mapping"] == {"max_model_len": 8, "enforce_eager": True, "other": 1}
    assert found["variables"] == {"VLLM_A": "1"}
    assert "port" in found["serve"]


def test_another_packages_llm_is_not_ours():
    assert seen("from crewai import LLM\nLLM(model='m', swap_space=1)", "a.py") == []


def test_markdown_fences_and_names_in_text():
    fences = "1. x\n   ```bash\n   vllm serve m --port 80\n   ```\n\n```toml\nmax_num_seqs = 3\n```\n"
    content = "Use `--swap-space` here.\n\n" + fences
    assert seen(content, "a.md") == [("serve", {"m": "m", "port": "80"}), ("mention", {"swap_space": None})]


@pytest.mark.parametrize(
    ("content", "name", "line", "column"),
    [
        ("a\nvllm serve m \\\n   --swap-space 8", "a.sh", 3, 4),
        (
            "s:\n  a:\n    image: vllm/vllm-openai:v1\n    command: >\n      --model m\n      --swap-space 8\n",
            "a.yaml",
            6,
            7,
        ),
        (
            "s:\n  a:\n    image: vllm/vllm-openai:v1\n    command: [\"--model\", m, '--swap-space', 8]\n",
            "a.yaml",
            4,
            29,
        ),
        ('FROM a\nCMD ["vllm", "serve", "m", \\\n  "--swap-space", "8"]\n', "Dockerfile", 3, 3),
        ("port: 80\nmax-num-seqs: 1\nswap-space: 8\n", "a.yaml", 3, 1),
        ("x = LLM(\n  'ü', swap_space=8)\n", "a.py", 2, 8),
        ("t\n\n- a\n\n  ```sh\n  vllm serve m --swap-space 8\n  ```\n", "a.md", 6, 16),
        ("python -c \"\nfrom vllm import LLM\nLLM('m',\n  swap_space=8)\"\n", "a.sh", 4, 3),
    ],
)
def test_findings_point_to_their_letters(content, name, line, column):
    (found,) = [each for each in findings(content, name) if each.code in ("DYN102", "DYN301")]
    assert (found.line, found.column) == (line, column)


@pytest.mark.parametrize(("name", "content"), [("a.py", "def ("), ("a.yaml", "a: [1\nb: }"), ("a.py", "\0")])
def test_what_is_not_of_its_kind_is_one_clear_problem(name, content):
    with pytest.raises(InputError, match=r"is not (Python|YAML)"):
        read(name, content, KNOWN.names)
