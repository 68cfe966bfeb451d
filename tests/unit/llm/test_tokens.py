# ruff: noqa: E501, RUF001 - the samples are what they are
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greffier.core.chat import Usage
from greffier.core.deployment import Price
from greffier.llm.cost import cost_of
from greffier.llm.tokens import estimate_text, is_doubtful, whole_usage

# Texts, and their tokens as counted by two byte-pair vocabularies (npm gpt-tokenizer 3, o200k_base and cl100k_base).
SAMPLES: dict[str, tuple[str, int, int]] = {
    "en": (
        "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and should act towards one another in a spirit of brotherhood.",
        33,
        33,
    ),
    "de": (
        "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt und sollen einander im Geiste der Brüderlichkeit begegnen.",
        39,
        44,
    ),
    "fr": (
        "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de conscience et doivent agir les uns envers les autres dans un esprit de fraternité.",
        41,
        50,
    ),
    "es": (
        "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón y conciencia, deben comportarse fraternalmente los unos con los otros.",
        38,
        44,
    ),
    "pl": (
        "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni rozumem i sumieniem i powinni postępować wobec innych w duchu braterstwa.",
        53,
        64,
    ),
    "fi": (
        "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan. Heille on annettu järki ja omatunto, ja heidän on toimittava toisiaan kohtaan veljeyden hengessä.",
        54,
        68,
    ),
    "ru": (
        "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью и должны поступать в отношении друг друга в духе братства.",
        41,
        74,
    ),
    "el": (
        "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι προικισμένοι με λογική και συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα αδελφοσύνης.",
        71,
        172,
    ),
    "ar": (
        "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا وعليهم أن يعامل بعضهم بعضا بروح الإخاء.",
        42,
        80,
    ),
    "he": (
        "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון, לפיכך חובה עליהם לנהוג איש ברעהו ברוח של אחווה.",
        50,
        129,
    ),
    "hi": (
        "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। उन्हें बुद्धि और अन्तरात्मा की देन प्राप्त है और परस्पर उन्हें भाईचारे के भाव से बर्ताव करना चाहिए।",
        54,
        180,
    ),
    "th": (
        "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ",
        63,
        135,
    ),
    "zh": ("人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。", 37, 52),
    "ja": (
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。人間は、理性と良心とを授けられており、互いに同胞の精神をもって行動しなければならない。",
        72,
        93,
    ),
    "ko": (
        "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 이성과 양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다.",
        51,
        85,
    ),
    "code": (
        'def estimate(text: str) -> int:\n    """Return the number of tokens."""\n    total = 0\n    for char in text:\n        if char.isalnum():\n            total += 1\n    return max(1, total // 4)\n\nclass Foo(Bar):\n    def __init__(self, *args, **kwargs):\n        super().__init__(*args, **kwargs)\n',
        81,
        80,
    ),
    "json": (
        '{"id": "req_01h455vb4pex5vsknk084sn02q", "amount": 1234.56, "currency": "EUR", "lines": [{"sku": "A-1001", "qty": 3, "price": 19.99}, {"sku": "B-2002", "qty": 1, "price": 249.0}], "paid": true}',
        90,
        91,
    ),
    "digits": (
        "4111 1111 1111 1111 2024-11-05 13:45:09 +49 30 901820 DE89 3704 0044 0532 0130 00 192.168.17.244 8.675309 1234567890",
        65,
        65,
    ),
    "base64": (
        "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg==",
        66,
        67,
    ),
    "emoji": ("😀😃😄😁😆😅🤣😂🙂🙃😉😊😇🥰😍🤩😘", 25, 38),
    "upper": (
        "WARNING: THE ACCOUNT HAS BEEN SUSPENDED PENDING FURTHER INVESTIGATION BY THE COMPLIANCE DEPARTMENT.",
        24,
        26,
    ),
    "punct": ("!!! ??? ... --- === ### *** (((( )))) [[[[ ]]]] {{{{ }}}} <<<< >>>> //// \\\\\\\\ |||| ~~~~", 31, 31),
}

FAITHFUL = {"en", "de", "fr", "es", "code", "json", "digits", "base64", "upper", "punct", "emoji"}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_stated_error_holds(name: str) -> None:
    text, o200k, cl100k = SAMPLES[name]
    low, high = (0.75, 1.4) if name in FAITHFUL else (0.45, 2.65)
    estimated = estimate_text(text)
    assert low <= estimated / o200k <= high
    assert low <= estimated / cl100k <= high


@given(st.text(), st.text())
def test_estimates_grow_with_the_text_and_never_fail(one: str, two: str) -> None:
    assert (estimate_text(one) > 0) is bool(one)
    parts = sum(estimate_text(part) for part in (one, " ", two))
    assert estimate_text(f"{one} {two}") <= 2 * parts + 1


def test_lone_surrogates_are_counted_too() -> None:
    assert estimate_text("\ud800" * 10) > 0


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**12))
def test_cost_is_exact_and_never_rounds_to_free(prompt: int, output: int, cached: int, micro: int) -> None:
    price = Price(input_micro=micro, output_micro=2 * micro, cached_micro=micro // 2)
    usage = Usage(input_tokens=prompt, output_tokens=output, cached_tokens=cached, cache_write_tokens=5)
    exact = (prompt + 5) * micro + output * 2 * micro + cached * (micro // 2)
    cost = cost_of(usage, price)
    assert 0 <= cost * 1_000_000 - exact < 1_000_000
    assert (cost > 0) is (exact > 0)


def test_an_unknown_price_costs_nothing_here() -> None:
    assert cost_of(Usage(input_tokens=10), None) == 0


@pytest.mark.parametrize(
    ("reported", "answers", "used"),
    [
        (Usage(input_tokens=9, output_tokens=50), 1, (9, 50)),
        (Usage(input_tokens=9, output_tokens=100), 2, (9, 100)),
        (Usage(input_tokens=9, output_tokens=50), 2, (9, 90)),  # one of two answers was counted
        (Usage(input_tokens=9, output_tokens=0), 1, (9, 90)),
        (Usage(cached_tokens=9, output_tokens=80), 1, (9, 80)),
        (Usage(), 1, (10, 90)),
        (None, 1, (10, 90)),
    ],
)
def test_what_a_server_leaves_out_of_its_count_is_counted(
    reported: Usage | None, answers: int, used: tuple[int, int]
) -> None:
    counted = Usage(input_tokens=10, output_tokens=90, estimated=True)
    whole = whole_usage(reported, counted) if is_doubtful(reported, answers) else reported
    assert whole is not None
    assert (whole.prompt_tokens, whole.output_tokens) == used
    assert whole.estimated is (whole != reported)
