"""National identifiers of the EU, the UK, Switzerland, Norway and the US: shapes, check digits, labels.

Shapes and check digits follow python-stdnum's sources; the four German and British schemes it lacks are written out
here. A scheme whose check digit lets more than one random number in twenty through is *weak*: it counts only with a
label nearby, because order and invoice numbers have the same shape.
"""

from collections.abc import Callable

import msgspec
from stdnum import luhn, verhoeff
from stdnum.at import tin as at_tin
from stdnum.at import vnr as at_vnr
from stdnum.be import nn as be_nn
from stdnum.bg import egn as bg_egn
from stdnum.bg import pnf as bg_pnf
from stdnum.ch import ssn as ch_ssn
from stdnum.cz import rc as cz_rc
from stdnum.de import idnr as de_idnr
from stdnum.dk import cpr as dk_cpr
from stdnum.ee import ik as ee_ik
from stdnum.es import cif as es_cif
from stdnum.es import dni as es_dni
from stdnum.es import nie as es_nie
from stdnum.fi import hetu as fi_hetu
from stdnum.fr import nif as fr_nif
from stdnum.fr import nir as fr_nir
from stdnum.gb import nhs as gb_nhs
from stdnum.gb import utr as gb_utr
from stdnum.gr import amka as gr_amka
from stdnum.gr import vat as gr_vat
from stdnum.hr import oib as hr_oib
from stdnum.ie import pps as ie_pps
from stdnum.it import codicefiscale as it_cf
from stdnum.lt import asmens as lt_asmens
from stdnum.lv import pvn as lv_pvn
from stdnum.nl import bsn as nl_bsn
from stdnum.no import fodselsnummer as no_fnr
from stdnum.pl import nip as pl_nip
from stdnum.pl import pesel as pl_pesel
from stdnum.pt import cc as pt_cc
from stdnum.pt import nif as pt_nif
from stdnum.ro import cnp as ro_cnp
from stdnum.se import personnummer as se_pn
from stdnum.si import emso as si_emso
from stdnum.us import ssn as us_ssn

_KVNR_DIGITS = 10
_CURP_WEIGHTS = (7, 3, 1)


class Scheme(msgspec.Struct, frozen=True):
    """One kind of identifier.

    Attributes:
        id: ``COUNTRY_SCHEME``.
        shape: RE2 expression, upper case.
        valid: Whether the check digit and the inner structure hold.
        labels: Words that announce it, folded to lower case without accents.
        weak: Whether it counts only with a label nearby.
        score: Confidence without a label; with one it is 0.95.
        type: Finding type.
    """

    id: str
    shape: str
    valid: Callable[[str], bool]
    labels: tuple[str, ...]
    weak: bool = True
    score: float = 0.75
    type: str = "NATIONAL_ID"


def _compact(number: str) -> str:
    return "".join(char for char in number if char.isalnum()).upper()


def _cross_sum(number: int) -> int:
    return number // 10 + number % 10


def german_health_id(number: str) -> bool:
    """Krankenversichertennummer: letter, eight digits, Luhn-like check digit (SGB V s. 290)."""
    number = _compact(number)
    if len(number) != _KVNR_DIGITS or not ("A" <= number[0] <= "Z" and number[1:].isdigit()):
        return False
    digits = f"{ord(number[0]) - 64:02d}{number[1:9]}"
    return sum(_cross_sum(int(digit) * (1 + i % 2)) for i, digit in enumerate(digits)) % 10 == int(number[9])


def german_pension_id(number: str) -> bool:
    """Rentenversicherungsnummer: area, date of birth, initial, serial, check digit (VKVV s. 2)."""
    number = _compact(number)
    if not (1 <= int(number[2:4]) <= 31 + 50 and 1 <= int(number[4:6]) <= 12):  # noqa: PLR2004 - days and months
        return False
    digits = f"{number[:8]}{ord(number[8]) - 64:02d}{number[9:11]}"
    weights = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)
    total = sum(sum(map(int, str(int(digit) * weight))) for digit, weight in zip(digits, weights, strict=True))
    return total % 10 == int(number[11])


def german_identity_card(number: str) -> bool:
    """Serial number of the Personalausweis or passport with its check digit (ICAO 9303, weights 7-3-1)."""
    number = _compact(number)
    total = sum((int(c, 36)) * _CURP_WEIGHTS[i % 3] for i, c in enumerate(number[:-1]))
    return number[-1].isdigit() and total % 10 == int(number[-1])


def british_insurance_number(number: str) -> bool:
    """National Insurance number: has no check digit, but prefixes that are never issued (HMRC NIM39110)."""
    prefix = _compact(number)[:2]
    return prefix not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"} and prefix[0] not in "DFIQUV" and prefix[1] != "O"


def luxembourg_id(number: str) -> bool:
    """Matricule: 13 digits, the last two a Luhn and a Verhoeff digit over the first eleven."""
    number = _compact(number)
    return luhn.is_valid(number[:12]) and verhoeff.is_valid(number[:11] + number[12])


def hungarian_id(number: str) -> bool:
    """Személyi szám: 11 digits, weighted sum modulo 11, ascending or descending weights by year of birth."""
    digits = [int(char) for char in _compact(number)]
    up = sum(digit * (i + 1) for i, digit in enumerate(digits[:10])) % 11
    down = sum(digit * (10 - i) for i, digit in enumerate(digits[:10])) % 11
    return digits[10] in {up, down}


def hungarian_health_id(number: str) -> bool:
    """TAJ: nine digits, weights 3 and 7 modulo 10."""
    digits = [int(char) for char in _compact(number)]
    return sum(digit * (7 if i % 2 else 3) for i, digit in enumerate(digits[:8])) % 10 == digits[8]


def hungarian_tax_id(number: str) -> bool:
    """Adóazonosító jel: begins with 8, weighted sum modulo 11."""
    digits = [int(char) for char in _compact(number)]
    return sum(digit * (i + 1) for i, digit in enumerate(digits[:9])) % 11 == digits[9]


def _always(_number: str) -> bool:
    return True


_DATE = r"[0-9]{2}[0156][0-9][0-3][0-9]"  # YYMMDD
# However somebody groups the digits: a label must stand nearby, and the check digits must hold.
_ELEVEN = r"\b[0-9](?:[ ]?[0-9]){10}\b"
_TEN = r"\b[0-9](?:[ ]?[0-9]){9}\b"
_NINE = r"\b[0-9](?:[ .]?[0-9]){8}\b"

SCHEMES: tuple[Scheme, ...] = (
    Scheme(
        "DE_IDNR",
        _ELEVEN,
        de_idnr.is_valid,
        ("identifikationsnummer", "steuer-id", "steuerid", "steuer id", "idnr", "id-nr", "tax id", "tin"),
    ),
    Scheme(
        "DE_PERSO",
        r"\b[CFGHJKLMNPRTVWXYZ0-9]{9}[0-9](?:D)?\b",
        lambda number: german_identity_card(number.removesuffix("D")),
        (
            "ausweis",
            "perso",
            "identity card",
            "id card",
            "carte d'identite",
            "documento de identidad",
            "identiteitskaart",
        ),
    ),
    Scheme(
        "DE_SVNR",
        r"\b[0-9]{2}[ ]?[0-9]{6}[ ]?[A-Z][ ]?[0-9]{2}[ ]?[0-9]\b",
        german_pension_id,
        ("versicherungsnummer", "sozialversicherung", "rentenversicherung", "svnr", "rvnr", "sv-nummer"),
        weak=False,
    ),
    Scheme(
        "DE_KVNR",
        r"\b[A-Z][0-9]{9}\b",
        german_health_id,
        (
            "versichertennummer",
            "krankenversicher",
            "krankenkasse",
            "kvnr",
            "versicherten-nr",
            "health insurance",
            "insured",
            "egk",
        ),
    ),
    Scheme(
        "FR_NIR",
        r"\b[1-478][ .]?[0-9]{2}[ .]?[0-9]{2}[ .]?[0-9][0-9AB][ .]?[0-9]{3}[ .]?[0-9]{3}[ .]?[0-9]{2}\b",
        fr_nir.is_valid,
        ("insee", "securite sociale", "nir", "social security"),
        weak=False,
        score=0.9,
    ),
    Scheme(
        "FR_NIF",
        r"\b[0-3](?:[ ]?[0-9]){12}\b",
        fr_nif.is_valid,
        ("fiscal", "impots", "spi"),
    ),
    Scheme(
        "ES_DNI",
        r"\b(?:[0-9]{8}|[0-9]{2}\.[0-9]{3}\.[0-9]{3})[ -]?[A-HJ-NP-TV-Z]\b",
        lambda number: es_dni.is_valid(number.replace(".", "")),
        ("dni", "nif", "documento nacional"),
        weak=False,
        score=0.8,
    ),
    Scheme(
        "ES_NIE",
        r"\b[XYZ][ -]?[0-9]{7}[ -]?[A-HJ-NP-TV-Z]\b",
        es_nie.is_valid,
        ("nie", "extranjero"),
        weak=False,
        score=0.85,
    ),
    Scheme("ES_CIF", r"\b[A-HJ-NP-SUVW]-?[0-9]{7}-?[0-9A-J]\b", es_cif.is_valid, ("cif", "nif"), type="TAX_ID"),
    Scheme(
        "IT_CF",
        r"\b[A-Z]{3}[ ]?[A-Z]{3}[ ]?[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2}[ ]?[A-Z][0-9LMNP-V]{3}[ ]?[A-Z]\b",
        it_cf.is_valid,
        ("codice fiscale", "fiscal code", "c.f."),
        weak=False,
        score=0.95,
    ),
    Scheme(
        "NL_BSN",
        _NINE,
        nl_bsn.is_valid,
        ("bsn", "burgerservice", "sofi", "citizen service"),
    ),
    Scheme(
        "BE_NN",
        r"\b[0-9]{2}[ .]?[0-9]{2}[ .]?[0-9]{2}[ -]?[0-9]{3}[ .-]?[0-9]{2}\b",
        be_nn.is_valid,
        (
            "rijksregister",
            "registre national",
            "numero national",
            "nationaal nummer",
            "niss",
            "insz",
            "national number",
        ),
        weak=False,
    ),
    Scheme("PT_NIF", _NINE, pt_nif.is_valid, ("nif", "contribuinte", "fiscal")),
    Scheme(
        "PT_CC",
        r"\b[0-9]{8}[ ]?[0-9][ ]?[A-Z0-9]{2}[0-9]\b",
        pt_cc.is_valid,
        ("cartao de cidadao", "cartao cidadao", "citizen card"),
    ),
    Scheme("PL_PESEL", _ELEVEN, pl_pesel.is_valid, ("pesel",)),
    Scheme("PL_NIP", r"\b[0-9]{3}-?[0-9]{3}-?[0-9]{2}-?[0-9]{2}\b", pl_nip.is_valid, ("nip",), type="TAX_ID"),
    Scheme(
        "AT_VNR",
        r"\b[1-9][0-9]{3}[ ]?[0-9]{6}\b",
        at_vnr.is_valid,
        ("versicherungsnummer", "sozialversicherung", "svnr", "sv-nummer", "sv-nr", "svn"),
    ),
    Scheme(
        "AT_TIN",
        r"\b[0-9]{2}[ -]?[0-9]{3}[ /-]?[0-9]{4}\b",
        at_tin.is_valid,
        ("steuernummer", "abgabenkonto", "finanzamt"),
        type="TAX_ID",
    ),
    Scheme(
        "FI_HETU",
        r"\b[0-3][0-9][01][0-9]{3}[-+A-FU-Y][0-9]{3}[0-9A-Y]\b",
        fi_hetu.is_valid,
        ("hetu", "henkilotunnus"),
        weak=False,
        score=0.9,
    ),
    Scheme(
        "SE_PN",
        r"\b(?:19|20)?" + _DATE + r"[-+][0-9]{4}\b",
        se_pn.is_valid,
        ("personnummer", "personal number", "samordningsnummer"),
        weak=False,
        score=0.7,
    ),
    Scheme(
        "SE_PN_PLAIN",
        r"\b(?:19|20)?" + _DATE + r"[0-9]{4}\b",
        se_pn.is_valid,
        ("personnummer", "samordningsnummer", "swedish", "sweden"),
    ),
    Scheme(
        "DK_CPR",
        r"\b[0-3][0-9][01][0-9]{3}[- ]?[0-9]{4}\b",
        dk_cpr.is_valid,
        ("cpr", "personnummer", "danish", "denmark"),
    ),
    Scheme(
        "IE_PPS", r"\b[0-9]{7}[A-W][A-IWTX]?\b", ie_pps.is_valid, ("pps", "ppsn", "personal public service"), weak=False
    ),
    Scheme("GB_NHS", r"\b[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}\b", gb_nhs.is_valid, ("nhs", "health service")),
    Scheme(
        "GB_NINO",
        r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{2}[ -]?[A-D]\b",
        british_insurance_number,
        ("insurance", "nino", "ni number"),
        weak=False,
        score=0.8,
    ),
    Scheme("GB_UTR", _TEN, gb_utr.is_valid, ("utr", "taxpayer reference"), type="TAX_ID"),
    Scheme("GR_AMKA", _ELEVEN, gr_amka.is_valid, ("amka", "αμκα", "greek social")),
    Scheme("GR_AFM", _NINE, gr_vat.is_valid, ("afm", "αφμ", "greek tax"), type="TAX_ID"),
    Scheme(
        "CZ_RC",
        r"\b[0-9]{2}[0-35-8][0-9][0-3][0-9]/[0-9]{3,4}\b",
        cz_rc.is_valid,
        ("rodne cislo", "birth number"),
        weak=False,
        score=0.8,
    ),
    Scheme(
        "CZ_RC_PLAIN",
        r"\b[0-9]{2}[0-35-8][0-9][0-3][0-9]{4,5}\b",
        cz_rc.is_valid,
        ("rodne cislo", "birth number", "rc:", "r.c."),
    ),
    Scheme("RO_CNP", r"\b[1-9][0-9]{12}\b", ro_cnp.is_valid, ("cnp", "cod numeric"), weak=False, score=0.7),
    Scheme("BG_EGN", _TEN, bg_egn.is_valid, ("egn", "егн", "bulgarian")),
    Scheme("BG_LNC", _TEN, bg_pnf.is_valid, ("lnch", "лнч")),
    Scheme("HR_OIB", _ELEVEN, hr_oib.is_valid, ("oib", "osobni identifikacijski")),
    Scheme("LT_AK", _ELEVEN, lt_asmens.is_valid, ("asmens kodas", "lithuanian", "asmens")),
    Scheme("EE_IK", _ELEVEN, ee_ik.is_valid, ("isikukood", "estonian")),
    Scheme("LV_PK", r"\b[0-9]{6}-?[0-9]{5}\b", lv_pvn.is_valid, ("personas kods", "latvian")),
    Scheme("SI_EMSO", r"\b[0-3][0-9][01][0-9]{10}\b", si_emso.is_valid, ("emso", "slovenian"), weak=False, score=0.7),
    Scheme(
        "LU_MATRICULE",
        r"\b(?:18|19|20)[0-9]{2}(?:[ ]?[0-9]){9}\b",
        luxembourg_id,
        ("matricule", "luxembourg", "securite sociale"),
        weak=False,
        score=0.8,
    ),
    Scheme(
        "HU_ID",
        r"\b[1-8][ -]?" + _DATE + r"[ -]?[0-9]{4}\b",
        hungarian_id,
        ("szemelyi szam", "szemelyi azonosito", "hungarian"),
    ),
    Scheme("HU_TAJ", r"\b[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}\b", hungarian_health_id, ("taj",)),
    Scheme("HU_TAX", r"\b8(?:[ ]?[0-9]){9}\b", hungarian_tax_id, ("adoazonosito", "ado")),
    Scheme("MT_ID", r"\b[0-9]{3,7}[MGAPLHBZ]\b", _always, ("maltese", "malta", "karta tal-identita")),
    Scheme("CY_ID", r"\b[0-9]{6,10}\b", _always, ("cyprus id", "cypriot id", "δελτιο ταυτοτητας")),
    Scheme(
        "CH_AHV",
        r"\b756[. ]?[0-9]{4}[. ]?[0-9]{4}[. ]?[0-9]{2}\b",
        ch_ssn.is_valid,
        ("ahv", "avs", "oasi"),
        weak=False,
        score=0.9,
    ),
    Scheme(
        "NO_FNR", r"\b[0-9]{6}[ ]?[0-9]{5}\b", no_fnr.is_valid, ("fodselsnummer", "norwegian", "norway", "personnummer")
    ),
    Scheme(
        "US_SSN", r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", us_ssn.is_valid, ("ssn", "social security"), weak=False, score=0.75
    ),
)

GENERIC_LABELS = (
    "national id", "nat id", "id number", "identity number", "personal number", "personal id", "social security",
    "social insurance",
    "personenkennzahl", "personennummer", "numero d'identite", "numero de securite", "numero de identidad",
    "numero di identita",
    "tin", "tax id", "tax no", "tax number", "personal no", "national no",
    "identificatienummer", "identiteitsnummer", "persoonsnummer", "numero de identificacion", "numero identificativo",
)  # fmt: skip
