from tests.hardware.conftest import CPUINFO_ARM, CPUINFO_X86, PROC_WSL2
from tests.hardware.recorded import H200, WSL2

from dyno.hardware.probe import read_hardware

GIB = 2**30


def test_this_machine_is_read_without_a_change(tmp_path):
    hardware = read_hardware(tmp_path / "not" / "yet")
    assert hardware.cpu.cores >= 1
    assert hardware.ram_total_bytes >= hardware.ram_available_bytes > 0
    assert hardware.disk_free_bytes > 0
    assert hardware.python.startswith("3.")
    assert not (tmp_path / "not").exists()


def test_the_kind_of_a_machine_is_its_cards_or_its_processor(machine):
    root = machine(proc__cpuinfo=CPUINFO_X86)
    assert read_hardware(root, root=root, nvml=H200).kind == "NVIDIA H200"
    without = read_hardware(root, root=root, nvml=H200.__class__("580", 13000, []))
    assert without.kind == f"Intel(R) Xeon(R) Platinum 8580 x{without.cpu.cores}"


def test_wsl2_is_noticed(machine):
    root = machine(proc__version=PROC_WSL2)
    assert read_hardware(root, root=root, nvml=WSL2).wsl2
    machine(proc__version="Linux version 6.8.0-45-generic")
    assert not read_hardware(root, root=root, nvml=H200).wsl2


def test_the_processors_flags_are_read_on_x86_and_arm(machine):
    root = machine(proc__cpuinfo=CPUINFO_X86)
    assert read_hardware(root, root=root, nvml=H200).cpu.isa == (
        "sse4_2", "avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")  # fmt: skip
    machine(proc__cpuinfo=CPUINFO_ARM)
    assert read_hardware(root, root=root, nvml=H200).cpu.isa == ("asimd", "asimddp", "bf16", "i8mm", "sve")


def test_a_control_group_of_version_2_bounds_cores_and_memory(machine):
    root = machine(proc__self__cgroup="0::/outer/inner\n")
    group = root / "sys/fs/cgroup/outer"
    (group / "inner").mkdir(parents=True)
    (group / "inner" / "cpu.max").write_text("max 100000\n")
    (group / "inner" / "memory.max").write_text("max\n")
    (group / "cpu.max").write_text("150000 100000\n")
    (group / "memory.max").write_text(f"{GIB}\n")
    (group / "memory.current").write_text(f"{GIB // 2}\n")
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {GIB // 4}\n")
    hardware = read_hardware(root, root=root, nvml=H200)
    assert hardware.cpu.cores == 1
    assert (hardware.ram_total_bytes, hardware.ram_available_bytes) == (GIB, GIB * 3 // 4)


def test_a_control_group_of_version_1_bounds_them_even_if_its_own_path_is_not_visible(machine):
    root = machine(proc__self__cgroup="5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n0::/\n")
    texts = {
        "cpu,cpuacct/cpu.cfs_quota_us": "100000\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": f"{GIB}\n",
        "memory/memory.usage_in_bytes": "0\n",
    }
    for name, text in texts.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    hardware = read_hardware(root, root=root, nvml=H200)
    assert hardware.cpu.cores == 1
    assert (hardware.ram_total_bytes, hardware.ram_available_bytes) == (GIB, GIB)
