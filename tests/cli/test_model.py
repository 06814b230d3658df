import json

from dyno.cli.main import run


def test_a_synthetic_model_is_written_where_it_was_asked_for(tmp_path, capsys):
    assert run(["model", "synthetic", str(tmp_path / "demo")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "demo")
    assert run(["model", "synthetic", str(tmp_path / "4b"), "--shape", "qwen3-4b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(tmp_path / "4b"), "shape": "qwen3-4b"}
    assert json.loads((tmp_path / "4b" / "config.json").read_text())["hidden_size"] == 2560


def test_an_unknown_shape_is_named_with_the_nearest(tmp_path, capsys):
    assert run(["model", "synthetic", str(tmp_path / "x"), "--shape", "qwen-4b"]) == 2
    assert "--shape: 'qwen-4b' is not one of demo, " in (message := capsys.readouterr().err)
    assert "did you mean 'qwen3-4b'?" in message
    assert not (tmp_path / "x").exists()
