import json

import pytest

from dyno.cli.main import run


def test_prove_says_what_is_missing(capsys):
    assert run(["prove"]) == 2
    assert "MODEL: missing" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--a", "x"], ["--margin", "4 %"], ["model"], ["--", "--enforce-eager"]])
def test_a_resumed_proof_takes_no_new_question(words, capsys):
    assert run(["prove", "--resume", *words]) == 2
    assert "goes on with what was asked" in capsys.readouterr().err


def test_a_resumed_proof_says_why_its_maximum_stays_and_what_to_do(capsys):
    assert run(["prove", "--resume", "--max-pairs", "40"]) == 2
    assert "start a new proof with --max-pairs 40 and another --study" in capsys.readouterr().err


def test_backends_are_what_b_has_beside_a(capsys):
    assert run(["prove", "m", "--backends", "FLASHINFER", "--b", "--enforce-eager"]) == 2
    assert "leave out --b" in capsys.readouterr().err


@pytest.mark.parametrize("margin", ["much", "0 %", "100 %"])
def test_compare_names_a_margin_it_cannot_use(margin, capsys):
    assert run(["compare", "one", "other", "--margin", margin, "--json"]) == 2
    assert "--margin" in json.loads(capsys.readouterr().out)["error"]["problems"][0]


def test_compare_names_a_folder_that_is_no_study(tmp_path, capsys):
    assert run(["compare", str(tmp_path), str(tmp_path)]) == 2
    assert "is not a study" in capsys.readouterr().err
