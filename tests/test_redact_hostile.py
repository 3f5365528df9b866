"""Disguised, broken, encoded and oversized values: replaced or left out, never passed through."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from redact_corpus import everything, ingest, key_file, policy, recording

from fde.engagement import Engagement
from fde.errors import InputError
from ingest.document import Document
from ingest.recording import Recording
from ingest.snapshot import Node, parse
from redact import addresses, patterns, people
from redact.broken import mended
from redact.corpus import Context
from redact.detect import Detector
from redact.names import fold, undisguised
from redact.rewrite import Rewriter
from redact.spans import Span
from redact.stage import redact
from redact.weigh import refine

SURE = "From: Marguerite Okonjo <m.okonjo@northgate.example>\n\n"


@pytest.fixture
def client(engagement: Engagement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engagement:
    key_file(monkeypatch, tmp_path)
    return engagement


def note(text: str) -> Document:
    return Document(id="note", source="note.txt", media_type="text/plain", text=text)


DISGUISED = {
    "zero width": "Marg\u200buer\u200dite Oko\u00adnjo was here",
    "look-alike letters": "M\u0430rgu\u0435rite \u041ek\u043enj\u043e was here",
    "right-to-left marks": "\u202bMarguerite\u200f \u2067Okonjo\u2069 was here",
    "full width": "\uff2d\uff41\uff52\uff47\uff55\uff45\uff52\uff49\uff54\uff45 Okonjo was here",
    "other blanks": "Marguerite\u00a0\u2009Okonjo was here",
    "two lines": "It was written by Marguerite\nOkonjo in May.",
    "hyphenated": "It was written by Marguerite Okon-\njo in May.",
    "capitals": "MARGUERITE OKONJO was here",
    "percent-encoded": f"see {quote('Marguerite Okonjo')} there",
    "base64": f"see {base64.b64encode(b'the user is Marguerite Okonjo').decode()} there",
    "base64 with lines": f"see {base64.b64encode(bytes([10]) + b'Marguerite Okonjo').decode()} there",
    "base64 for addresses": base64.urlsafe_b64encode("user Marguerite Okonjo ÿÿ?>".encode()).decode(),
    "Hebrew around it": "שלום Marguerite Okonjo שלום",
}


@pytest.mark.parametrize("how", DISGUISED)
def test_a_known_name_is_replaced_however_it_is_written(client: Engagement, how: str) -> None:
    ingest(client, documents=(note(SURE + DISGUISED[how]),))
    (file,) = (redact(client).path / "documents").glob("*.json")
    text = Document.model_validate_json(file.read_bytes()).text
    assert "okon" not in fold(text)
    for piece in text.split():
        plain = base64.urlsafe_b64decode(piece + "==") if len(piece) > 30 else b""
        assert b"Okonjo" not in plain and b"Marguerite" not in plain
    if how == "base64":
        assert "the user is" in base64.b64decode(text.split()[-2]).decode()


def test_disguised_values_are_found_where_they_stand() -> None:
    text = "x\u200b Write to \uff41nn.lee@mail.example or M\u0430ria\u00a0Lindqvist"
    clean, at = undisguised(text)
    assert clean == "x Write to ann.lee@mail.example or Maria Lindqvist"
    assert [text[i] for i in at[:-1]][0:2] == ["x", " "] and at[-1] == len(text)
    found = {text[s.start : s.end] for s in Detector().find([text])[0]}
    assert {"\uff41nn.lee@mail.example", "M\u0430ria\u00a0Lindqvist"} <= found


def test_labelled_names_of_other_scripts_are_replaced(client: Engagement) -> None:
    names = ("محمد الأحمد", "Ольга Кузнецова", "山田太郎")
    table = "| Contact | Amount |\n| --- | --- |\n" + "\n".join(f"| {name} | 12.00 |" for name in names)
    ingest(client, documents=(note(table),))
    text = everything(redact(client).path)
    assert not [name for name in ("محمد", "الأحمد", "Ольга", "Кузнецова", "山田太郎") if name in text]
    assert "12.00" in text


def test_texts_that_nobody_can_read_are_not_passed_through_unasked(client: Engagement) -> None:
    text = "דוד כהן ביקש זאת, mail d.cohen@elsewhere.example\n\nThe α level and a Βασιλέως street."
    ingest(client, documents=(note(text),))
    with pytest.raises(InputError, match=r"1 texts are in scripts .* does not read: Hebrew"):
        redact(client)
    config = client.config_path.read_text()
    client.config_path.write_text(config.replace("[redact]\n", '[redact]\nscripts = "drop"\n'))
    dropped = everything(redact(client).path)
    assert "[removed: Hebrew]" in dropped and "דוד" not in dropped and "Βασιλέως" in dropped
    client.config_path.write_text(config.replace("[redact]\n", '[redact]\nscripts = "leave"\n'))
    left = everything(redact(client).path)
    assert "דוד" in left and "d.cohen" not in left


def test_a_line_among_many_that_nobody_can_read_is_left_out(client: Engagement) -> None:
    table = "| Item | Amount |\n| --- | --- |\n" + "\n".join(f"| Paper {n} | {n}.00 |" for n in range(40))
    ingest(client, documents=(note(table + "\n\nΒασιλέως Αλεξάνδρου 195"),))
    text = everything(redact(client).path)
    assert "[removed: Greek]" in text and "Βασιλέως" not in text and "Paper 39" in text


class Names:
    """Replaces one name, whatever stands between its letters."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def edits(self, text: str, context: Context) -> list[tuple[int, int, str]]:
        self.shown.append(text)
        for form in ("Mar guer ite Okonjo", "Marguerite Okonjo"):
            if form in text:
                return [(text.index(form), text.index(form) + len(form), "Robin Ash")]
        return []


def nodes(*texts: str) -> tuple[Node, ...]:
    return tuple(Node("strong" if i % 2 else "text", value=text) for i, text in enumerate(texts))


def test_a_name_over_three_nodes_is_replaced_in_the_first() -> None:
    new = mended(nodes("by Mar", "guer", "ite Okonjo, today", "far"), Names())  # type: ignore[arg-type]
    assert [n.value for n in new] == ["by Robin Ash", "", ", today", "far"]
    link = Node("link", name="ite Okonjo")
    apart = (*nodes("by Mar", "guer"), link)
    assert mended(apart, Names()) == apart  # type: ignore[arg-type]


def test_a_name_over_three_nodes_of_a_recorded_page(client: Engagement) -> None:
    first = recording(1)
    step = first.steps[0]
    assert step.after is not None
    page = step.after.model_copy(
        update={
            "text": step.after.text + "- paragraph:\n  - text: by Mar\n  - strong: guer\n  - text: ite Okonjo"
        }
    )
    broken = first.model_copy(update={"steps": (step.model_copy(update={"after": page}), *first.steps[1:])})
    ingest(client, documents=(policy(),), recordings=(broken,))
    (file,) = (redact(client).path / "recordings").glob("*.json")
    after = Recording.model_validate_json(file.read_bytes()).steps[0].after
    assert after is not None
    last = parse(after.text).children[-1]
    assert "Mar" not in last.text() and "Okonjo" not in last.text() and last.text().startswith("by ")


def test_a_string_of_fifty_megabytes_is_left_out_at_once(client: Engagement) -> None:
    huge = "Marguerite Okonjo " + "A" * 50_000_000
    first = recording(1)
    effect = first.steps[1].effects[0].model_copy(update={"body": {"file": huge, "note": "ok"}})
    steps = (first.steps[0], first.steps[1].model_copy(update={"effects": (effect,)}), *first.steps[2:])
    ingest(client, recordings=(first.model_copy(update={"steps": steps}),))
    began = time.process_time()
    run = redact(client)
    assert time.process_time() - began < 60
    assert run.manifest().counts["strings_removed"] == 1
    text = everything(run.path)
    assert "[removed: 50,000,018 characters]" in text and "Okonjo" not in text and len(text) < 1_000_000


HOSTILE = (
    "1 ", "A ", "1 A", "a@", "a.", "+1 ", "(", "Aa, ", "DE89 ", "a:", "password=", "-----BEGIN PRIVATE KEY",
    "A. ", "%41", "Mr. ", "12 St ", "né ", "0-", "::", "eyJ", "Aa-", "| a ", "Ann ", "and Ann ", "at Ann, ",
    "Apt 1 ", "Name: A\n", "a=1&", "//a@", "P.O. Box 1 ", "=", "A1", "in A-",
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_grows_with_the_length_alone(piece: str) -> None:
    """Four times the text may take no more than about four times as long: eight, for a noisy machine."""

    def seconds(characters: int) -> float:
        text = piece * (characters // len(piece))
        best = float("inf")
        for _ in range(2):
            began = time.process_time()
            for finder in (patterns.find, addresses.find, people.find):
                list(finder(text))
            refine(text, [Span(0, 2, "PERSON", 0.5, "given name", 1)])
            best = min(best, time.process_time() - began)
        return best

    short, long = seconds(2_000), seconds(8_000)
    assert long < max(8 * short, 0.25)


def test_rewriting_is_linear_as_well() -> None:
    from redact.lexicon import Form, Lexicon

    lexicon = Lexicon()
    lexicon.add(Form("PERSON", (("a", "b"), ("lee", "oak"))))
    rewriter = Rewriter(lexicon, lambda m: m, lambda *_: None, lambda _k, _s, made: made)
    for piece in ("a ", "a.", "A-", "%41", "=", "a@", "QUJD"):
        began = time.process_time()
        rewriter.edits(piece * 50_000, Context("prose"))
        assert time.process_time() - began < 8, piece
