"""Dyno finds, proves and runs the fastest vLLM configuration for your GPU, model and workload."""

from dyno._version import __version__

__all__ = ["__version__"]
