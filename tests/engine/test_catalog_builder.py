"""What is read from a release's sources: small imitations of the shapes that they have had."""

import pytest
from catalog import folder_tree, load, packed
from vllm_release import catalog_of

from dyno.engine.catalog import Flag

PLAIN = {
    "vllm/engine/arg_utils.py": '''
import argparse
from dataclasses import dataclass
from typing import Optional

from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS

def nullable_str(val: str):
    if not val or val == "None":
        return None
    return val

@dataclass
class EngineArgs:
    model: str = "m"
    max_num_seqs: int = 256
    quantization: Optional[str] = None

    @staticmethod
    def add_cli_args(parser):
        parser.add_argument("--model", type=str, default=EngineArgs.model)
        parser.add_argument("--max-num-seqs", type=int, default=EngineArgs.max_num_seqs, help="Sequences.")
        parser.add_argument("--quantization", "-q", type=nullable_str, choices=[*QUANTIZATION_METHODS, None])
        parser.add_argument("--enforce-eager", action="store_true", help="DEPRECATED. Always.")
        return parser

@dataclass
class AsyncEngineArgs(EngineArgs):
    quiet: bool = False

    @staticmethod
    def add_cli_args(parser, async_args_only: bool = False):
        if not async_args_only:
            parser = EngineArgs.add_cli_args(parser)
        return parser
''',
    "vllm/model_executor/layers/quantization/__init__.py": "QUANTIZATION_METHODS = {'awq': object, 'fp8': object}\n",
    "vllm/config.py": '''
class SchedulerConfig:
    def _verify_args(self):
        if self.max_num_seqs < 1:
            raise ValueError("too few")
''',
    "vllm/entrypoints/openai/cli_args.py": '''
from vllm.engine.arg_utils import AsyncEngineArgs

def make_arg_parser(parser):
    parser.add_argument("--port", type=int, default=8000)
    return AsyncEngineArgs.add_cli_args(parser)
''',
    "vllm/envs.py": '''
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    VLLM_PORT: int | None = None
    VLLM_EAGER: bool = False

environment_variables = {
    "VLLM_PORT": lambda: int(os.getenv("VLLM_PORT", "0")),
    "VLLM_EAGER": lambda: bool(int(os.getenv("VLLM_EAGER", "0"))),
}
''',
    "vllm/platforms/interface.py": '''
import enum

class _Backend(enum.Enum):
    FLASH_ATTN = enum.auto()
    XFORMERS = enum.auto()
''',
}  # fmt: skip

TYPED = {
    "vllm/config/__init__.py": "from vllm.config.cache import CacheConfig\nfrom vllm.config.spec import SpecConfig\n",
    "vllm/config/cache.py": '''
from typing import Literal
from pydantic import Field
from vllm.config.utils import config

CacheDType = Literal["auto", "fp8"]

@config
class CacheConfig:
    utilization: float = Field(default=0.9, gt=0, le=1)
    """How much."""
    cache_dtype: CacheDType = "auto"
    prefix_caching: bool | None = None
    limit: int | None = Field(default=None, ge=0)
    names: list[str] | None = None
''',
    "vllm/config/spec.py": '''
from dataclasses import field
from vllm.config.utils import config

@config
class SpecConfig:
    method: str
    tokens: int = 3
    resolved: int = field(init=False)
''',
    "vllm/config/utils.py": "def config(cls): return cls\n",
    "vllm/engine/arg_utils.py": '''
import argparse
import json
from dataclasses import dataclass, fields, MISSING, is_dataclass
from typing import Literal, get_args, get_origin
from pydantic import TypeAdapter
from vllm.config import CacheConfig, SpecConfig

def optional_type(return_type):
    def _optional_type(val):
        if val == "None":
            return None
        return return_type(val)
    return _optional_type

def get_kwargs(cls):
    kwargs = {}
    for field in fields(cls):
        hints = set(get_args(field.type)) if type(None) in get_args(field.type) else {field.type}
        default = field.default
        if hasattr(default, "default"):
            default = default.default
        name = field.name
        kwargs[name] = {"default": default}
        literal = next((th for th in hints if get_origin(th) is Literal), None)
        if bool in hints:
            kwargs[name]["action"] = argparse.BooleanOptionalAction
        elif literal:
            kwargs[name].update({"type": str, "choices": sorted(get_args(literal))})
        elif any(get_origin(th) is list for th in hints):
            kwargs[name].update({"type": str, "nargs": "+"})
        elif int in hints:
            kwargs[name]["type"] = int
        elif float in hints:
            kwargs[name]["type"] = float
        if type(None) in hints and bool not in hints:
            kwargs[name]["type"] = optional_type(kwargs[name]["type"])
    return kwargs

@dataclass
class EngineArgs:
    utilization: float = CacheConfig.utilization
    spec_config: dict | None = None

    @staticmethod
    def add_cli_args(parser):
        cache_kwargs = get_kwargs(CacheConfig)
        group = parser.add_argument_group(title="CacheConfig")
        for name, kwargs in cache_kwargs.items():
            group.add_argument(f"--{name.replace('_', '-')}", **kwargs)
        parser.add_argument("--spec-config", "-sc", type=optional_type(json.loads), default=None)
        return parser

class AsyncEngineArgs(EngineArgs):
    pass
''',
    "vllm/entrypoints/launchers/cli_args.py": '''
from vllm.engine.arg_utils import AsyncEngineArgs

def make_arg_parser(parser):
    return AsyncEngineArgs.add_cli_args(parser)
''',
}  # fmt: skip


def catalog(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return catalog_of("0.1.0", folder_tree(tmp_path))


def flags(catalog):
    return {flag.name: flag for flag in catalog.flags}


def test_flags_written_out_one_by_one_are_read(tmp_path):
    found = catalog(tmp_path, PLAIN)
    assert flags(found) == {
        "port": Flag("port", ("--port",), "int", default=8000),
        "model": Flag("model", ("--model",), "str", default="m"),
        "max_num_seqs": Flag("max_num_seqs", ("--max-num-seqs",), "int", default=256, bounds=(("ge", 1.0),)),
        "quantization": Flag("quantization", ("--quantization", "-q"), "str", choices=("awq", "fp8", "None")),
        "enforce_eager": Flag("enforce_eager", ("--enforce-eager",), "switch", default=False, deprecated=True),
    }
    assert found.keywords == ("model", "max_num_seqs", "quantization", "quiet")
    assert [(each.name, each.kind, each.default) for each in found.variables] == [
        ("VLLM_EAGER", "switch", "0"),
        ("VLLM_PORT", "int", None),
    ]
    assert found.lists == {"attention_backend": ("FLASH_ATTN", "XFORMERS")}


def test_flags_made_from_config_classes_are_read(tmp_path):
    found = flags(catalog(tmp_path, TYPED))
    assert found["utilization"].bounds == (("gt", 0.0), ("le", 1.0))
    assert (found["utilization"].default, found["utilization"].group) == (0.9, "CacheConfig")
    assert found["cache_dtype"].choices == ("auto", "fp8")
    assert found["prefix_caching"].negations == ("--no-prefix-caching",)
    assert (found["limit"].kind, found["limit"].words, found["limit"].bounds) == ("int", ("None",), (("ge", 0.0),))
    assert found["names"].nargs == "+"
    assert (found["spec_config"].kind, found["spec_config"].options) == ("json", ("--spec-config", "-sc"))


def test_the_keys_of_a_json_flag_are_those_of_its_class(tmp_path):
    keys = {key.name: key for key in catalog(tmp_path, TYPED).keys}
    assert set(keys) == {"spec_config.method", "spec_config.tokens"}
    assert keys["spec_config.method"].required
    assert (keys["spec_config.tokens"].kind, keys["spec_config.tokens"].default) == ("int", 3)


def test_nothing_of_the_sources_runs(tmp_path):
    trap = tmp_path / "trap"
    text = f"import pathlib\npathlib.Path({str(trap)!r}).touch()\nopen({str(trap)!r}, 'w')\n"
    found = catalog(tmp_path, PLAIN | {"vllm/platforms/interface.py": text + PLAIN["vllm/platforms/interface.py"]})
    assert found.lists
    assert not trap.exists()


@pytest.mark.parametrize("files", [PLAIN, TYPED])
def test_the_data_gives_back_what_was_packed(tmp_path, files):
    found = catalog(tmp_path, files)
    (tmp_path / "data").write_bytes(packed({"0.1.0": found}))
    (again,) = load(tmp_path / "data").values()
    assert flags(again) == flags(found)
    assert (set(again.keys), set(again.variables)) == (set(found.keys), set(found.variables))
    assert (sorted(again.keywords), again.lists) == (sorted(found.keywords), found.lists)
