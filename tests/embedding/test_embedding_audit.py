import numpy as np
import pytest
from embedding_fakes import HashEmbedder, TextsOnly

from ds2.embedding import compute, embed, embed_with_report, identify_languages, languages_note
from ds2.errors import Ds2Warning

ENGLISH = [
    f"user: Tell me about town number {i}.\nassistant: It is a quiet place with {i} houses, "
    "a river and a market where people meet on Saturdays."
    for i in range(30)
]
GERMAN = [
    f"user: Erzähle mir von der Stadt Nummer {i}.\nassistant: Es ist ein ruhiger Ort mit {i} "
    "Häusern, einem Fluss und einem Markt, auf dem sich die Leute samstags treffen."
    for i in range(10)
]
JAPANESE = [
    "user: 東京について教えてください。\nassistant: 東京は日本の首都で、とても大きな都市です。"
]
CODE = [
    "user: fix\nassistant: ```python\nfür = lambda größe: größe * 2\nprint(für(3))\n```",
    "user: x\nassistant: for (int i = 0; i < n; ++i) { std::vector<int> v(n); v[i] = f(i, n); }",
    "user: SELECT\nassistant: SELECT a.id, b.x FROM a LEFT JOIN b ON a.id = b.id WHERE b.x > 3;",
]
SHORT = ["user: 6 + 3 = ?\nassistant: 9", "user: hola\nassistant: ok", "user: \nassistant: "]


def report_of(texts, **facts):
    return embed_with_report(TextsOnly(texts), HashEmbedder(**facts))[1]


def test_the_languages_are_told():
    assert set(identify_languages(ENGLISH)) == {"en"}
    assert set(identify_languages(GERMAN)) == {"de"}
    assert identify_languages(JAPANESE) == ["ja"]


@pytest.mark.parametrize("text", CODE + SHORT)
def test_code_and_very_short_texts_are_not_foreign(text):
    assert identify_languages([text])[0] in (None, "en")


def test_only_a_bounded_part_of_a_long_text_is_looked_at():
    assert identify_languages([GERMAN[0] + " english words" * 100_000]) == ["de"]


def test_foreign_texts_are_counted_and_named():
    texts = ENGLISH + GERMAN + JAPANESE + CODE + SHORT
    report = report_of(texts, languages=frozenset({"en"}))
    assert report.n_sampled == len(texts) == 47
    assert report.unknown_language_share == pytest.approx(11 / 47)
    assert dict(report.unknown_languages) == pytest.approx({"de": 10 / 47, "ja": 1 / 47})
    assert report.unknown_languages[0][0] == "de"
    (sentence,) = report.warnings
    assert "About 23% of the texts are in languages" in sentence
    assert "de 21%" in sentence


def test_known_languages_are_not_foreign():
    report = report_of(ENGLISH + GERMAN, languages=frozenset({"en", "de"}))
    assert (report.unknown_language_share, report.unknown_languages) == (0.0, ())
    assert report.warnings == ()


def test_an_embedder_without_languages_has_no_share():
    report = report_of(ENGLISH + GERMAN)
    assert (report.unknown_language_share, report.unknown_languages) == (None, ())


def test_the_share_of_cut_texts():
    texts = [f"{i} " + "word " * (20 if i % 4 == 0 else 3) for i in range(40)]
    report = report_of(texts, max_tokens=10)
    assert report.truncated_share == 0.25
    (sentence,) = report.warnings
    assert "About 25% of the texts are longer than the 10 tokens" in sentence
    assert report_of(texts, max_tokens=21).truncated_share == 0.0


def test_nobody_knows_what_is_cut_when_tokens_cannot_be_counted():
    class Silent(HashEmbedder):
        def count_tokens(self, texts):
            return None

    for max_tokens in (None, 10):
        embedder = Silent(max_tokens=max_tokens)
        _, report = embed_with_report(TextsOnly(["a", "b"]), embedder)
        assert report.truncated_share is None


def test_the_sample_is_bounded_and_does_not_depend_on_the_order(monkeypatch):
    monkeypatch.setattr(compute, "SAMPLE", 20)
    texts = ENGLISH + GERMAN
    shares = []
    for order in (np.arange(40), np.random.default_rng(1).permutation(40)):
        shuffled = [texts[row] for row in order] + [texts[0]] * 30
        report = report_of(shuffled, languages=frozenset({"en"}))
        assert report.n_sampled == 20
        shares.append(report.unknown_language_share)
    assert shares[0] == shares[1] > 0


def test_embed_raises_the_warnings_of_its_report():
    with pytest.warns(Ds2Warning, match="languages that the embedder was not made for"):
        embed(TextsOnly(GERMAN), HashEmbedder(languages=frozenset({"en"})))


@pytest.mark.parametrize(
    ("top", "advises"),
    [
        ((("de", 0.9), ("lb", 0.002)), 'embedder = "multilingual"'),
        ((("de", 0.5), ("sv", 0.4)), 'embedder = "sentence-transformers"'),
        ((("sv", 0.06),), 'embedder = "sentence-transformers"'),
    ],
)
def test_a_few_texts_in_other_languages_do_not_change_the_advice(top, advises):
    (sentence,) = languages_note(sum(part for _, part in top), top)
    assert advises in sentence
