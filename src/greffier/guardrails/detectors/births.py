"""Dates of birth that no label announces right before them: told as a story, named after, spoken, or in words."""

from greffier.guardrails.detectors.papers import BORN_THINGS, EXAMPLES, Check
from greffier.guardrails.ports import Passage
from greffier.guardrails.words import after, before, heading, names

_NOUNS = (
    "dob", "d.o.b", "d o b", "y.o.b", "date of b", "birth d", "birthd", "birth_d", "birthday", "birth", "brith",
    "birht",
    "b'day", "b-day", "bday", "bd ", "bd:", "geburt", "geb.dat", "gebdat", "geb.-dat", "geb dat", "naiss", "ddn",
    "d.d.n", "nacimiento", "f. nac", "f.nac", "fec. nac", "fecha nac", "fec nac", "nascita", "nascimento", "data nasc",
    "fn ", "fn:", "f.n", "f/n", "geboorte", "geb. datum", "cumplean", "compleanno", "verjaardag", "anniversaire",
)  # fmt: skip
"""What forms and questions call it."""
_STORIES = (
    "into the world", "the light of day", "born", "gave birth", "giving birth", "give birth", "given birth",
    "caesarean", "c-section", "apgar",
    "geboren", "geborene", "geb.", "zur welt", "licht der welt", "entbindung", "entbunden", "kaiserschnitt", "jahrgang",
    "vu le jour", "au monde", "accouch", "mon anniv", "nacio", "naci ", "nacid", "mi cumple", "cumple anos", "al mundo",
    "dio a luz", "dado a luz", "di a luz", "nato ", "nata ", "nati ", "nate ", "nacque", "alla luce", "al mondo",
    "compio gli anni", "fa gli anni", "compie gli anni", "gli anni il", "classe di ferro", "n. a ", "bevallen",
    "bevalling", "ter wereld", "jarig", "turned eighteen", "turned 18", "turns 18", "turned sixteen",
)  # fmt: skip
"""Words of those who tell of it; they may also be said of a firm."""
_SELF = (
    "soy del", "soy de", "sono del", "sono dell'", "suis du", "chuis du", "ben van", "bin vom", "suis ne le",
    "suis nee le", "suis ne un", "suis nee un",
)  # fmt: skip
"""Right before a date: "soy del 30 de noviembre de 1994"."""
_CHILDREN = (
    "baby", "babies", "daughter", "our son", "my son", "twins", "tochter", "sohn", "die kleine", "der kleine",
    "zwilling",
    "fille", "fils", "jumeaux", "jumelles", "bebe", "hija", "hijo", "nina", "nino", "gemel", "figlia", "figlio", "bimb",
    "dochter", "zoon", "tweeling", "kindje",
)  # fmt: skip
_COME = (
    "arriv", "delivered", "ist da", "is da", "kam ", "est la", "llego", "es del", "e arrivat", "is er", "is van",
    "baby,",
    "noteert", "weigh", "gramm", " gr ", "kilo", " kg", "cm,",
)  # fmt: skip
_SIGNS = (
    "star sign", "zodiac", "sternzeichen", "signe astro", "signo del zod", "segno zod", "sterrenbeeld", "horosco",
    "horosko", "oroscopo", "ariete", "sagitario", "sagittario", "segno ", "aries", "capricorn", "scorpio", "zodiaco",
)  # fmt: skip
_BEHIND = (
    "my birthday", "as birthday", "the birthday", "is birthday", "his birthday", "her birthday", "their birthday",
    "our birthday", "birth date", "date of birth",
    "birthdate", "is when i was born", "when he was born",
    "when she was born", "when i was born", "geboren", "geborene", "geb.", "geb ", "geburtstag", "zur welt",
    "das licht",
    "date de naiss", "jour de ma naiss", "mon anniv", "mi cumple", "fecha de nac", "compleanno", "data di nasc",
    "jarig",
    "ter wereld", "geboortedatum", "verjaardag", "bevallen", "(dob", "(birth", "apgar",
)  # fmt: skip
_CELLS = (
    "ne(e)",
    "ne le",
    "nee le",
    "birth",
    "dob",
    "born",
    "geb",
    "naiss",
    "ddn",
    "nac",
    "nasc",
    "geboorte",
    "d.o.b",
    "bday",
    "nacimiento",
)
_NEAR, _FAR = 60, 110


def _near(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    text = passage.text
    if text[end - 1] == "T":  # the time of day that ISO 8601 lets follow
        end -= 1
    elif end < len(text) and text[end].isalnum():
        return 0.0, start, end
    window = before(text, start, _FAR)
    if names(window[-_NEAR:], EXAMPLES):
        return 0.0, start, end
    bare = text[start:end].isdigit()
    score = _asked(window, bare=bare) or (0.0 if bare else _told(window, text, end) or _listed(text, start, end))
    if not score and names(heading(text, start), _CELLS):
        score = 0.9
    return score, start, end


_LISTS = (
    "birthday list", "birthdays", "geburtstagsliste", "geburtstage", "cumpleanos de", "compleanni", "verjaardagen",
    "verjaardagslijst", "anniversaires",
)  # fmt: skip
"""What announces more than one."""
_PEOPLE = (
    "mother", "father", "husband", "wife", "mutter", "vater", "mein mann", "meine frau", "mere", "pere", "mari",
    "femme",
    "madre", "padre", "marido", "mujer", "abuel", "moglie", "marito", "nonn", "mevr", "meneer", "oma", "opa",
)  # fmt: skip
_OF = (" is van", " est du", " es del", " ist vom", " e del", " was van")
_IDS = (
    "cnp", "pesel", "dni", "nif", "bsn", "passport", "passeport", "pasaporte", "passaport", "paspoort", "reisepass",
    "nino",
    "ssn",
)  # fmt: skip


def _listed(text: str, start: int, end: int) -> float:
    """One of a list of birthdays, or what stands beside a person's identifier."""
    if names(before(text, start, _LIST).rsplit("\n\n", 1)[-1], _LISTS):
        return 0.75
    years = [int(part) for part in _parts(text[start:end]) if len(part) == _LONG]
    grown = bool(years) and years[0] <= _GROWN
    apart = text[:start].rstrip()[-1:] in _MARKS  # no word says what day it is
    return 0.65 if grown and apart and names(after(text, end, 14), _IDS) else 0.0


_LIST = 250
_MARKS = (",", ";", "(", "|", ":", "-", "\n")


def _parts(date: str) -> list[str]:
    return "".join(char if char.isdigit() else " " for char in date).split()


def _asked(window: str, *, bare: bool) -> float:
    """A label or a question before the date, with no other date between."""
    near = window[-25:] if bare else window[-_NEAR:]
    tail = _since_figures(near)
    if not names(tail, _NOUNS):
        return 0.0
    return 0.0 if names(window, BORN_THINGS) else 0.9


def _told(window: str, text: str, end: int) -> float:
    """The words of a story before it, or behind."""
    sentence = _since_figures(window.rsplit(". ", 1)[-1] if window.count(". ") else window)
    follows = _until_figures(after(text, end, 45))
    if names(window, BORN_THINGS) or names(follows, BORN_THINGS):
        return 0.0
    if names(sentence, _STORIES) or names(_since_figures(window[-12:]), ("geb.", "n. a ", "b.")):
        return 0.85
    if sentence.rstrip(" '").endswith(_SELF) or (names(sentence, _CHILDREN) and names(sentence + follows, _COME)):
        return 0.8
    if names(sentence, _PEOPLE) and sentence.rstrip().endswith(_OF):
        return 0.8
    if names(sentence, _SIGNS) or names(follows, _SIGNS) or names(follows, _BEHIND):
        return 0.8
    return 0.0


def _since_figures(window: str) -> str:
    """What stands behind the last long number: a label before another date announced that one."""
    run = 0
    for at in range(len(window) - 1, -1, -1):
        run = run + 1 if window[at].isdigit() else 0
        if run == _LONG:
            return window[at + _LONG :]
    return window


def _until_figures(window: str) -> str:
    """The rest of the sentence, up to the next number."""
    for at, char in enumerate(window):
        if char.isdigit() or char in ";\n" or (char in ".!" and window[at + 1 : at + 2] == " " and at > 2):  # noqa: PLR2004 - "12. Dez."
            return window[:at]
    return window


_LONG = 4


def _title(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    """In brackets behind somebody's name, and long ago."""
    years = [int(part) for part in _parts(passage.text[start:end]) if len(part) == _LONG]
    return (0.7 if years and years[0] <= _GROWN else 0.0), start, end


_GROWN = 2007


def _spoken(_passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    return 0.8, start, end


def _number(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    """Figures said one by one or in pairs, behind a word of telephones."""
    window = before(passage.text, start, 40)
    return (0.8 if names(window, _CALLS) else 0.0), start, end


_CALLS = (
    "phone", "mobile", "number", "call", "reach", "ring", "dial", "text me", "whatsapp", "tel", "nummer", "handy",
    "anruf", "ruf", "numero", "portable", "appel", "joindre", "message au", "movil", "llam", "apunta", "cellulare",
    "chiam", "recapito", "cell", "gsm", "bel ", "bereik", "mobiel",
)  # fmt: skip

CHECKS: dict[str, Check] = {
    "date-of-birth-near": _near,
    "date-of-birth-title": _title,
    "date-of-birth-spoken": _spoken,
    "number-spoken": _number,
}
"""Check per rule of ``rulepacks/papers.toml``."""
