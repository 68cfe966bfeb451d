# ruff: noqa: E501 - lists of words are easier to compare on one line
"""Makes up records with names in them: values, tables, JSON, logs, headers of mails, chats. Labels in six languages."""

from collections.abc import Iterator

from person_corpus import HOME, Maker, Marked

FIRST = {
    "en": "first first_name firstname given given_name forename fname", "de": "vorname rufname Vorname VORNAME first_name", "fr": "prenom prénom Prénom PRENOM first_name",
    "es": "nombre Nombre nombre_pila NOMBRE", "it": "nome Nome NOME", "nl": "voornaam roepnaam Voornaam VOORNAAM",
}  # fmt: skip
LAST = {
    "en": "last last_name lastname surname family family_name lname", "de": "nachname familienname name Nachname NAME", "fr": "nom nom_famille Nom NOM last_name",
    "es": "apellido apellidos Apellidos APELLIDOS apellido1", "it": "cognome Cognome COGNOME", "nl": "achternaam Achternaam ACHTERNAAM naam",
}  # fmt: skip
WHOLE = {
    "en": "name full_name holder customer client guest owner assignee contact user patient tenant Name Guest Employee reporter author approver member", "de": "name kunde mieter inhaber ansprechpartner bearbeiter fahrer Name Kunde Mitarbeiter teilnehmer patient",
    "fr": "nom client titulaire contact locataire conducteur Nom Salarié patient participant interlocuteur", "es": "nombre cliente titular contacto inquilino conductor Nombre Empleado paciente alumno",
    "it": "nominativo cliente intestatario referente inquilino conducente Nominativo Dipendente paziente alunno", "nl": "naam klant houder contactpersoon huurder bestuurder Naam Medewerker patient deelnemer",
}  # fmt: skip
OTHER = {
    "en": "id plan status city amount desk zone type note dept role product brand model colour", "de": "id tarif status ort betrag raum abteilung typ bemerkung rolle artikel marke modell farbe", "fr": "id forfait statut ville montant service type remarque role article marque couleur",
    "es": "id plan estado ciudad importe sala tipo nota rol articulo marca color", "it": "id piano stato citta importo reparto tipo nota ruolo articolo marca colore", "nl": "id plan status plaats bedrag afdeling type opmerking rol artikel merk kleur",
}  # fmt: skip
VALUES = {
    "en": "gold basic active closed yes no Finance Sales Leeds London open pending urgent Blue Oak Standard none Support Legal Chair Lamp", "de": "Gold Basis aktiv gekündigt ja nein Einkauf Vertrieb Kassel Berlin offen dringend Blau Eiche Standard keine Lager Stuhl Lampe Rot", "fr": "or base actif clos oui non Achats Ventes Lyon Paris ouvert urgent Bleu Chêne Standard aucun Chaise Lampe Rouge",
    "es": "oro básico activo cerrado sí no Compras Ventas Madrid Sevilla abierto urgente Azul Roble Estándar ninguno Silla Rojo", "it": "oro base attivo chiuso sì no Acquisti Vendite Milano Bari aperto urgente Blu Rovere Standard nessuno Sedia Rosso", "nl": "goud basis actief gesloten ja nee Inkoop Verkoop Breda Utrecht open dringend Blauw Eik Standaard geen Stoel Rood",
}  # fmt: skip
CHAT = {
    "en": "anyone seen the deck|in the shared folder|ta|lunch?|on my way|can't log in|works now|meeting moved to 3|ok|great, thanks", "de": "hat wer die folien|im ordner|danke|mittag?|bin unterwegs|geht nicht|geht wieder|termin auf 15 uhr verlegt|ok|super", "fr": "qqn a vu le doc|dans le dossier|merci|on mange ?|j'arrive|ça marche pas|c'est bon|réunion à 15h|ok|super",
    "es": "alguien ha visto el doc|en la carpeta|gracias|comemos?|voy|no funciona|ya va|reunión a las 3|vale|genial", "it": "qualcuno ha visto il file|nella cartella|grazie|pranzo?|arrivo|non funziona|ora va|riunione alle 15|ok|ottimo", "nl": "heeft iemand de slides|in de map|dank|lunch?|kom eraan|doet het niet|doet het weer|overleg om 15 uur|ok|top",
}  # fmt: skip
HEADS = {
    "en": ("From", "To", "Cc", "Subject", "Sent"), "de": ("Von", "An", "Cc", "Betreff", "Gesendet"), "fr": ("De", "À", "Cc", "Objet", "Envoyé"),
    "es": ("De", "Para", "Cc", "Asunto", "Enviado"), "it": ("Da", "A", "Cc", "Oggetto", "Inviato"), "nl": ("Van", "Aan", "Cc", "Onderwerp", "Verzonden"),
}  # fmt: skip
TOPICS = {
    "en": "minutes attached|invoice overdue|printer|water damage|your application", "de": "Protokoll anbei|Rechnung offen|Drucker|Wasserschaden|Ihre Bewerbung", "fr": "compte rendu|facture impayée|imprimante|dégât des eaux|votre candidature",
    "es": "acta adjunta|factura pendiente|impresora|daños por agua|su solicitud", "it": "verbale allegato|fattura scaduta|stampante|danni da acqua|la sua candidatura", "nl": "notulen bijgevoegd|factuur open|printer|waterschade|uw sollicitatie",
}  # fmt: skip


class _Writer:
    """Text that is put together piece by piece, with the spans of its names."""

    def __init__(self) -> None:
        self.text = ""
        self.spans: list[tuple[int, int, str]] = []

    def add(self, words: str, kind: str = "") -> None:
        if kind:
            self.spans.append((len(self.text), len(self.text) + len(words), kind))
        self.text += words


class Records:
    """Makes records in one language."""

    def __init__(self, maker: Maker, lang: str) -> None:
        self.maker, self.rng, self.lang = maker, maker.rng, lang

    def _label(self, labels: dict[str, str]) -> str:
        return self.rng.choice(labels[self.lang].split())

    def _value(self) -> str:
        rng = self.rng
        roll = rng.random()
        if roll < 0.5:
            return self._label(VALUES)
        if roll < 0.6:
            return rng.choice(self.maker.brands).capitalize()
        if roll < 0.68:
            return self.maker.firm(self.lang)
        return rng.choice(
            (
                str(rng.randrange(10**5)),
                f"{rng.randrange(900)}.{rng.randrange(10, 99)}",
                self.maker.other("D", self.lang),
                f"{rng.choice('ABCDEK')}-{rng.randrange(99)}",
                "",
                "n/a",
            )
        )

    def _field(self, out: _Writer, kind: str) -> None:
        if kind == "first":
            out.add(self.maker.first(self.lang), "PERSON")
        elif kind == "last":
            out.add(self.maker.last(self.lang), "PERSON")
        elif kind == "whole":
            out.add(self.maker.person(self.lang), "PERSON")
        else:
            out.add(self._value())

    def _kinds(self) -> list[str]:
        rng = self.rng
        kinds = rng.choice((["first", "last"], ["last", "first"], ["whole"], ["whole"], ["first"], ["other"]))
        kinds = [*kinds, *["other"] * rng.randrange(1, 4)]
        if rng.random() < 0.5:
            kinds.insert(0, "other")
        return kinds

    def _heading(self, kind: str) -> str:
        return self._label({"first": FIRST, "last": LAST, "whole": WHOLE, "other": OTHER}[kind])

    def table(self) -> _Writer:
        """Values with a heading, or without one."""
        rng, out = self.rng, _Writer()
        kinds = self._kinds()
        mark = rng.choice((",", ";", "|", " | ", "\t", "; ", ", "))
        if mark in {", ", ","}:
            kinds = ["first" if kind == "whole" else kind for kind in kinds]
        if rng.random() < 0.85:
            out.add(mark.join(self._heading(kind) for kind in kinds) + "\n")
            if mark == " | " and rng.random() < 0.5:
                out.add("|".join("---" for _ in kinds) + "\n")
        for _ in range(rng.randrange(1, 5)):
            for at, kind in enumerate(kinds):
                out.add(mark if at else "")
                self._field(out, kind)
            out.add("\n")
        return out

    def json(self) -> _Writer:
        """An object."""
        out = _Writer()
        out.add("{")
        for at, kind in enumerate(self._kinds()):
            out.add((", " if self.rng.random() < 0.6 else ",") if at else "")
            out.add(f'"{self._heading(kind)}"' + self.rng.choice((": ", ":")) + '"')
            self._field(out, kind)
            out.add('"')
        out.add("}")
        return out

    def pairs(self) -> _Writer:
        """Labels and values in a line or below one another."""
        rng, out = self.rng, _Writer()
        colon = rng.choice((": ", ":", "=", " = ", ": ", " : "))
        mark = rng.choice(("\n", "\n", " ", ", ", " | ", " / ", "; ", ". ", " - "))
        for at, kind in enumerate(self._kinds()):
            head = self._heading(kind)
            out.add(mark if at else rng.choice(("", "", "INFO ", "2025-03-01 08:11:02 WARN kyc ", "- ")))
            out.add((head.replace("_", " ").capitalize() if rng.random() < 0.5 else head) + colon)
            self._field(out, kind)
        return out

    def chat(self) -> _Writer:
        """Lines of a chat."""
        rng, out = self.rng, _Writer()
        way = rng.randrange(4)
        people = [rng.choice((self.maker.first, self.maker.first, self.maker.person))(self.lang) for _ in range(3)]
        for _ in range(rng.randrange(2, 6)):
            who = rng.choice(people)
            clock = f"{rng.randrange(7, 20):02d}:{rng.randrange(60):02d}"
            out.add(("", f"[{clock}] ", f"{clock} - ", "<")[way])
            out.add(who, "PERSON")
            out.add((": ", ": ", ": ", "> ")[way] + rng.choice(CHAT[self.lang].split("|")) + "\n")
        return out

    def mail(self) -> _Writer:
        """The head of a mail."""
        rng, out = self.rng, _Writer()
        heads = HEADS[self.lang]
        for at in range(rng.randrange(1, 4)):
            out.add(f"{heads[at]}: ")
            for more in range(rng.choice((1, 1, 2))):
                who = self.maker.person(self.lang)
                quote = '"' if rng.random() < 0.3 else ""
                out.add(("; " if more else "") + quote)
                out.add(who, "PERSON")
                out.add(
                    f"{quote} <{rng.choice('abcdefgh')}.{rng.randrange(99)}@corp.example>"
                    if rng.random() < 0.7
                    else quote
                )
            out.add("\n")
        out.add(f"{heads[3]}: {rng.choice(TOPICS[self.lang].split('|'))}")
        return out

    def listing(self) -> _Writer:
        """Names one after another, with something beside each."""
        rng, out = self.rng, _Writer()
        mark = rng.choice((", ", "\n", "\n- ", " · ", "; ", " / ", "\n1. "))
        make = rng.choice((self.maker.first, self.maker.person, self.maker.last))
        for at in range(rng.randrange(2, 6)):
            out.add(mark if at else mark.lstrip(", ·;/\n"))
            out.add(make(self.lang), "PERSON")
            out.add(
                rng.choice(
                    (
                        "",
                        "",
                        "",
                        f" ({rng.randrange(6, 80)})",
                        f" {rng.randrange(1, 29):02d}.{rng.randrange(1, 13):02d}.",
                        " - ok",
                        " (?)",
                        f": {rng.randrange(9)}",
                    )
                )
            )
        return out

    def words(self) -> _Writer:
        """Values and no name at all."""
        rng, out = self.rng, _Writer()
        mark = rng.choice((", ", "\n", ";", " | ", "\t", "\n- "))
        for at in range(rng.randrange(2, 8)):
            out.add((mark if at else "") + self._value())
        return out


def person_tables(seed: int, count: int, source: str) -> Iterator[Marked]:
    """Yield ``count`` records in each language."""
    maker = Maker(seed)
    for lang in HOME:
        records = Records(maker, lang)
        for _ in range(count):
            make = maker.rng.choice(
                (records.table, records.json, records.pairs, records.chat, records.mail, records.listing, records.words)
            )
            made = make()
            yield Marked(made.text, tuple(made.spans), lang, source)
