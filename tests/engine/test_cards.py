import pytest

from dyno.engine.cards import choose_card
from dyno.errors import InputError
from dyno.hardware.spec import Cpu, Gpu, Hardware

FIRST, SECOND = "GPU-1a2b3c4d-0000-1111-2222-333344445555", "GPU-1a2bffff-0000-1111-2222-333344445555"


def machine(*uuids):
    gpus = tuple(Gpu(index, uuid, "NVIDIA GeForce RTX 5090") for index, uuid in enumerate(uuids))
    return Hardware(Cpu("any", 2, ()), 2**34, 2**33, 2**30, 2**40, gpus)


TWO = machine(FIRST, SECOND)


@pytest.mark.parametrize(("device", "visible", "card"), [
    (None, None, FIRST),
    ("1", None, SECOND),
    (SECOND, None, SECOND),
    ("GPU-1a2bf", None, SECOND),
    ("1A2B3", None, FIRST),
    ("0", "1", FIRST),
    (None, "1", SECOND),
    (None, f"{SECOND},{FIRST}", SECOND),
    (None, "MIG-abc", "MIG-abc"),
    ("MIG-abc", "0", "MIG-abc"),
    (None, "", None),
    (None, "-1", None),
])  # fmt: skip
def test_device_goes_before_visible_devices_goes_before_the_first_card(device, visible, card):
    assert choose_card(TWO, device, visible) == card


def test_a_machine_without_a_card_gets_none():
    assert choose_card(machine(), None, None) is None


@pytest.mark.parametrize(("device", "visible", "message"), [
    ("2", None, f"--device: '2' names no card; there are 0 = {FIRST}"),
    ("GPU-1a2b", None, "--device: 'GPU-1a2b' names several cards"),
    ("", None, "--device: '' names no card"),
    (None, "7,0", "CUDA_VISIBLE_DEVICES: '7' names no card"),
])  # fmt: skip
def test_a_text_that_names_no_single_card_is_refused_with_the_cards_there_are(device, visible, message):
    with pytest.raises(InputError) as caught:
        choose_card(TWO, device, visible)
    assert str(caught.value).startswith(message)


def test_asking_for_a_card_where_none_is_says_so():
    with pytest.raises(InputError, match="no NVIDIA card is here"):
        choose_card(machine(), "0", None)
