"""Mails (.eml): the head that matters, the text, and the attachments as files of their own."""

from __future__ import annotations

from datetime import datetime
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.utils import parsedate_to_datetime

from fde.errors import InputError
from ingest.blocks import Block, Content, one_line
from ingest.readers.html import read_html
from ingest.readers.texts import decode, read_text

HEAD = ("From", "To", "Cc", "Date", "Subject")
MAX_ATTACHMENTS = 200


def read_eml(data: bytes) -> Content:
    """A mail's head and text as blocks, its date, and its attachments."""
    try:
        message = BytesParser(policy=policy.default).parsebytes(data)
    except Exception as error:  # the parser's header classes raise on some hostile heads
        raise InputError(f"it is not a readable mail: {error}") from error
    if not isinstance(message, EmailMessage) or not any(message.get(name) for name in HEAD):
        raise InputError("it has no mail head (From, To, Date, Subject)")
    head = {name: _header(message, name) for name in HEAD}
    content = Content([], title=head["Subject"], dated=_date(head["Date"]))
    content.blocks.append(
        Block("paragraph", "\n".join(f"{name}: {value}" for name, value in head.items() if value))
    )
    body = _body(message)
    if body is not None:
        content.blocks.extend(_blocks(body))
    for number, part in enumerate(_attachments(message, body), 1):
        if number > MAX_ATTACHMENTS:
            content.warnings.append(f"Only the first {MAX_ATTACHMENTS} attachments were read.")
            break
        name = one_line(part.get_filename() or "").replace("/", "_").replace("\\", "_")
        inner = part.get_payload()
        if (
            part.get_content_type() == "message/rfc822"
            and isinstance(inner, list)
            and inner
            and isinstance(inner[0], Message)
        ):
            content.attachments.append((name or f"mail-{number}.eml", inner[0].as_bytes()))
            continue
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes) and payload:
            content.attachments.append((name or f"attachment-{number}", payload))
        else:
            content.warnings.append(f"The attachment {name or number} is empty.")
    return content


def _header(message: EmailMessage, name: str) -> str:
    try:
        return one_line(str(message.get(name) or ""))
    except Exception:  # a malformed header is no reason to lose the mail
        return ""


def _date(text: str) -> str | None:
    try:
        sent: datetime = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return sent.date().isoformat()


def _body(message: EmailMessage) -> EmailMessage | None:
    try:
        part = message.get_body(preferencelist=("plain", "html"))
    except Exception:  # malformed structure
        part = None
    return part if isinstance(part, EmailMessage) else None


def _blocks(body: EmailMessage) -> list[Block]:
    payload = body.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    charset = body.get_content_charset() or "utf-8"
    try:
        text = data.decode(charset)
    except (LookupError, UnicodeDecodeError):  # mails often say a wrong one
        text, _ = decode(data)
    if body.get_content_subtype() == "html":
        return read_html(text).blocks
    return read_text(text.encode("utf-8")).blocks


def _attachments(message: EmailMessage, body: EmailMessage | None) -> list[EmailMessage]:
    """Everything with a name, or of a kind that is neither the text nor its twin in another form."""
    found: list[EmailMessage] = []
    stack: list[EmailMessage] = [message]
    while stack:
        part = stack.pop()
        if part.get_content_type() == "message/rfc822" and part is not message:
            found.append(part)
        elif part.is_multipart():
            stack.extend(reversed([inner for inner in part.iter_parts() if isinstance(inner, EmailMessage)]))
        elif part is not body and part.get_content_maintype() != "image":
            named = part.get_filename() is not None or part.is_attachment()
            if named or part.get_content_maintype() != "text":
                found.append(part)
        elif part is not body and part.is_attachment():
            found.append(part)
    return found
