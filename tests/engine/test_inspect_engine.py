"""What is told of an engine's own parser."""

import argparse

from dyno.engine.inspect_engine import flags_of


class Both(argparse.BooleanOptionalAction):
    """As in vLLM 0.33: `--enable-x` is switched off by `--disable-x`, and by `--no-enable-x`, which help hides."""

    def __init__(self, option_strings, dest, **kwargs):
        super().__init__(option_strings, dest, **kwargs)
        inverse = option_strings[0].replace("--enable-", "--disable-")
        self.negative_option_strings = {*self.option_strings[1:], inverse}
        self.shown = [option_strings[0], inverse]
        self.option_strings = [*self.option_strings, inverse]


def test_every_spelling_that_switches_a_flag_off_is_told_also_a_hidden_one():
    parser = argparse.ArgumentParser(add_help=False)
    action = parser.add_argument("--enable-x", action=Both)
    action.option_strings = action.shown
    (flag,) = flags_of(parser)
    assert (flag["name"], flag["options"], flag["negatable"]) == ("enable_x", ["--enable-x"], True)
    assert flag["inverses"] == ["--disable-x"]


def test_a_plain_switch_has_no_negation():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--no-log", action="store_true")
    parser.add_argument("--eager", action=argparse.BooleanOptionalAction)
    flags = {flag["name"]: flag for flag in flags_of(parser)}
    assert (flags["no_log"]["options"], flags["no_log"]["negatable"]) == (["--no-log"], False)
    assert (flags["eager"]["options"], flags["eager"]["negatable"]) == (["--eager"], True)
