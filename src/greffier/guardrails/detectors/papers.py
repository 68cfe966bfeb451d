"""Passports, licence plates and dates of birth: shapes that mean nothing without a word that announces them."""

from collections.abc import Callable

from greffier.guardrails.ports import Passage
from greffier.guardrails.words import after, before, bounded, heading, names

Check = Callable[[Passage, int, int], tuple[float, int, int]]
"""From a candidate span to a score and the exact span; score 0 rejects."""

_VEHICLE = (
    "car ", "cars", "car,", "car.", "car:", "vehicle", "plate", "registration", "reg ", "reg.", "reg:",
    "kennzeichen", "auto ", "auto,", "autos", "auto's", "fahrzeug", "wagen", "pkw", "lkw",
    "voiture", "vehicule", "plaque",
    "immatricul", "coche", "matricula", "vehiculo", "targa", "targat", "veicolo", "macchina", "kenteken", "voertuig",
    "wagen", "white van", "the van", "delivery van", "truck",
    "motorrad", "moto ", "camion", "furgon", "number plate", "licence", "license", "parked", "parking", "geparkt",
    "zulassung", "nummerplaat", "bestelwagen",
    "parkplatz", "tractor", "traktor", "trattore", "polo ", "panda", "clio", "fiesta", "corsa", "autocarr",
    "conducente",
    "scooter", "motorbike", "taxi", "fiat", "bmw", "audi", "volkswagen", "vw", "peugeot", "renault", "citroen",
    "seat", "opel", "ford", "toyota", "mercedes", "tesla",
    "skoda", "nissan", "volvo", "dacia", "hyundai", "kia", "mazda", "golf",
    "lorry", "trailer", "bike", "zugmaschine", "auflieger", "anhanger", "sattelzug", "transporter", "halter",
    "fahrer",
    "chauffeur", "driver", "stationn", "garee", "gare ", "remorque", "camionnette", "aparc", "estacion", "remolque",
    "furgoneta", "parcheggi", "furgone", "rimorchio", "motorino", "autist", "rijd", "reed ", "geparkeerd", "parkeer",
    "aanhanger", "busje", "bestuurder", "honda", "suzuki", "cupra", "jeep", "porsche", "citroen", "alfa", "lancia",
    "saab",
    "towed", "speeding", "speed camera", "blitzer", "geblitzt", "abgeschleppt", "peage",
    "congestion charge", "anpr", "tuv", "hgv", "suv", "camper", "caravan", "wohnmobil", "hire car",
    "passat", "megane", "octavia", "fabia", "ibiza", "astra", "tiguan", "qashqai", "yaris", "sprinter",
    "berlingo", "kangoo", "turismo", "berlina", "limousine", "kombi", "fahrt ", "gefahren", "conducia",
    "conduisait", "guidava", "reed in", "kfz", 'kz"', "kz:",
    "mietwagen", "leasing", "garage", "werkstatt", "officina", "carrozzeria", "bodywork",
)  # fmt: skip
_NOT_PLATES = (
    "order", "bestell", "commande", "pedido", "ordine", "invoice", "rechnung", "serial", "serien", "room", "raum",
    "flight", "flug", "vol ", "vuelo", "volo", "vlucht", "ticket", "sku", "model", "modell", "mod.", "article",
    "artikel", "art.",
    "preventivo", "part no", "devis", "lot ", "bin ", "shelf", "regal",
)  # fmt: skip


def _birth(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    """Firms, festivals and republics are born too, and are no persons."""
    window = before(passage.text, start)
    person = (names(window, _OF_PERSONS) and "its birthday" not in window) or not names(window, BORN_THINGS)
    fits = person and bounded(passage.text, start, end) and not names(window, EXAMPLES)
    return (0.9 if fits else 0.0), start, end


EXAMPLES = (  # not the domain "mail.example"
    " example",
    "(example",
    "e.g.",
    "z. b.",
    "z.b.",
    "beispiel",
    "p. ex",
    "par exemple",
    "p. ej",
    "ejemplo",
    "esempio",
    "bijv",
)
"""Words behind which a date shows a format."""
_OF_PERSONS = ("dob", "d.o.b", "birth", "geburts", "geb.", "naissance", "nacimiento", "nascita", "geboorte", "ddn")
"""Labels that no firm has; a verb ("founded", "born") may be said of one."""
BORN_THINGS = (
    "company", "firm ", "firma", "unternehmen", "bedrijf", "entreprise", "societe", "empresa", "azienda",
    "cooperativ",
    "ditta", "costituzion", "constituci", "constitution", "grundgesetz", "repubbli", "magazine", "zeitung",
    "zeitschrift",
    "rivista", "revista", "krant", "journal", "band ", "film", "brewery", "brasserie", "brauerei", "pasticceria",
    "fanfare", "choir", "chor ", "coro ", "library", "charity", "shop ", "loi ", "gesetz", "grundung", "grupo ",
    "genossenschaft", "festival", "republi", "association", "asociacion", "associazione", "verein",
    "vereniging", "club",
    "movement", "movimiento", "movimento", "mouvement", "partei", "partido", "partito", "brand ", "marke ",
    "marca", "start-up",
    "startup", "project", "projekt", "proyecto", "progetto", "museum", "museo",
)  # fmt: skip


def _passport(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    text = passage.text
    number = text[start:end]
    if not bounded(text, start, end) or not any(char.isdigit() for char in number):
        return 0.0, start, end
    return 0.9, start, end


def _travel_document(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    """The French and the Italian form, which other numbers have too: something nearby must speak of a document."""
    text = passage.text
    spoken = names(before(text, start, 40), _DOCUMENTS) or names(heading(text, start), _DOCUMENTS)
    return (0.75 if spoken and bounded(text, start, end) else 0.0), start, end


_DOCUMENTS = (
    "passport", "passeport", "pasaporte", "passaporto", "paspoort", "reisepass", "piece", "doc", "ausweis",
    "carte d'identite", "carta d'identita", "identity", "travel", "viaggio", "viaje", "voyage", "kyc",
)  # fmt: skip


def _birth_cell(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    text = passage.text
    return (0.9 if bounded(text, start, end) and names(heading(text, start), _BIRTH) else 0.0), start, end


def _birth_person(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    """A date right behind a patient's or an applicant's name is a birth, unless it may be the day of something else."""
    text = passage.text
    years = [int(part) for part in _digits(text[start:end]) if len(part) == _YEAR]
    pupil = names(before(passage.text, start, 50), _PUPILS)
    born = bool(years) and (pupil or years[0] <= _YOUNGEST)
    return (0.75 if born and bounded(text, start, end) else 0.0), start, end


def _digits(text: str) -> list[str]:
    return "".join(char if char.isdigit() else " " for char in text).split()


_PUPILS = ("pupil", "schuler", "eleve", "alumn", "alunn", "leerling")
_YEAR = 4
_YOUNGEST = 2012
_BIRTH = ("birth", "dob", "born", "geb", "naiss", "ddn", "nac", "nasc", "geboorte", "d.o.b", "date naiss", "bday")


def _plate_labelled(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    """Whatever a plate is said to be, of any country: letters and digits, in capitals."""
    number = passage.text[start:end]
    letters = sum(char.isalpha() for char in number)
    digits = sum(char.isdigit() for char in number)
    fits = letters >= 1 and digits >= 1 and _PLATE_LEAST <= letters + digits <= _PLATE_MOST and number == number.upper()
    return (0.9 if fits and bounded(passage.text, start, end) else 0.0), start, end


_PLATE_LEAST, _PLATE_MOST = 4, 9


def _plate_cell(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    """A cell below a heading that speaks of vehicles."""
    if not names(heading(passage.text, start), _PLATE_HEADINGS):
        return 0.0, start, end
    return _plate_labelled(passage, start, end)


_PLATE_HEADINGS = (
    "plate", "car", "vehicle", "reg", "kennz", "vrm", "kz", "kfz", "fahrzeug", "immat", "plaque", "vehicule",
    "matricula",
    "coche", "targa", "veicolo", "kenteken", "voertuig",
)  # fmt: skip


def _identity_card(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    digits = sum(char.isdigit() for char in passage.text[start:end])
    return (0.85 if digits > 1 and bounded(passage.text, start, end) else 0.0), start, end


def _document(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    """Any document's number, where somebody travels."""
    text = passage.text
    travels = names(before(text, start, 120), _TRAVELS) or names(after(text, end, 60), _TRAVELS)
    return (0.8 if travels and bounded(text, start, end) else 0.0), start, end


_TRAVELS = (
    "passport", "passeport", "pasaporte", "passaport", "paspoort", "reisepass", "nationality", "travel", "visa",
    "issuer",
    "passenger", "pax", "mrz", "dob", "pnr", "boarding", "check-in", "checkin",
)  # fmt: skip


def _document_cell(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    text = passage.text
    return (0.8 if bounded(text, start, end) and names(heading(text, start), _DOCUMENT_HEADINGS) else 0.0), start, end


_DOCUMENT_HEADINGS = ("doc", "passport", "passeport", "pasaporte", "passaport", "paspoort", "pass", "reisepass")


def _mrz(_passage: Passage, start: int, end: int) -> tuple[float, int, int]:
    return 0.95, start, end


def _plate(strong: bool) -> Check:
    def check(passage: Passage, start: int, end: int) -> tuple[float, int, int]:
        text = passage.text
        if (
            not bounded(text, start, end)
            or (start and text[start - 1] in "-_/")
            or text[end : end + 1] in {"-", "_", "/"}
        ):
            return 0.0, start, end
        window = before(text, start)
        above = heading(text, start)
        decimal = text[end : end + 1] in {".", ","} and text[end + 1 : end + 2].isdigit()
        if decimal or names(window[-30:], _NOT_PLATES) or names(above, _NOT_PLATES):
            return 0.0, start, end
        if names(window, _VEHICLE) or names(after(text, end, 40), _VEHICLE) or names(above, _PLATE_HEADINGS):
            return 0.9, start, end
        return (0.55 if strong else 0.0), start, end

    return check


_STRONG_PLATES = frozenset({"plate-fr-it"})  # a shape that nothing else has
_PLATES = ("de", "fr-it", "plain", "es", "gb", "nl", "be-at", "ie", "ch", "east")

CHECKS: dict[str, Check] = {
    "date-of-birth": _birth,
    "date-of-birth-cell": _birth_cell,
    "date-of-birth-person": _birth_person,
    "date-of-birth-star": _birth,
    "passport": _passport,
    "passport-other": _passport,
    "document-named": _document,
    "document-cell": _document_cell,
    "passport-mrz": _mrz,
    "travel-document": _travel_document,
    "plate-labelled": _plate_labelled,
    "plate-cell": _plate_cell,
    "identity-card": _identity_card,
    **{f"plate-{country}": _plate(f"plate-{country}" in _STRONG_PLATES) for country in _PLATES},
}
"""Check per rule of ``rulepacks/papers.toml``."""
