"""Instructions that try to take over: certain signatures and an override grammar in six languages.

What a rule cannot know, the learned models judge. Here a verb of overriding must meet a noun of instruction within one
clause; a question about the phrase, a quotation or a negation is a mention, not a use, and scores low. The same words
weigh more in a document or a tool result, which has no business addressing an assistant.
"""

from collections.abc import Iterator

from greffier.core.rulings import Finding
from greffier.guardrails.matching import Pattern, PatternSet, Text
from greffier.guardrails.ports import Passage
from greffier.guardrails.words import after, before, names

_GAP = r"[^.!?\n]{0,40}?"
_OVERRIDE = {
    "en": (r"ignor(?:e|ing)|disregard(?:ing)?|forget|overrid(?:e|ing)|bypass(?:ing)?|discard|neglect|drop|set aside|do(?:n't| not) (?:follow|obey|adhere to|comply with)|stop following|no longer (?:follow|obey|bound by)|pay no attention to|erase|wipe|unlearn|abandon",
           r"instructions?|prompts?|rules?|guidelines?|directives?|directions|commands?|orders|programming|restrictions?|constraints?|safeguards?|guardrails?|polic(?:y|ies)|filters?|everything (?:above|before|prior|you (?:were|have been) told)|(?:all|anything) (?:of )?(?:the )?(?:above|before|prior)|training|system message|context above"),
    "de": (r"ignorier(?:e|en|t|st)?|missacht(?:e|en|et)|vergiss|vergesst|vergessen sie|übergeh(?:e|en|t)|umgeh(?:e|en|t)|verwirf|verwerfen|überschreib(?:e|en)|lass(?:e)? .{0,30}außer acht|beachte .{0,30}nicht|setz(?:e)? dich .{0,20}hinweg|halte dich nicht",
           r"anweisung(?:en)?|instruktion(?:en)?|vorgabe(?:n)?|regel(?:n)?|richtlinie(?:n)?|befehl(?:e|en)?|prompt(?:s)?|beschränkung(?:en)?|einschränkung(?:en)?|vorschrift(?:en)?|alles (?:bisherige|vorherige|davor|oben)|programmierung|systemnachricht|filter"),
    "fr": (r"ignor(?:e|ez|er|ons)|oubli(?:e|ez|er)|néglige[zr]?|contourne[zr]?|outrepasse[zr]?|passe[zr]? outre|ne (?:tiens|tenez|tenir) (?:pas|plus|aucun) compte|fais abstraction|faites abstraction|désobéi[st]?|abandonne[zr]?|ne suis (?:pas|plus)|ne respecte[zr]? (?:pas|plus)",
           r"instructions?|consignes?|directives?|règles?|ordres?|prompts?|restrictions?|contraintes?|commandes?|filtres?|tout ce qui précède|programmation|message système|limites"),
    "es": (r"ignor(?:a|e|ar|en|es)|olvid(?:a|e|ar|en|es)|descart(?:a|e|ar)|omit(?:e|a|ir)|salt(?:a|e|ar)te|pas(?:a|e) por alto|haz caso omiso|haga caso omiso|no (?:sigas|siga|obedezcas|hagas caso|tengas en cuenta)|desobedece|anul(?:a|e|ar)|elud(?:e|a|ir)",
           r"instrucci(?:ón|ones)|reglas?|directrices|directivas?|órdenes|orden|indicaci(?:ón|ones)|prompts?|restricci(?:ón|ones)|normas?|limitaciones|filtros?|todo lo anterior|programación|mensaje de(?:l)? sistema|pautas"),
    "it": (r"ignor(?:a|ate|are|i)|dimentic(?:a|ate|are|hi)|trascur(?:a|ate|are)|scart(?:a|ate|are)|aggir(?:a|ate|are)|bypass(?:a|are)|non (?:seguire|seguite|rispettare|considerare|tenere conto)|tralascia(?:re)?|disobbedisci|sovrascriv[ei](?:re)?|annull(?:a|are)",
           r"istruzion[ei]|regol[ea]|direttiv[ea]|ordin[ei]|indicazion[ei]|prompt|restrizion[ei]|vincol[oi]|linee guida|tutto (?:ciò che|quello che) precede|comand[oi]|programmazione|messaggio di sistema|filtr[oi]|limitazioni"),
    "nl": (r"negeer|negeren|vergeet|vergeten|sla .{0,30}over|omzeil(?:en)?|schend|trek je niets aan van|volg .{0,30}niet|houd je niet|laat .{0,30}buiten beschouwing|overschrijf|verwerp|wis",
           r"instructies?|aanwijzingen|aanwijzing|regels?|richtlijnen|richtlijn|opdrachten|opdracht|prompts?|beperkingen|voorschriften|bevelen|commando's|alles hierboven|programmering|systeembericht|filters?"),
}  # fmt: skip
_NEAR = {
    "en": r"previous|prior|above|earlier|preceding|former|initial|original|existing|current|old|system|your|all|any|every|these|those|safety|hidden|developer|openai|content|ethical|past|foregoing|so far|until now|were given|been given|you (?:were|have)|before this|up to",
    "de": r"bisherig\w*|vorherig\w*|vorig\w*|obig\w*|früher\w*|vorangegangen\w*|vorausgehend\w*|ursprünglich\w*|anfänglich\w*|alle|allen|aller|sämtliche\w*|dein\w*|deine|ihre|ihren|system\w*|bestehend\w*|aktuell\w*|alt\w*|davor|zuvor|gegeben\w*|interne\w*",
    "fr": r"précédent\w*|antérieur\w*|ci-dessus|initial\w*|originale?s?|toutes?|tous|tes|vos|ton|votre|système|reçue?s|données|existant\w*|actuel\w*|avant|de sécurité|ces|internes?",
    "es": r"anterior\w*|previ[oa]s?|inicial\w*|original\w*|tod[oa]s?|tus?|sus|su|del? sistema|existente\w*|actual\w*|recibid\w*|dad[oa]s|de seguridad|estas?|esas?|intern[oa]s?",
    "it": r"precedent\w*|anterior\w*|inizial\w*|original\w*|tutt[eoi]|tue|tuoi|vostr\w*|sistema|esistent\w*|attual\w*|ricevut\w*|dat[eo]|sicurezza|queste?|quest[oi]|sopra|intern[ei]|prima",
    "nl": r"vorige|voorgaande|eerdere|bovenstaande|oorspronkelijke|alle|al|je|jouw|uw|systeem\w*|bestaande|huidige|gegeven|initiële|hierboven|deze|interne|veiligheids\w*",
}
_REVEAL = {
    "en": (r"reveal|show|print|output|repeat|display|disclose|tell me|give me|leak|expose|dump|recite|share|write (?:out|down)|copy|paste|echo|return|summari[sz]e|translate|what (?:is|are|were)|list|spell out|encode",
           r"(?:system|initial|original|hidden|secret|internal|developer|full|exact|base|pre-?)[ -]?(?:prompt|instructions?|messages?|rules|directives?|guidelines|configuration|setup|preamble)|your (?:\w+ ){0,2}(?:prompt|instructions|guidelines|rules|directives|preamble)|(?:text|words|everything|all|content|lines?) (?:above|before)|instructions (?:you (?:were|have been) given|above)"),
    "de": (r"zeig(?:e|en)?|gib|geben sie|nenn(?:e|en)?|wiederhol(?:e|en)?|verrat(?:e|en)?|offenbar(?:e|en)?|druck(?:e|en)?|schreib(?:e|en)?|kopier(?:e|en)?|wie (?:lautet|lauten)|was (?:ist|sind|steht)|liste|übersetz(?:e|en)?|fasse|lies",
           r"system-?(?:prompt|anweisung(?:en)?|nachricht|vorgaben)|(?:ursprünglich|intern|geheim|versteckt|anfänglich|initial|deine|ihre|vollständig)\w* (?:\w+ )?(?:anweisung(?:en)?|instruktionen|vorgaben|prompts?|regeln|richtlinien)|(?:alles|text|wörter) (?:oberhalb|über dieser|davor|darüber)|startanweisung\w*|initialprompt"),
    "fr": (r"montre[zr]?|affiche[zr]?|révèle[zr]?|révéler|répète[zr]?|répéter|donne[zr]?|dis-moi|imprime[zr]?|écri[st]|écrivez|recopie[zr]?|copie[zr]?|quel(?:le)?s? (?:est|sont|étaient)|divulgue[zr]?|traduis|résume[zr]?|cite[zr]?|liste[zr]?",
           r"(?:prompt|invite|message|instructions?|consignes?) (?:du |de |d')?(?:système|départ|initiale?s?|origine|internes?|cachée?s?|secrètes?|complète?s?)|(?:tes|vos|ton|votre) (?:\w+ )?(?:instructions|consignes|directives|prompt|règles)|(?:texte|tout ce qui est) (?:ci-dessus|au-dessus|précède)|system prompt|prompt système"),
    "es": (r"muestra|muéstrame|muestre|revela|revele|repite|repita|imprime|escribe|dime|dame|copia|cuál(?:es)? (?:es|son|eran|fueron)|enséñame|divulga|traduce|resume|lista|enumera|cita",
           r"(?:prompt|mensaje|instrucciones|indicaciones|reglas) (?:del? )?(?:sistema|inicial(?:es)?|original(?:es)?|intern[oa]s?|ocult[oa]s?|secret[oa]s?|complet[oa]s?)|(?:tus|sus|tu|su) (?:\w+ )?(?:instrucciones|directrices|prompt|reglas|indicaciones)|(?:texto|todo lo) (?:anterior|de arriba)|system prompt"),
    "it": (r"mostra(?:mi)?|mostri|rivela(?:mi)?|ripeti|stampa|scrivi|dimmi|dammi|copia|qual(?:e|i) (?:è|sono|erano|era)|divulga|traduci|riassumi|elenca|cita|riporta",
           r"(?:prompt|messaggio|istruzioni|regole) (?:di |del )?(?:sistema|iniziali?|originali?|intern[ei]|nascost[ei]|segret[ei]|complet[ei])|(?:tue|tuo|vostre) (?:\w+ )?(?:istruzioni|prompt|regole|direttive|linee guida)|(?:testo|tutto ciò che è) (?:sopra|precedente)|system prompt"),
    "nl": (r"toon|laat .{0,20}zien|geef|herhaal|onthul|print|druk|schrijf|kopieer|wat (?:is|zijn|waren)|vertel|deel|vertaal|vat|citeer|noem",
           r"(?:systeem|system)[ -]?(?:prompt|instructies?|bericht)|(?:oorspronkelijke|interne|geheime|verborgen|initiële|je|jouw|uw|volledige) (?:\w+ )?(?:instructies|prompt|richtlijnen|regels|opdracht)|(?:tekst|alles) (?:hierboven|boven)|startinstructies"),
}  # fmt: skip


def _overrides() -> Iterator[Pattern]:
    for lang, (verbs, nouns) in _OVERRIDE.items():
        near = _NEAR[lang]
        yield Pattern(
            f"override-{lang}",
            rf"(?:^|[^\p{{L}}])(?:{verbs})\b{_GAP}(?:^|[^\p{{L}}])(?:{near})\b{_GAP}(?:^|[^\p{{L}}]|system)(?:{nouns})(?:[^\p{{L}}]|$)"
            rf"|(?:^|[^\p{{L}}])(?:{verbs})\b[^.!?\n]{{0,25}}?[^\p{{L}}](?:{nouns})[^\p{{L}}][^.!?\n]{{0,15}}?(?:{near})(?:[^\p{{L}}]|$)",
            trigger=verbs.replace(".{0,30}", "").replace(".{0,20}", "") if lang not in {"de", "nl"} else _loose(verbs),
            ignore_case=True,
            score=0.85,
            type="prompt_injection",
        )
    for lang, (verbs, nouns) in _REVEAL.items():
        yield Pattern(
            f"reveal-{lang}",
            rf"(?:^|[^\p{{L}}])(?:{verbs})[^\p{{L}}][^.!?\n]{{0,60}}?(?:{nouns})(?:[^\p{{L}}]|$)",
            trigger=nouns.replace(r"(?:\w+ ){0,2}", "").replace(r"(?:\w+ )?", "").replace(r"\w*", "") if lang not in _WORDY else _prompt_words(),
            ignore_case=True,
            score=0.75,
            type="prompt_injection",
        )


_WORDY = frozenset(_REVEAL)


def _prompt_words() -> str:
    """Every reveal rule needs one of these words, so they make a trigger that rarely fires."""
    return (
        "prompt|instruction|instrukt|instrucci|istruzion|instructie|anweisung|vorgabe|consigne|directive|direttiv|directric|directiv|guideline|richtlin|richtlijn"
        "|rules|regel|règle|regla|regole|system|systèm|sistema|systeem|preamble|indicacion|opdracht|above|before|über|davor|dessus|précède|arriba|anterior|sopra|precedente"
        "|hierboven|boven|linee guida"
    )


def _loose(verbs: str) -> str:
    """Split verbs whose object stands inside them ("lass ... außer acht") down to their first word."""
    return "|".join(verb.split(" .{0,", 1)[0] for verb in verbs.split("|"))


_SIGNATURES: tuple[Pattern, ...] = (
    Pattern("chatml", r"<\|?(?:im_start|im_end|im_sep|system|user|assistant|endoftext|end_of_turn|start_header_id|eot_id|begin_of_text|end_header_id)\|>", trigger=r"<\|?(?:im_|system|user|assistant|end|start_|eot|begin_)", ignore_case=True, score=0.85, type="prompt_injection"),
    Pattern("inst-marker", r"\[/?INST\]|<</?SYS>>|\[/?SYSTEM(?:_PROMPT| PROMPT| MESSAGE)?\]|<start_of_turn>|<end_of_turn>", trigger=r"INST\]|SYS>>|\[/?SYSTEM|_of_turn>", score=0.85, type="prompt_injection"),
    Pattern("role-line", r"(?:^|\n)[ \t>#*-]{0,6}(?:\[|\(|<|#{1,3} ?|\*{1,2})?(?:system|developer|admin(?:istrator)?|root|new instructions?|system (?:message|prompt|override|update|note|notice|instruction)s?)(?:\]|\)|>|\*{1,2})?[ ]?:[ ]", trigger=r"system|developer|admin|root|instruction", ignore_case=True, score=0.55, type="prompt_injection"),
    Pattern("fake-boundary", r"(?:-{3,}|={3,}|#{3,}|\*{3,}|<{3,}|/{3,})[ ]?(?:end|begin|start|new|stop|ende|beginn|fin|début|fine|inizio|einde|inicio)\b[^\n]{0,40}?(?:prompt|instruction|system|context|document|user|input|data|anweisung|consigne|instrucci|istruzion|instructie)", trigger=r"(?:---|===|###|\*\*\*|<<<|///)", ignore_case=True, score=0.75, type="prompt_injection"),
    Pattern("addresses-assistant", r"(?:attention|note|message|instructions?|important|reminder|notice|command)[^\n.]{0,15}?\b(?:to|for)[ ](?:the |any |all )?(?:ai|a\.i\.|llm|language model|assistant|chatbot|gpt|agent|model|copilot|bot|ai systems?|automated system)s?\b|(?:hinweis|anweisung|nachricht|wichtig)[^\n.]{0,20}?an (?:die|den|das|alle)?[ ]?(?:ki|assistent|sprachmodell|chatbot|agent)\w*|(?:note|message|instruction|attention)[^\n.]{0,15}?(?:à l'|pour l'|aux? )(?:ia|assistant|modèle|agent)s?|(?:nota|mensaje|instrucci[oó]n(?:es)?|aviso|atención)[^\n.]{0,15}?(?:para (?:el|la|los)|al?) (?:ia|asistente|modelo|agente)s?|(?:nota|messaggio|istruzion[ei]|avviso|attenzione)[^\n.]{0,15}?(?:per (?:l'|il|gli)|all')[ ]?(?:ia|assistente|modello|agente)|(?:opmerking|bericht|instructies?|let op)[^\n.]{0,15}?(?:voor|aan) (?:de |het )?(?:ai|assistent|model|agent)\b", trigger=r"(?:ai|a\.i\.|llm|language model|assistant|chatbot|gpt|agent|model|copilot|bot|automated system|ki|assistent|sprachmodell|ia|modèle|asistente|modelo|agente|assistente|modello)", ignore_case=True, score=0.55, type="indirect_injection"),
    Pattern("if-you-are-ai", r"(?:if you(?:'re| are) (?:an? )?(?:ai|llm|language model|assistant|chatbot|gpt|agent|bot)|(?:wenn|falls) du (?:eine? )?(?:ki|sprachmodell|assistent)|si (?:tu es|vous êtes) une? (?:ia|assistant|modèle)|si eres (?:una? )?(?:ia|asistente|modelo)|se sei un(?:'|a )?(?:ia|assistente|modello)|als je een (?:ai|assistent|taalmodel) bent)", trigger=r"if you|wenn du|falls du|si tu|si vous|si eres|se sei|als je", ignore_case=True, score=0.7, type="indirect_injection"),
    Pattern("exfiltrate", r"(?:send|forward|e-?mail|post|upload|transmit|exfiltrate|leak|copy|append|attach|deliver|share|report)\b[^.!?\n]{0,80}?(?:conversation|chat|history|context|credentials?|passwords?|api[ _-]?keys?|tokens?|secrets?|user'?s? (?:data|details|information|emails?)|personal (?:data|information)|contacts|inbox|messages|files?|database|system prompt)[^.!?\n]{0,60}?\b(?:to|at|via|into)[ ][^\n]{0,40}?(?:https?://|[A-Za-z0-9._-]+@[A-Za-z0-9-]+\.|\b[0-9]{1,3}\.[0-9]{1,3}\.[0-9])", trigger=r"(?:https?://|@|[0-9]\.[0-9]{1,3}\.[0-9])", ignore_case=True, score=0.6, type="indirect_injection"),
    Pattern("secrecy", r"(?:do(?:n't| not)|never|without)[ ](?:ever )?(?:mention|tell(?:ing)?|inform(?:ing)?|reveal(?:ing)?|notify(?:ing)?|alert(?:ing)?|disclos(?:e|ing)|ask(?:ing)?|show(?:ing)?)[^.!?\n]{0,30}?(?:the )?(?:user|human|operator|owner|customer|this (?:instruction|message|note|step))", trigger=r"(?:do ?n.?t|not|never|without) (?:ever )?(?:mention|tell|inform|reveal|notif|alert|disclos|ask|show)", ignore_case=True, score=0.5, type="indirect_injection"),
    Pattern("new-role", r"(?:you (?:are|will) (?:now|henceforth|from now on)|from now on,? you(?:'ll| will| are|'re)?|starting now,? you|pretend (?:to be|you are|that you)|act as (?:if you (?:were|are|have)|an? (?:unrestricted|uncensored|unfiltered|evil|amoral|jailbroken))|you have been (?:freed|liberated|jailbroken|unlocked)|(?:ab (?:jetzt|sofort)|von nun an) bist du|du bist (?:ab (?:jetzt|sofort)|nun|jetzt)|à partir de maintenant,? tu|désormais,? tu|tu es (?:maintenant|désormais)|a partir de ahora,? (?:eres|serás|actúa)|ahora eres|d'ora in (?:poi|avanti),? (?:sei|sarai)|ora sei|vanaf nu ben je|je bent (?:nu|vanaf nu))[^.!?\n]{0,120}?(?:unrestricted|uncensored|unfiltered|no (?:rules|restrictions|limits|filters?|ethic\w*|moral\w*|guidelines)|without (?:any )?(?:rules|restrictions|limits|filters?|limitations|ethic\w*|moral\w*|censor\w*)|free (?:of|from)|anything now|not bound|jailbr\w*|\bDAN\b|evil|developer mode|god mode|ohne (?:regeln|einschränkungen|grenzen|filter|beschränkungen)|unzensiert|uneingeschränkt|sans (?:aucune? )?(?:règles?|restrictions?|limites?|filtres?|censure)|sin (?:ningun[ao]? )?(?:reglas|restricciones|límites|filtros|censura)|senza (?:alcuna? )?(?:regole|restrizioni|limiti|filtri|censura)|zonder (?:regels|beperkingen|grenzen|filters?|censuur)|onbeperkt|ongecensureerd)", trigger=r"unrestricted|uncensored|unfiltered|no rules|no restrictions|no limits|no filter|no ethic|no moral|no guidelines|without|free of|free from|anything now|not bound|jailbr|DAN|evil|developer mode|god mode|ohne|unzensiert|uneingeschränkt|sans|sin|senza|zonder|onbeperkt|ongecensureerd", ignore_case=True, score=0.8, type="jailbreak"),
    Pattern("jailbreak-name", r"do anything now|\bDAN (?:mode|\d|prompt|jailbreak)|(?:developer|debug|god|jailbreak|unrestricted|sudo|opposite|chaos|evil|admin|maintenance) mode (?:enabled|activated|on\b|output|unlocked|aktiviert|activé|activado|attivat[ao]|geactiveerd)|(?:enable|activate|enter|switch to|unlock) (?:developer|debug|god|jailbreak|unrestricted|sudo|dan|admin) mode|\bAIM\b[^.\n]{0,40}always intelligent|machiavellian|stay in (?:character|dan)|jailbroken (?:response|ai|answer|gpt)|\[🔓|🔓 ?jailbreak|evil[- ]?(?:bot|confidant|gpt)|stan\b[^.\n]{0,20}strive to avoid norms|token (?:system|budget)[^.\n]{0,80}(?:lose|deduct|die)|dude prompt|mongo ?tom", trigger=r"do anything now|dan |mode|always intelligent|machiavellian|stay in|jailbr|evil|strive to avoid norms|token|dude prompt|mongo", ignore_case=True, score=0.8, type="jailbreak"),
    Pattern("no-refusal", r"(?:never|do(?:n't| not)|must not|cannot|can't|without) (?:ever )?(?:refus(?:e|ing)|declin(?:e|ing)|reject(?:ing)?|say(?:ing)? (?:\"|'|you can'?t|no\b|that you)|apologi[sz](?:e|ing)|warn(?:ing)?|moraliz(?:e|ing)|lectur(?:e|ing)|includ(?:e|ing) (?:any )?(?:disclaimers?|warnings?))[^.!?\n]{0,60}?|(?:no|without) (?:disclaimers?|warnings?|moral lectures?|ethical concerns?|censorship)\b|start (?:your (?:answer|response|reply) )?with ['\"](?:sure|absolutely|of course|yes)", trigger=r"refus|declin|reject|saying|say |apologi|warn|moraliz|lectur|disclaimer|ethical concern|censorship|start", ignore_case=True, score=0.45, type="jailbreak"),
)  # fmt: skip

_MENTIONS = (
    "what does", "what is a", "what are", "explain", "meaning of", "mean", "phrase", "sentence", "example", "such as", "detect", "prevent", "protect", "defend",
    "like \"", "like '", "called", "was bedeutet", "bedeutet", "erklar", "beispiel", "satz", "schutz", "erkenn", "que signifie", "signifie", "explique", "exemple", "phrase",
    "detecter", "que significa", "significa", "explica", "ejemplo", "frase", "cosa significa", "spiega", "esempio", "wat betekent", "betekent", "leg uit", "voorbeeld", "zin", "herken",
    "article", "paper", "blog", "attack", "angriff", "attaque", "ataque", "attacco", "aanval", "research", "translate", "ubersetz", "tradui", "traduc", "vertaal", "how do i", "how can i", "why do", "why does",
)  # fmt: skip
_NEGATIONS = ("don't", "do not", "never", "not to", "nicht", "niemals", "ne pas", "n'", "jamais", "nunca", "no ", "non ", "mai ", "niet", "nooit", "without", "ohne", "shouldn't", "should not", "must not", "cannot")  # fmt: skip
_QUOTES = "\"'“”„«»‘’`"
_UNTRUSTED = frozenset({"document", "tool_output"})
_MENTION_FACTOR = 0.4
_UNTRUSTED_BONUS = 0.15


class InjectionRules:
    """Signatures and override grammar against direct and indirect prompt injection."""

    name = "injection"
    version = "1"

    def __init__(self) -> None:
        self._patterns = PatternSet((*_overrides(), *_SIGNATURES))

    def examine(self, passage: Passage) -> tuple[Finding, ...]:
        """Return findings whose score already weighs provenance, quotation, question and negation."""
        text = Text(passage.text)
        candidates = self._patterns.candidates(text)
        if not candidates:
            return ()
        return tuple(self._weighed(passage, text, candidates))

    def _weighed(self, passage: Passage, text: Text, candidates: list[int]) -> Iterator[Finding]:
        untrusted = passage.provenance in _UNTRUSTED
        for index in candidates:
            pattern = self._patterns.patterns[index]
            for match in self._patterns.matches(index, text):
                start, end = text.point(match.start()), text.point(match.end())
                start, end = _tightened(passage.text, start, end)
                score = pattern.score
                kind = pattern.type
                if untrusted:
                    score = min(1.0, score + _UNTRUSTED_BONUS)
                    kind = "indirect_injection" if kind == "prompt_injection" else kind
                elif kind == "indirect_injection":
                    score *= 0.6  # a user may well talk about messages to assistants
                if _mentioned(passage.text, start, end):
                    score *= _MENTION_FACTOR if not untrusted else 0.7
                yield Finding(self.name, kind, start, end, round(score, 3), rule=pattern.id)


def _tightened(text: str, start: int, end: int) -> tuple[int, int]:
    """Drop the boundary characters that the grammar had to consume."""
    while start < end and not (text[start].isalnum() or text[start] in "<[#=-*/"):
        start += 1
    while end > start and not (text[end - 1].isalnum() or text[end - 1] in ">]:"):
        end -= 1
    return start, end


def _mentioned(text: str, start: int, end: int) -> bool:
    """Whether the words are talked about: quoted, negated, or the object of a question."""
    window = before(text, start, 70)
    sentence = window[max(window.rfind(mark) for mark in ".!?\n") + 1 :]
    quoted = any(quote in text[max(0, start - 3) : start] for quote in _QUOTES) and any(
        quote in text[end : end + 25] for quote in _QUOTES
    )
    if quoted and (names(sentence, _MENTIONS) or names(after(text, end, 60), _MENTIONS) or "?" in text[end : end + 40]):
        return True
    if any(negation in sentence[-14:] for negation in _NEGATIONS):
        return True
    return names(sentence, _MENTIONS) and "?" in text[end : end + 80]
