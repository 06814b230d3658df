"""Writes a folder that, put on PYTHONPATH of Dyno's own interpreter, is vLLM as far as Dyno looks."""

from pathlib import Path

_FILES = {
    "vllm/__init__.py": "__version__ = {version!r}\n",
    "vllm/version.py": "__version__ = {version!r}\n",
    "vllm/platforms/__init__.py": "class current_platform:\n    device_type = {platform!r}\n",
    "vllm/utils/__init__.py": "",
    "vllm/utils/argparse_utils.py":
        "from dyno.testing.fake_flags import FlexibleArgumentParser as FlexibleArgumentParser\n",
    "vllm/entrypoints/__init__.py": "",
    "vllm/entrypoints/launchers/__init__.py": "",
    "vllm/entrypoints/launchers/cli_args.py":
        "from dyno.testing.fake_flags import make_arg_parser as make_arg_parser\n",
    "vllm/entrypoints/cli/__init__.py": "",
    "vllm/entrypoints/cli/main.py":
        "from dyno.testing.fake_engine import main\n\nif __name__ == '__main__':\n    main({version!r}, {platform!r})\n",  # noqa: E501
    "vllm-{version}.dist-info/METADATA": "Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n",
    "torch/__init__.py": "__version__ = '2.13.0+{platform}'\n",
    "torch-2.13.0+{platform}.dist-info/METADATA": "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+{platform}\n",
}  # fmt: skip


def write_site(folder: Path, version: str = "0.32.0+cpu", platform: str = "cpu") -> Path:
    """Makes `folder` a fake vLLM of this version and platform and returns it; existing files are overwritten."""
    for name, text in _FILES.items():
        path = folder / name.format(version=version, platform=platform)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(version=version, platform=platform))
    return folder
