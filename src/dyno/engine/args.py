"""EngineArgs: vLLM's flags, spelt as vLLM spells them, and the argv they become."""

import shlex
from dataclasses import dataclass, replace

FlagValue = bool | int | float | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EngineArgs:
    """A configuration of `vllm serve`. Flags and variables are sorted by name, so equal configurations are equal.

    A flag's name is vLLM's own field name (`max_num_seqs`); a bool is a switch (`False` is spelt `--no-...`),
    a tuple is a flag that takes several words.
    """

    model: str
    flags: tuple[tuple[str, FlagValue], ...] = ()
    env: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "flags", tuple(sorted(self.flags)))
        object.__setattr__(self, "env", tuple(sorted(self.env)))

    def flag(self, name: str) -> FlagValue | None:
        """The value of a flag, None when vLLM's default holds."""
        return dict(self.flags).get(name)

    def overlay(self, change: "EngineArgs") -> "EngineArgs":
        """This configuration with another's flags and variables on top."""
        return replace(self, flags=tuple({**dict(self.flags), **dict(change.flags)}.items()),
                       env=tuple({**dict(self.env), **dict(change.env)}.items()))  # fmt: skip

    def argv(self) -> tuple[str, ...]:
        """The words after `vllm serve`."""
        words = [self.model]
        for name, value in self.flags:
            option = "--" + name.replace("_", "-")
            if value is True:
                words.append(option)
            elif value is False:
                words.append("--no-" + name.replace("_", "-"))
            elif isinstance(value, tuple):
                words += [option, *value]
            else:
                words += [option, str(value)]
        return tuple(words)

    def command(self) -> str:
        """One line for a POSIX shell."""
        return shlex.join(["env", *variables, "vllm", "serve", *self.argv()]
                          if (variables := [f"{name}={value}" for name, value in self.env])
                          else ["vllm", "serve", *self.argv()])  # fmt: skip

    def changes(self) -> str:
        """Variables and flags alone, as a person would write the difference to vLLM's defaults."""
        return shlex.join([f"{name}={value}" for name, value in self.env] + list(self.argv()[1:]))
