"""Word lists over a text: whole words, ignoring case and accents, in one pass (Aho-Corasick)."""

from collections.abc import Iterable, Iterator

import ahocorasick

from greffier.guardrails.words import fold


class Terms:
    """Finds listed terms as whole words. A term that ends in ``*`` also matches longer words that begin with it."""

    def __init__(self, terms: Iterable[tuple[str, str]]) -> None:
        """Take pairs of a term and the label reported for it; a later pair replaces an earlier one."""
        self._automaton = ahocorasick.Automaton()
        for term, label in terms:
            word = fold(term.rstrip("*").strip())
            if word:
                self._automaton.add_word(word, (label, len(word), term.endswith("*")))
        self._empty = len(self._automaton) == 0
        if not self._empty:
            self._automaton.make_automaton()

    def find(self, folded: str) -> Iterator[tuple[str, int, int]]:
        """Label and span of every term in a text that was folded by `fold`."""
        if self._empty:
            return
        length = len(folded)
        for last, (label, size, open_end) in self._automaton.iter(folded):
            start, end = last - size + 1, last + 1
            if start and folded[start - 1].isalnum():
                continue
            if open_end:
                while end < length and folded[end].isalnum():
                    end += 1
            elif end < length and folded[end].isalnum():
                continue
            yield label, start, end
