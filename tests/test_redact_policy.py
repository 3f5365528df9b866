"""Presets, locales, dates by person, and a transformer beside the recognisers."""

from __future__ import annotations

import json
import re
import sys
from datetime import date
from pathlib import Path

import pytest
from redact_corpus import everything, ingest, key_file

from fde.engagement import Engagement
from fde.errors import InputError, MissingError
from ingest.document import Document
from redact.checks import compact, iban, luhn
from redact.dates import Offsets, generalise
from redact.detect import Detector
from redact.patterns import parse_date
from redact.policy import load, read_roster
from redact.stage import redact
from redact.vault import Key
from redact.zero_shot import ZeroShot

RECORDS = """Marguerite Okonjo was born on 23 April 1979 and joined on 2001-05-14. She left on 2019-05-14.
Tobias Feldkamp was born on 23 April 1979 and joined on 2003-01-07.

| Name | Date of birth | Age |
| --- | --- | --- |
| Okonjo, Marguerite | 1979-04-23 | 46 |
| Feldkamp, Tobias | 23.04.1979 | 46 |
| Whitaker, Lena | 1931-02-11 | 95 |

A woman of 95 years, aged 95, lives in Springfield. The card 4556 7375 8689 9855, PIN: 4471.
Customer no. C-104418 is paid.
"""


@pytest.fixture
def client(engagement: Engagement, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engagement:
    key_file(monkeypatch, tmp_path)
    ingest(engagement, documents=(Document(id="r", source="r.md", media_type="text/markdown", text=RECORDS),))
    return engagement


def configure(client: Engagement, text: str) -> None:
    config = client.config_path.read_text()
    client.config_path.write_text(config.replace("[redact]\n", f"[redact]\n{text}\n"))


def text_of(client: Engagement) -> str:
    (file,) = (redact(client).path / "documents").glob("*.json")
    return Document.model_validate_json(file.read_bytes()).text


def days(text: str) -> list[date]:
    from redact.patterns import dates

    found = [parse_date(text[s.start : s.end]) for s in dates(text) if s.type != "AGE"]
    return [f[0] for f in found if f is not None]


def test_dates_of_one_person_keep_their_intervals_and_those_of_two_part(client: Engagement) -> None:
    configure(client, '[redact.policy]\nDATE_TIME = "surrogate"')
    old, new = days(RECORDS), days(text_of(client))
    assert len(old) == len(new) == 8
    moved = [(b - a).days for a, b in zip(old, new, strict=True)]
    okonjo, feldkamp = moved[0], moved[3]
    assert moved[:3] == [okonjo] * 3 and moved[3:5] == [feldkamp] * 2
    assert moved[5:7] == [okonjo, feldkamp] and okonjo != feldkamp
    assert all(30 <= abs(m) < 365 for m in moved)


def test_by_default_only_days_of_birth_move(client: Engagement) -> None:
    text = text_of(client)
    assert "2001-05-14" in text and "2019-05-14" in text
    assert "1979" not in text or "23 April 1979" not in text
    assert "1979-04-23" not in text and "23.04.1979" not in text and "23 April 1979" not in text


def test_hipaa_leaves_years_and_no_great_ages(client: Engagement) -> None:
    configure(client, 'preset = "hipaa"')
    text = text_of(client)
    assert "born on 1979 and joined on 2001. " in text
    assert "| 1979 |" in text and "1979-04-23" not in text
    assert "aged 90+" in text and "Springfield" not in text
    assert redact(client).manifest().config["treatments"]["DATE_TIME"] == "generalise"


def test_pci_masks_cards_and_drops_secrets(client: Engagement) -> None:
    configure(client, 'preset = "pci"')
    assert "The card *****, PIN: ." in text_of(client)


def test_gdpr_replaces_places_and_a_policy_overrules_it(client: Engagement) -> None:
    assert "Customer no. C-104418" in text_of(client)
    configure(client, 'preset = "gdpr"')
    assert "Springfield" not in text_of(client)
    assert re.search(r"Customer no\. C-\d{6} is", text_of(client)) and "104418" not in text_of(client)
    config = client.config_path.read_text()
    overruled = 'preset = "gdpr"\n[redact.policy]\nLOCATION = "keep"'
    client.config_path.write_text(config.replace('preset = "gdpr"', overruled, 1))
    assert "Springfield" in text_of(client)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('preset = "gdrp"', "preset"),
        ('locales = ["US", "XX"]', "'XX'"),
        ('[redact.policy]\nPERSON = "generalise"', "PERSON cannot be generalised"),
        ('[redact.policy]\nPERSON = "invalid"', "PERSON has no check digits"),
        ('screenshots = "maybe"', "screenshots"),
        ('transformer = "models/none"', "no model with safetensors"),
    ],
)
def test_a_wrong_setting_is_named(client: Engagement, text: str, message: str) -> None:
    configure(client, text)
    with pytest.raises(InputError, match=message):
        redact(client)


def test_identifiers_are_looked_for_by_country(client: Engagement) -> None:
    text = "NIR 255081416802538 and DNI 12345678Z"
    both = {text[s.start : s.end] for s in Detector().find([text])[0] if s.type == "NATIONAL_ID"}
    french = {
        text[s.start : s.end] for s in Detector(locales=["FR"]).find([text])[0] if s.type == "NATIONAL_ID"
    }
    assert both == {"255081416802538", "12345678Z"} and french == {"255081416802538"}
    configure(client, 'locales = ["FR"]')
    assert load(client).locales == ("FR",)


def test_stand_ins_that_nobody_can_have(client: Engagement) -> None:
    numbers = {
        "IBAN_CODE": ("DE89 3704 0044 0532 0130 00", iban),
        "CREDIT_CARD": ("4556 7375 8689 9855", luhn),
        "NATIONAL_ID": ("12345678Z", lambda text: "TRWAGMYFPDXBNJZSQVHLCKE"[int(text[:8]) % 23] == text[8]),
    }
    text = "\n".join(f"{kind}: {shown}" for kind, (shown, _) in numbers.items())
    ingest(client, documents=(Document(id="r", source="r.md", media_type="text/markdown", text=text),))

    def right() -> dict[str, bool]:
        lines = dict(line.split(": ") for line in text_of(client).splitlines())
        assert all(lines[kind] != shown for kind, (shown, _) in numbers.items())
        assert all(len(lines[kind]) == len(shown) for kind, (shown, _) in numbers.items())
        return {kind: bool(valid(compact(lines[kind]))) for kind, (_, valid) in numbers.items()}

    assert right() == dict.fromkeys(numbers, True)
    # A policy changed later holds for values that have had a stand-in already.
    configure(client, "[redact.policy]\n" + "".join(f'{kind} = "invalid"\n' for kind in numbers))
    assert right() == dict.fromkeys(numbers, False)


def test_a_roster_is_read_by_its_headers(client: Engagement) -> None:
    file = client.root / "raw" / "people.csv"
    file.write_text(
        "First name,Surname,Department,Job title,Phone,Badge no,Employer\n"
        "Quill,Zabriskie,Packaging,Team lead,555 010 7788,B-4471,Brass Paper\n"
    )
    names, others = read_roster(file)
    assert names == ("Quill Zabriskie",) and others == ("555 010 7788", "B-4471")
    configure(client, 'roster = "raw/people.csv"')
    said = "Zabriskie, Quill of Packaging (Team lead at Brass Paper), badge B-4471, asked."
    ingest(client, documents=(Document(id="r", source="r.md", media_type="text/markdown", text=said),))
    text = text_of(client)
    assert not [v for v in ("Quill", "Zabriskie", "4471") if v in text]
    assert "of Packaging (Team lead at Brass Paper), badge B-" in text


def test_offsets_depend_on_key_and_person() -> None:
    one, other = Offsets(Key(b"a" * 32)), Offsets(Key(b"b" * 32))
    people = [str(n) for n in range(200)]
    assert [one.days(p) for p in people] == [one.days(p) for p in people] != [other.days(p) for p in people]
    assert all(30 <= abs(one.days(p)) <= 364 for p in people)
    assert one.shifted("31/12/1999", "x") != "31/12/1999" and one.shifted("no date", "x") is None


def test_generalised_values() -> None:
    assert generalise("DATE_OF_BIRTH", "23 April 1979") == "1979"
    assert generalise("AGE", "89") == "89" and generalise("AGE", "90") == "90+"
    assert generalise("DATE_TIME", "soon") == ""


def tiny_model(folder: Path) -> Path:
    """A BERT that calls "zorblax" a person: its one layer is the embedding, its weights are set by hand."""
    import torch
    from transformers import BertConfig, BertForTokenClassification, BertTokenizerFast

    folder.mkdir(parents=True)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "zor", "##blax", "ask", "about", "it", "."]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(pieces), hidden_size=4, num_hidden_layers=0, num_attention_heads=1,
        intermediate_size=4, max_position_embeddings=64, id2label={0: "O", 1: "B-PER", 2: "I-PER"},
    )  # fmt: skip
    model = BertForTokenClassification(config)
    with torch.no_grad():
        for weights in model.parameters():
            weights.zero_()
        model.bert.embeddings.LayerNorm.weight.fill_(1.0)
        words = model.bert.embeddings.word_embeddings.weight
        words[:, 0] = 1.0
        words[5], words[6] = torch.tensor([0.0, 1, 0, 0]), torch.tensor([0.0, 0, 1, 0])
        model.classifier.weight.copy_(torch.eye(4)[:3] * 9)
    model.save_pretrained(folder)
    return folder


def tiny_gliner(folder: Path) -> Path:
    """A GLiNER model that calls "zorblax" a person: one layer, taught on four sentences."""
    gliner = pytest.importorskip("gliner")
    import torch
    from transformers import BertConfig, BertTokenizerFast

    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *["ask", "about", "zorblax", "it", "the", "person", "address", "."],
    ]
    encoder = folder.parent / "encoder"
    BertTokenizerFast(vocab={piece: n for n, piece in enumerate(pieces)}).save_pretrained(encoder)
    config = BertConfig(
        vocab_size=len(pieces) + 2, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=512,
    )  # fmt: skip
    config.save_pretrained(encoder)
    torch.manual_seed(0)
    model = gliner.GLiNER.from_config(
        {
            "model_name": str(encoder), "model_type": "gliner_uni_encoder_span", "hidden_size": 32,
            "max_width": 4, "max_len": 64, "dropout": 0.0, "span_mode": "markerV0",
            "encoder_config": config.to_dict(),
        },
        backbone_from_pretrained=False,
    )  # fmt: skip
    collate = model.data_collator_class(model.config, data_processor=model.data_processor)
    sentences = ("ask about zorblax .", "ask about it .", "the zorblax it", "it the it . ask")
    taught = [
        {
            "tokenized_text": text.split(),
            "ner": [[n, n, "person"] for n, word in enumerate(text.split()) if word == "zorblax"],
            "ner_labels": ["person", "address"],
        }
        for text in sentences
    ]
    optimizer = torch.optim.Adam(model.model.parameters(), 3e-3)
    for _ in range(75):
        optimizer.zero_grad()
        model.model(**collate(taught)).loss.backward()
        optimizer.step()
    model.eval()
    model.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.mark.model
@pytest.mark.filterwarnings("ignore")
def test_a_gliner_model_is_read_as_well(client: Engagement) -> None:
    folder = tiny_gliner(client.models / "gliner")
    texts = ["ask about zorblax.", "it", "it the " * 60 + "zorblax it"]
    found = ZeroShot(folder).find(texts)
    for text, spans in zip(texts, found, strict=True):
        assert ("zorblax", "PERSON") in {(text[s.start : s.end], s.type) for s in spans} or text == "it"
    assert any(s.source == "transformer" for s in Detector(transformer=folder).find(texts)[0])
    (folder / "model.safetensors").unlink()
    with pytest.raises(MissingError, match="safetensors"):
        Detector(transformer=folder)


def test_a_gliner_model_without_the_package_is_an_error(
    client: Engagement, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = client.models / "gliner"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "gliner_config.json").write_text('{"max_len": 10}')
    with pytest.raises(InputError, match="10 words at a time"):
        Detector(transformer=folder)
    (folder / "gliner_config.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        Detector(transformer=folder)
    (folder / "gliner_config.json").write_text('{"max_len": 384}')
    monkeypatch.setitem(sys.modules, "gliner", None)
    with pytest.raises(MissingError, match="pip install --no-deps gliner"):
        Detector(transformer=folder)


@pytest.mark.model
def test_a_transformer_is_read_as_well(client: Engagement) -> None:
    folder = tiny_model(client.models / "ner")
    texts = ["ask about zorblax.", "ask about it.", "it " * 90 + "zorblax"]
    detector = Detector(transformer=folder)
    found = [
        [text[s.start : s.end] for s in spans]
        for text, spans in zip(texts, detector.find(texts), strict=True)
    ]
    assert found[0] == ["zorblax"] and found[1] == [] and found[2] == ["zorblax"]
    configure(client, 'transformer = "models/ner"')
    config = redact(client).manifest().config
    assert len(config["transformer"]) == 64
    labels = json.loads((folder / "config.json").read_text())
    labels["id2label"] = {"0": "LABEL_0", "1": "LABEL_1"}
    (folder / "config.json").write_text(json.dumps(labels))
    with pytest.raises(InputError, match="no label for personal data"):
        Detector(transformer=folder)
    with pytest.raises(MissingError, match="safetensors"):
        Detector(transformer=client.models)


def test_everything_else_stays(client: Engagement) -> None:
    text = everything(redact(client).path)
    assert "aged 95" in text and "Springfield" in text
