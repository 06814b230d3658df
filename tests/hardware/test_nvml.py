import pytest
from tests.hardware.recorded import H200, LAPTOP_4090, MIB, WSL2, Card, Library

from dyno.hardware.nvml import gpu_bandwidth, gpu_memory_used, gpu_temperature, read_cards
from dyno.hardware.spec import Gpu, GpuProcess


def test_a_data_centre_card_tells_everything():
    cards = read_cards(H200)
    assert (cards.driver, cards.cuda_driver, cards.error) == ("580.95.05", "13.0", None)
    assert cards.gpus == (
        Gpu(
            index=0,
            uuid="GPU-0a1b2c3d-0000-1111-2222-333344445555",
            name="NVIDIA H200",
            capability=(9, 0),
            memory_total_bytes=143771 * MIB,
            memory_free_bytes=143164 * MIB,
            memory_used_bytes=4 * MIB,
            processes=(),
            power_limit_w=700.0,
            power_w=79.412,
            temperature_c=36.0,
            sm_clock_mhz=345,
            memory_clock_mhz=3201,
            throttle_reasons=(),
            display_attached=False,
        ),
    )


def test_a_field_that_a_card_does_not_support_is_none():
    gpu = read_cards(LAPTOP_4090).gpus[0]
    assert (gpu.power_limit_w, gpu.power_w, gpu.memory_clock_mhz) == (None, None, None)
    assert (gpu.temperature_c, gpu.sm_clock_mhz) == (84.0, 1230)


def test_a_desktop_users_card_tells_who_is_on_it_and_what_slows_it():
    gpu = read_cards(LAPTOP_4090).gpus[0]
    assert gpu.processes == (GpuProcess(1717, "Xorg", 600 * MIB), GpuProcess(4242, "python3", 1500 * MIB))
    assert gpu.throttle_reasons == ("power cap", "software thermal slowdown")
    assert gpu.display_attached


def test_under_wsl2_little_is_told_and_nothing_breaks():
    gpu = read_cards(WSL2).gpus[0]
    assert gpu.memory_used_bytes == 1200 * MIB
    assert gpu.processes == (GpuProcess(2**22 + 1, "?", None),)
    assert (gpu.throttle_reasons, gpu.display_attached, gpu.sm_clock_mhz) == (None, None, None)


def test_a_lost_card_does_not_hide_the_others():
    cards = read_cards(Library("580", 13000, [Card({}), *H200.cards]))
    assert [gpu.index for gpu in cards.gpus] == [1]
    assert cards.error == "GPU 0: GPU is lost"


def test_a_card_is_asked_by_its_uuid():
    assert gpu_memory_used("GPU-laptop", LAPTOP_4090) == 2100 * MIB
    assert gpu_temperature("GPU-laptop", LAPTOP_4090) == 84.0


@pytest.mark.parametrize("ask", [gpu_bandwidth, gpu_memory_used, gpu_temperature])
def test_an_unknown_card_says_nothing(ask):
    assert ask("GPU-elsewhere", H200) is None


def test_bandwidth_is_of_the_bus_at_its_highest_clock():
    assert gpu_bandwidth("GPU-0a1b2c3d-0000-1111-2222-333344445555", H200) == 6016 / 8 * 2 * 3201e6
    assert gpu_bandwidth("GPU-laptop", LAPTOP_4090) is None
