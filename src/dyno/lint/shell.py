"""Shell text as its commands and their words, read as a POSIX shell would and never run."""

import re
from dataclasses import dataclass, field

from dyno.lint.source import Source, Word

_DEFAULT = re.compile(r"\$\{\w+:?-")
_EXPANSION = re.compile(r"\$(?:\w+|[@*#?$!-]|\{[^{}]*\})")
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
_REST_IS_BLANK = re.compile(r"[ \t]+\r?(?:\n|\Z)")
_BLANK = " \t\r"


@dataclass(frozen=True, slots=True)
class Redirect:
    """`> file`, glued to the word before it when nothing stands between."""

    operator: str
    target: str
    start: int
    end: int
    glued: bool


@dataclass(slots=True)
class Command:
    """One simple command."""

    words: list[Word] = field(default_factory=list)
    redirects: list[Redirect] = field(default_factory=list)
    blank_after_backslash: list[int] = field(default_factory=list)
    starts_line: bool = True


def read_shell(source: Source) -> list[Command]:
    """Every simple command, in order. An unclosed quote ends with the text."""
    return _Lexer(source).commands()


class _Lexer:
    """Walks over the text once; `_take` keeps a letter of the word at hand."""

    def __init__(self, source: Source) -> None:
        self.source, self.text = source, source.text
        self.position, self.braces = 0, 0
        self.done: list[Command] = []
        self.command = Command()
        self.heredocs: list[str] = []
        self._new_word()

    def _new_word(self) -> None:
        self.letters: list[str] = []
        self.at: list[int] = []
        self.begin: int | None = None
        self.quoted = self.open = False

    def commands(self) -> list[Command]:
        while self.position < len(self.text):
            self._step(self.text[self.position])
        self._end_command()
        return self.done

    def _step(self, letter: str) -> None:
        if letter in _BLANK:
            self._end_word()
            self.position += 1
        elif letter == "\n":
            self._newline()
        elif letter == "#" and self.begin is None:
            self.position = self._find("\n")
        elif letter == "(" and self.letters and self.letters[-1] == "=":
            self._array()
        elif letter in ";&|()":
            self._end_command(starts_line=False)
            self.position += 1
        elif letter in "<>":
            self._redirect()
        elif letter == "}" and self.braces:
            self.braces -= 1
            self.position += 1
            self._mark()
        else:
            self._letter(letter)

    def _letter(self, letter: str) -> None:
        if self.begin is None:
            self.begin = self.position
        if letter == "'":
            self._single()
        elif letter == '"':
            self._double()
        elif letter == "\\":
            self._escape()
        elif letter in "$`":
            self._dollar()
        else:
            self._take()
        self._mark()

    def _array(self) -> None:
        """`NAME=(...)`: words that nobody here follows to where they are used."""
        self.open = True
        self._take(_closing(self.text, self.position) - self.position)
        self._mark()

    def _mark(self) -> None:
        self.finish = min(self.position, len(self.text))  # an unclosed quote ends with the text

    def _take(self, count: int = 1) -> None:
        self.letters.append(self.text[self.position : self.position + count])
        self.at += self.source.at[self.position : self.position + count]
        self.position += count

    def _find(self, what: str) -> int:
        found = self.text.find(what, self.position)
        return len(self.text) if found < 0 else found

    def _single(self) -> None:
        self.quoted = True
        self.position += 1
        self._take(self._find("'") - self.position)
        self.position += 1

    def _double(self) -> None:
        self.quoted = True
        self.position += 1
        while self.position < len(self.text) and self.text[self.position] != '"':
            letter = self.text[self.position]
            if letter == "\\" and self.text[self.position + 1 : self.position + 2] in ('"', "\\", "$", "`", "\n"):
                self.position += 1
                self._take() if self.text[self.position] != "\n" else self._skip()
            elif letter in "$`":
                self._dollar()
            elif letter == "}" and self.braces:
                self.braces -= 1
                self.position += 1
            else:
                self._take()
        self.position += 1

    def _skip(self) -> None:
        self.position += 1

    def _escape(self) -> None:
        rest = self.text[self.position + 1 : self.position + 3]
        if rest[:1] == "\n" or rest == "\r\n":
            self.position += 2 + (rest[:1] == "\r")
            if not self.letters and not self.quoted:
                self.begin = None
            return
        if _REST_IS_BLANK.match(self.text, self.position + 1):
            self.command.blank_after_backslash.append(self.source.at[self.position])
        self.position += 1
        if self.position < len(self.text):
            self._take()

    def _dollar(self) -> None:
        """An expansion: its default where it has one, else kept as written and the word is open."""
        if default := _DEFAULT.match(self.text, self.position):
            self.braces += 1
            self.position = default.end()
            return
        start = self.position
        if self.text.startswith("$(", start):
            end = _closing(self.text, start + 1)
        elif self.text[start] == "`":
            self.position += 1
            end = self._find("`") + 1
            self.position = start
        else:
            found = _EXPANSION.match(self.text, start)
            end = found.end() if found else start + 1
        self.open = self.open or end > start + 1
        self._take(min(end, len(self.text)) - start)

    def _end_word(self) -> None:
        if self.begin is not None and (self.letters or self.quoted):
            word = Source("".join(self.letters), [*self.at, self.source.at[self.finish]])
            start, end = self.source.at[self.begin], self.source.at[max(self.finish, self.begin + 1) - 1] + 1
            self.command.words.append(Word(word, start, end, self.open))
        self._new_word()

    def _end_command(self, *, starts_line: bool = True) -> None:
        self._end_word()
        if self.command.words or self.command.redirects:
            self.done.append(self.command)
        self.command = Command(starts_line=starts_line)

    def _newline(self) -> None:
        self._end_command()
        self.position += 1
        for end in self.heredocs:
            close = re.compile(rf"^\s*{re.escape(end)}[ \t\r]*$", re.MULTILINE).search(self.text, self.position)
            self.position = close.end() if close else len(self.text)
        self.heredocs = []

    def _redirect(self) -> None:
        glued = self.begin is not None
        start = self.position
        if heredoc := _HEREDOC.match(self.text, start):
            self._end_word()
            self.heredocs.append(heredoc[2])
            self.position = heredoc.end()
            return
        if glued and "".join(self.letters).isdigit():
            self._new_word()  # a file descriptor: 2>&1
            glued = False
        self._end_word()
        found = re.compile(r"[<>]+[&|]?[ \t]*([^\s;&|()<>]*)").match(self.text, start)
        end = found.end() if found else start + 1
        target = found[1] if found else ""
        self.command.redirects.append(
            Redirect(self.text[start], target, self.source.at[start], self.source.at[end - 1] + 1, glued))  # fmt: skip
        self.position = end


def _closing(text: str, opening: int) -> int:
    """Where the parenthesis that opens here is closed, the text's end if nowhere."""
    depth = 0
    for position in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position + 1
    return len(text)
