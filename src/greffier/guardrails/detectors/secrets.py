"""Secrets: provider formats first, then what prose and configuration announce as a password, token or key.

Formats follow the providers' documentation and the rules of gitleaks (MIT), rewritten with our own boundaries: a token
followed by ``.``, ``,`` or ``)`` in a sentence is found, which a suffix of quotes and spaces misses
(betterleaks/betterleaks#356).
"""

import math
from collections import Counter
from collections.abc import Iterator

from greffier.core.rulings import Finding
from greffier.guardrails.matching import Pattern, PatternSet, Text
from greffier.guardrails.ports import Passage
from greffier.guardrails.words import before, names

_B64 = r"[A-Za-z0-9+/]"
_URLSAFE = r"[A-Za-z0-9_-]"

FORMATS: tuple[Pattern, ...] = tuple(
    Pattern(name, expression, trigger=trigger)
    for name, expression, trigger in (
        ("aws-access-key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b", ""),
        ("github-token", r"\bgh[pousr]_[A-Za-z0-9]{36,255}", "gh[pousr]_"),
        ("github-fine-grained", r"\bgithub_pat_[A-Za-z0-9_]{50,255}", "github_pat_"),
        ("gitlab-token", r"\bgl(?:pat|ptt|dt|rt|cbt|ft|soat|oas|imt|agent|ffct)-[A-Za-z0-9_.-]{19,}[A-Za-z0-9_]", "gl(?:pat|ptt|dt|rt|cbt|ft|soat|oas|imt|agent|ffct)-"),
        ("slack-token", r"\bxox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,250}[A-Za-z0-9]", "xox[abeoprs]"),
        ("slack-app-token", r"\bxapp-[0-9]-[A-Za-z0-9-]{10,200}", "xapp-"),
        ("slack-webhook", r"https://hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{20,}", r"hooks\.slack"),
        ("discord-webhook", r"https://(?:ptb\.|canary\.)?discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,}", "api/webhooks/"),
        ("teams-webhook", r"https://[a-z0-9.-]+\.webhook\.office\.com/[A-Za-z0-9@/-]{40,}", r"webhook\.office"),
        ("stripe-key", r"\b(?:sk|rk|whsec|pk)_(?:live_|test_|prod_)?[A-Za-z0-9]{16,247}", "(?:sk|rk|whsec|pk)_"),
        ("openai-key", r"\bsk-(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9_-]{0,120}T3BlbkFJ[A-Za-z0-9_-]{10,120}", "T3BlbkFJ"),
        ("openai-like-key", r"\bsk-(?:proj-|svcacct-|admin-|or-v1-|lf-)?[A-Za-z0-9_-]{20,200}", "sk-"),
        ("anthropic-key", r"\bsk-ant-[a-z0-9]{3,12}-[A-Za-z0-9_-]{20,200}", "sk-ant-"),
        ("google-api-key", r"\bAIza[A-Za-z0-9_-]{35}", "AIza"),
        ("google-oauth", r"\bGOCSPX-[A-Za-z0-9_-]{20,40}|\bya29\.[A-Za-z0-9_-]{20,}", r"GOCSPX-|ya29\."),
        ("huggingface-token", r"\b(?:hf|api_org)_[A-Za-z0-9]{30,48}", "hf_|api_org_"),
        ("groq-key", r"\bgsk_[A-Za-z0-9]{40,64}", "gsk_"),
        ("replicate-token", r"\br8_[A-Za-z0-9]{30,45}", "r8_"),
        ("xai-key", r"\bxai-[A-Za-z0-9]{60,100}", "xai-"),
        ("perplexity-key", r"\bpplx-[A-Za-z0-9]{40,64}", "pplx-"),
        ("langsmith-key", r"\blsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}", "lsv2_"),
        ("nvidia-key", r"\bnvapi-[A-Za-z0-9_-]{50,80}", "nvapi-"),
        ("npm-token", r"\bnpm_[A-Za-z0-9]{36}", "npm_"),
        ("pypi-token", r"\bpypi-[A-Za-z0-9_-]{50,}", "pypi-"),
        ("rubygems-token", r"\brubygems_[a-f0-9]{48}", "rubygems_"),
        ("dockerhub-token", r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20,64}", "dckr_"),
        ("sendgrid-key", r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{30,64}", r"SG\."),
        ("mailgun-key", r"\bkey-[a-f0-9]{32}\b", "key-[a-f0-9]{8}"),
        ("mailchimp-key", r"\b[a-f0-9]{32}-us[0-9]{1,2}\b", "[a-f0-9]{8}-us[0-9]"),
        ("twilio-key", r"\b(?:SK|AC)[a-f0-9]{32}\b", "(?:SK|AC)[a-f0-9]{8}"),
        ("shopify-token", r"\bshp(?:at|ca|pa|ss|ka)_[a-fA-F0-9]{32}", "shp(?:at|ca|pa|ss|ka)_"),
        ("square-token", r"\b(?:EAAA|sq0[a-z]{3}-)[A-Za-z0-9_-]{22,60}", "EAAA|sq0[a-z]"),
        ("telegram-bot", r"\b[0-9]{8,10}:[A-Za-z0-9_-]{34,36}", "[0-9]{8}:A|[0-9]{8}:[A-Za-z0-9_-]{20}"),
        ("discord-bot", r"\b[MNO][A-Za-z0-9_-]{22,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}", r"[A-Za-z0-9_-]{8}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{8}"),
        ("atlassian-token", r"\bATATT3[A-Za-z0-9_=-]{60,250}|\bATCTT3[A-Za-z0-9_=-]{60,250}|\bATBB[A-Za-z0-9]{28,36}", "ATATT3|ATCTT3|ATBB"),
        ("databricks-token", r"\bdapi[a-f0-9]{32}(?:-[0-9])?", "dapi[a-f0-9]"),
        ("digitalocean-token", r"\bdo[opr]_v1_[a-f0-9]{64}", "do[opr]_v1_"),
        ("grafana-token", r"\bgl(?:sa|c)_[A-Za-z0-9+/=_]{30,400}", "gl(?:sa|c)_"),
        ("linear-key", r"\blin_(?:api|oauth)_[A-Za-z0-9]{32,64}", "lin_(?:api|oauth)_"),
        ("notion-token", r"\b(?:ntn_|secret_)[A-Za-z0-9]{40,60}", "ntn_|secret_[A-Za-z0-9]"),
        ("vault-token", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,300}", r"hv[sbr]\."),
        ("age-key", r"\bAGE-SECRET-KEY-1[A-Z0-9]{50,60}", "AGE-SECRET-KEY-"),
        ("sentry-token", r"\bsntry[su]_[A-Za-z0-9+/=_-]{40,300}", "sntry[su]_"),
        ("newrelic-key", r"\bNR(?:AK|JS|II|AA)-[A-Za-z0-9_-]{19,40}", "NR(?:AK|JS|II|AA)-"),
        ("postman-key", r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}", "PMAK-"),
        ("pulumi-token", r"\bpul-[a-f0-9]{40}", "pul-[a-f0-9]"),
        ("terraform-token", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,70}", r"atlasv1"),
        ("fly-token", r"\bfo1_[A-Za-z0-9_-]{40,}|\bFlyV1 fm[12][a-z]?_[A-Za-z0-9+/=,_-]{60,}", "fo1_|FlyV1 "),
        ("heroku-key", r"\bHRKU-[A-Za-z0-9_-]{36,64}", "HRKU-"),
        ("doppler-token", r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{40,60}", r"dp\.(?:pt|st|ct|sa|scim|audit)\."),
        ("planetscale", r"\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,64}", "pscale_"),
        ("supabase-key", r"\bsb(?:p|_secret|_publishable)_[A-Za-z0-9_]{20,64}", "sbp_|sb_secret_"),
        ("figma-token", r"\bfig[dour]_[A-Za-z0-9_-]{38,60}", "fig[dour]_"),
        ("dynatrace-token", r"\bdt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}", r"dt0[a-z][0-9]{2}\."),
        ("facebook-token", r"\bEAA[MC][A-Za-z0-9]{100,}", "EAA[MC]"),
        ("azure-client-secret", r"\b[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{30,35}|\b[A-Za-z0-9_-]{3,5}[0-9A-Za-z]~[A-Za-z0-9_~.-]{31,35}", r"[A-Za-z0-9]~[A-Za-z0-9_~.-]{20}"),
        ("azure-sas", r"[?&]sig=[A-Za-z0-9%+/]{40,80}(?:=|%3D)?", "sig="),
        ("greffier-key", r"\bgrf_[A-Za-z0-9_]{24,120}", "grf_"),
        ("private-key", r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-[^-])*(?:-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|-{0,4}$)", "PRIVATE KEY"),
        ("putty-key", r"PuTTY-User-Key-File-[23]:[\s\S]*?Private-MAC: [a-f0-9]{40,64}", "PuTTY-User-Key-File"),
        ("jwt", r"\bey[A-Za-z0-9_-]{12,}\.ey[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{16,}|\bey[A-Za-z0-9_-]{12,}\.ey[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*", r"\.ey[A-Za-z0-9_-]{8}"),
    )
)  # fmt: skip

_PASSWORD_WORDS = (
    r"pass ?wor[dt]e?s?|passwd|pass ?phrase|pass ?code|pwd|pw|kenn ?wort|zugangs(?:daten|code)|pin ?code|mot de passe|mdp|phrase secr[èe]te"
    r"|contraseñas?|contrasena|clave(?: secreta| de acceso)?|parola d'ordine|parola chiave|wachtwoord(?:en)?|toegangscode|wpa2?-?(?:psk|key)?|psk|wifi(?:[- ]?(?:key|pass))?|wlan-?(?:schlüssel|passwort)"
)
_KEY_WORDS = (
    r"(?:api|auth|access|secret|private|client|account|shared|storage|service|app|signing|encryption|master|session|refresh|bot|deploy|webhook|consumer|admin|root|db|database|user)"
    r"[ _.-]?(?:access|api|secret|auth)?[ _.-]?(?:key|token|secret|password|passwd|pwd|pass|id_token|credentials?)|token|secret|passwd|key|api-?schlüssel|zugangsschlüssel|geheimnis"
    r"|clé (?:d'|secrète|api|d’)?(?:api|accès)?|jeton|clave (?:de )?api|chiave (?:api|segreta)|api-?sleutel|geheime sleutel|sharedaccesskey|accountkey|credentials?"
)
_LINK = r"(?:['\"`\]]{0,2}[ \t]?(?::=|=>|==|[:=>])[ \t]{0,3}|['\"]?,\s?|[ ]+(?:is|was|ist|war|lautet|est|es|è|eh|luidt|:|are|sono|sera|sarà|wird|are now|is now|ist jetzt|est maintenant|ahora es|adesso è|is nu)[ :]+(?:now |jetzt |nun |désormais )?|[ ]+)"
_VALUE = r"[^\s'\"`<>]{6,200}"

CONTEXTS: tuple[Pattern, ...] = (
    Pattern("password", rf"(?:^|[^A-Za-z])(?:{_PASSWORD_WORDS}){_LINK}['\"`«„“(]{{0,2}}({_VALUE})", trigger=_PASSWORD_WORDS, group=1, ignore_case=True),
    Pattern("password-named", r"[A-Za-z0-9_]*(?:password|passwd|passwort|_pwd|_pass|_psk)[A-Za-z0-9_]*['\"]?\s{0,2}(?:=>|[:=])\s{0,2}['\"`]?(" + _VALUE + ")", trigger="password|passwd|passwort|_pwd|_pass|_psk", group=1, ignore_case=True),
    Pattern("key", rf"(?:^|[^A-Za-z])(?:[A-Za-z0-9]{{1,20}}[_-]){{0,3}}(?:{_KEY_WORDS})(?:[_-][A-Za-z0-9]{{1,20}}){{0,2}}{_LINK}['\"`«„“(]{{0,2}}([A-Za-z0-9+/=_.~!@#$%^&*:-]{{12,400}})", trigger=_KEY_WORDS, group=1, ignore_case=True),
    Pattern("authorization", r"\b(?:proxy-)?authorization['\"]?\s?[:=]\s?['\"]?(?:bearer|basic|token|apikey|digest|negotiate)?\s?([A-Za-z0-9+/=_.~:-]{8,1000})", trigger="authorization", group=1, ignore_case=True),
    Pattern("bearer", r"\bbearer[ :]{1,2}['\"]?([A-Za-z0-9+/=_.~-]{16,1000})", trigger="bearer", group=1, ignore_case=True),
    Pattern("basic", r"\bbasic[ ]([A-Za-z0-9+/]{12,500}={0,2})", trigger="basic", group=1, ignore_case=True),
    Pattern("header", r"\bx-(?:api|auth|access|amz|vault|goog|rapidapi|csrf|session)[a-z-]{0,20}(?:key|token|secret|auth|id)['\"]?\s?[:=,]\s?['\"]?([A-Za-z0-9+/=_.~-]{12,400})", trigger="x-(?:api|auth|access|amz|vault|goog|rapidapi|csrf|session)", group=1, ignore_case=True),
    Pattern("cookie", r"\b(?:set-)?cookie['\"]?\s?[:=]\s?['\"]?(?:[A-Za-z0-9_.-]{1,40}=[^;\s]{0,15};\s?){0,5}[A-Za-z0-9_.-]{0,40}=([A-Za-z0-9%+/=_.~-]{16,600})", trigger="cookie", group=1, ignore_case=True),
    Pattern("session-id", r"\b(?:session(?:_?id|_token)?|sessid|sid|phpsessid|jsessionid|csrf_?token|connect\.sid)=([A-Za-z0-9%+/=_.~-]{16,600})", trigger="sess|sid=|csrf", group=1, ignore_case=True),
    Pattern("url-credentials", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'\"<>]{0,80}:([^\s/'\"<>]{3,200}?)@[A-Za-z0-9\[.-]", trigger="://[^ \n/@]{0,80}:[^ \n]{3}", group=1, ignore_case=True),
    Pattern("connection-string", r"\b(?:accountkey|sharedaccesskey|sharedsecret|sharedaccesssignature|password|pwd)=([^;\s'\"]{6,300})", trigger="accountkey=|sharedaccess|sharedsecret=|password=|pwd=", group=1, ignore_case=True),
    Pattern("login-pair", r"\b(?:log ?in|user(?:name)?|benutzer(?:name)?|utilisateur|usuario|utente|gebruiker)[ :=]{1,3}\S{2,60}[ ,/;]{1,3}(?:pass(?:word|wort)?|pw|kennwort|mdp|contraseña|wachtwoord)[ :=]{1,3}(\S{4,100})", trigger="log ?in|user|benutzer|utilisateur|usuario|utente|gebruiker", group=1, ignore_case=True),
    Pattern("flag", r"\s(?:-p|--password|--pass|--token|--secret|--api-key|-u \S{1,40}:)[ =]?['\"]?([^\s'\"-][^\s'\"]{5,200})", trigger="--password|--pass|--token|--secret|--api-key| -p|-u ", group=1),
    Pattern("entropy", r"(?:^|[^A-Za-z0-9+/=_-])([A-Za-z0-9+/]{86}==|[A-Za-z0-9+/]{43}=)(?:[^A-Za-z0-9+/=]|$)", trigger=r"[A-Za-z0-9+/]{43}=", group=1),
)  # fmt: skip

_DECOY_PARTS = (
    "xxxx", "****", "....", "example", "beispiel", "ejemplo", "esempio", "exemple", "voorbeeld", "placeholder", "changeme", "change_me", "change-me",
    "your-", "your_", "yourt", "yourp", "yourk", "dummy", "redacted", "<", "${", "{{", "%(", "os.environ", "getenv", "process.env", "secrets.", "vault.", "env.", "config.",
    "settings.", "0000000", "1234567890", "abcdef", "insert", "todo", "todo:", "null", "undefined", "none", "password", "passwort", "secret_key_here", "_here", "token_here", "sample", "aaaaaa", "______", "------",
)  # fmt: skip
_WEAK_VALUES = 3.0
_PASSPHRASE_WORDS = 4  # "lamp-cloud-stone-tiger"
_CODE_MARKS = ("(", ")", "[", "]", "{", "}", "->", "::", "$")
_DIGEST_BEFORE = ("sha256", "sha512", "sha384", "sha1", "md5", "integrity", "commit", "etag", "checksum", "digest", "request-id", "trace", "uuid", "revision", "tx ", "hash", "fingerprint", "base64,", "ssh-rsa", "ssh-ed25519", "public key", "nonce-", "build")  # fmt: skip


class Secrets:
    """Keys, tokens, passwords, private keys, connection strings and session cookies."""

    name = "secrets"
    version = "1"

    def __init__(self) -> None:
        self._patterns = PatternSet(FORMATS + CONTEXTS)

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return every secret; a value that is plainly a placeholder, digest or code is left out."""
        text = Text(passage.text)
        candidates = self._patterns.candidates(text)
        if not candidates:
            return ()
        return tuple(self._confirmed(text, candidates))

    def _confirmed(self, text: Text, candidates: list[int]) -> Iterator[Finding]:
        for index in candidates:
            pattern = self._patterns.patterns[index]
            known_format = index < len(FORMATS)
            for match in self._patterns.matches(index, text):
                first, last = match.span(pattern.group)
                if first < 0:
                    continue
                start, end = text.point(first), text.point(last)
                end = _trimmed(text.text, start, end, pattern.id)
                value = text.text[start:end]
                score = _format_score(pattern.id, value) if known_format else _context_score(pattern.id, value, text.text, start)
                if score > 0:
                    yield Finding(self.name, "SECRET", start, end, score, rule=pattern.id, data_class="secret")


def _trimmed(text: str, start: int, end: int, rule: str) -> int:
    """Leave sentence punctuation and closing quotes outside the span."""
    if rule in {"private-key", "putty-key"}:
        return end
    while end > start + 1 and text[end - 1] in ".,;:)]}'\"`»”“…":
        end -= 1
    return end


def _format_score(rule: str, value: str) -> float:
    folded = value.lower()
    if rule not in {"private-key", "putty-key", "slack-webhook"} and any(part in folded for part in _FORMAT_DECOYS):
        return 0.0
    if rule in {"openai-like-key", "stripe-key", "azure-client-secret", "square-token", "telegram-bot", "discord-bot"}:
        return 0.9 if entropy(value) > 3.2 and any(char.isdigit() for char in value) else 0.0  # noqa: PLR2004
    return 0.98


_FORMAT_DECOYS = ("xxxx", "example", "placeholder", "your_", "your-", "0000000000", "1234567890", "****", "....", "redacted")


def _context_score(rule: str, value: str, text: str, start: int) -> float:
    folded = value.lower()
    if any(part in folded for part in _DECOY_PARTS) or len(set(value)) < 4:  # noqa: PLR2004 - "******"
        return 0.0
    if rule == "url-credentials":
        return 0.9
    window = before(text, start, 40)
    if rule == "entropy":
        return 0.0 if names(window, _DIGEST_BEFORE) else 0.6
    classes = _classes(value)
    bits = entropy(value)
    if rule in {"password", "password-named", "login-pair", "connection-string", "flag"}:
        if any(mark in value for mark in ("(", "[", "{")) and value[:1].isalpha() and "." in value:
            return 0.0  # a call or a subscript: code reads a password, it does not hold one
        if _plain_word(value):
            return 0.0
        return 0.85 if classes >= 2 and bits > _WEAK_VALUES * 0.75 else 0.0  # noqa: PLR2004
    if any(mark in value for mark in _CODE_MARKS) and rule == "key":
        return 0.0
    if classes < 2 or bits < _WEAK_VALUES or _plain_word(value):  # noqa: PLR2004 - letters only is a word
        return 0.0
    return 0.85


def _plain_word(value: str) -> bool:
    """Whether the value reads as a word, a path, a date or an identifier of code rather than a secret."""
    stripped = value.strip("!?.,;:-_")
    if stripped.isalpha():
        return stripped.islower() or stripped.istitle() or stripped.isupper()
    if not any(char.isdigit() for char in stripped):
        parts = stripped.replace("-", " ").replace("_", " ").replace(".", " ").replace("/", " ").replace("'", " ").split()
        words = all(part.isalpha() and (part.islower() or part.istitle() or part.isupper()) for part in parts)
        return words and len(parts) < _PASSPHRASE_WORDS
    return stripped.isdigit() and len(stripped) < 6  # noqa: PLR2004 - a length or a year


def _classes(value: str) -> int:
    return (
        any(char.islower() for char in value)
        + any(char.isupper() for char in value)
        + any(char.isdigit() for char in value)
        + any(not char.isalnum() for char in value)
    )


def entropy(value: str) -> float:
    """Shannon entropy in bits per character."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())
