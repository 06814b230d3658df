import pytest

PROC_WSL2 = "Linux version 6.6.87.2-microsoft-standard-WSL2 (root@439a258ad544) #1 SMP PREEMPT_DYNAMIC"
CPUINFO_X86 = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8580
flags\t\t: fpu sse4_2 avx avx2 avx512f avx512_bf16 amx_bf16 amx_tile

processor\t: 1
model name\t: Intel(R) Xeon(R) Platinum 8580
flags\t\t: fpu sse4_2 avx avx2 avx512f avx512_bf16 amx_bf16 amx_tile
"""
CPUINFO_ARM = """processor\t: 0
BogoMIPS\t: 2000.00
Features\t: fp asimd asimddp sve i8mm bf16
CPU implementer\t: 0x41
"""


@pytest.fixture
def machine(tmp_path):
    """A root folder that holds what a machine's /proc and /sys say, by path."""

    def write(**files):
        for name, text in files.items():
            file = tmp_path / name.replace("__", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return write
