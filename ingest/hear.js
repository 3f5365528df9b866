// What a recorded person did, out of the raw events of a recording: the counterpart of record.js for
// a page that is built again (rebuild.js). Events name their element by its node's id. Each action is
// told with the page as it was just before; typing is one fill, a press and its click are one click.

const formOf = { input: getter("HTMLInputElement", "form"), button: getter("HTMLButtonElement", "form"), textarea: getter("HTMLTextAreaElement", "form") };
// Events that one press brings about come within this time of each other.
const SAME_MS = 20;
// What a page's own script changes comes right after what it reacts to; a person is slower.
const PERSON_MS = 100;

const weakRemove = method("WeakSet", "delete");
const elementFromPoint = method("Document", "elementFromPoint");

let messages = [];
let now = 0; // of the operation being carried out, milliseconds since 1970
let url = "";
let salt = "";
let press = null; // {id, time, page}: where the button went down
let focusId = null;
let edit = null; // a field being filled: {id, time, page, from, last, secret}
let flushed = false;
let pressesHeard = false;
let focusHeard = false;
let enterAt = -1e9;
let causeAt = -1e9; // the last thing that a script may have reacted to, and on which node
let causeId = null;
let filled = null; // the field whose filling was the last action
const secretKeys = new Set();
let marks = []; // where the elements stood that were found to react to clicks, in a document told again and again

const tell = (kind, fields) => messages.push({ kind, time: now, ...fields });

const elementOf = (id) => {
  const node = ids.get(id);
  if (!node) return null;
  return nodeType(node) === ELEMENT ? node : nodeType(node) === 9 ? documentElement(node) : above(node);
};

function snapshot(el) {
  const page = takeSnapshot(el);
  const data = JSON.parse(slice(page, lastIndex(page, ',"secrets":') + 11, lastIndex(page, ',"bare":')));
  for (const key of data) secretKeys.add(key);
  return '{"url":' + quote(url) + slice(page, indexOf(page, ',"title":'));
}

const shotOf = (id) => ({ id, time: now, page: null });

function see(shot) {
  if (!shot.page) shot.page = snapshot(elementOf(shot.id));
  return shot;
}

// Before the page changes: what will be told with the page as it is now must look at it now.
function changing() {
  if (press && !press.page) seePressed();
  if (edit) see(edit);
}

// What is pressed may be gone before the click, and nothing about it told that it can be clicked.
function seePressed() {
  see(press);
  const el = elementOf(press.id);
  if (!el || tools.hasPath(press.page) || clickKind(el) !== "click") return;
  weakAdd(known.clickable, el);
  press.marked = snapshot(el);
  weakRemove(known.clickable, el);
}

function act(verb, shot, fields) {
  filled = null;
  tell("act", { verb, seen: shot.time, before: shot.page, ...fields });
}

function caused(id) {
  causeAt = now;
  causeId = id;
}

const valueAt = (el) => (tagOf(el) === "input" && inputType(el) === "file" ? "" : tools.value(el));

function flush() {
  const done = edit;
  edit = null;
  if (!done) return;
  const el = elementOf(done.id);
  const value = el && !done.file ? valueAt(el) : done.last;
  if (value === done.from) return;
  flushed = true;
  if (el) weakAdd(known.touched, el);
  act("fill", done, { value: done.secret ? MASK : value, masked: done.secret, hash: done.secret ? hash(salt + value) : "" });
  filled = done.id;
}

const about = (shot, el) => {
  const seen = shot && elementOf(shot.id);
  return seen && (seen === el || contains(seen, el) || contains(el, seen) || labelForControl(seen, el));
};
const pick = (el) => (about(press, el) ? press : null);

function hearPress(id) {
  const el = elementOf(id);
  if (edit && (!el || fieldOf(el) !== elementOf(edit.id))) flush();
  press = shotOf(id);
  pressesHeard = true;
}

// What was pressed is gone before the button came up: no click will follow.
function hearRelease() {
  const el = press && elementOf(press.id);
  if (!press || !press.page || (el && isConnected(el))) return;
  if (press.marked) press.page = press.marked;
  if (tools.hasPath(press.page)) act("click", press, { soft: true });
  press = null;
}

const ownForm = (el) => (el && formOf[tagOf(el)] ? formOf[tagOf(el)](el) : null);

function submits(el) {
  const type = tagOf(el) === "button" ? lower(attr(el, "type") || "submit") : tagOf(el) === "input" ? inputType(el) : "";
  return type === "submit" || type === "image";
}

// The Enter key in a field clicks the form's button without a press of one.
function isEnter(el, keyed) {
  if (!keyed && (!pressesHeard || (press && !(now - press.clicked > SAME_MS)))) return false;
  const field = focusId === null ? null : fieldOf(elementOf(focusId));
  return !!field && field !== el && tagOf(field) === "input" && submits(el) && !!ownForm(el) && ownForm(el) === ownForm(field);
}

function pressEnter(id, key) {
  flush();
  act("press", see(shotOf(id)), { value: key, soft: true });
  if (key === "Enter") enterAt = now;
}

function hearClick(id, keyed, hard) {
  const el = elementOf(id);
  if (!el || now - enterAt <= SAME_MS) return;
  if (isEnter(el, keyed)) return pressEnter(focusId, "Enter");
  if (press) press.clicked = now;
  const kind = clickKind(el);
  if (!kind) return;
  let shot = flushed && isConnected(el) ? null : pick(el);
  flushed = false;
  if (edit) flush();
  shot = see(shot || shotOf(id));
  let soft = kind === "soft";
  if (!tools.hasPath(shot.page)) {
    weakAdd(known.clickable, el);
    shot = see(shotOf(id));
    soft = !hard || !tools.hasPath(shot.page);
  }
  act("click", shot, { soft, href: linkOf(el) });
  press = null;
}

function linkOf(el) {
  for (let node = el; node; node = above(node)) if (tagOf(node) === "a" && has(node, "href")) return attr(node, "href");
  return null;
}

function hearKey(id, key) {
  const el = elementOf(id);
  if (!el) return;
  const tag = tagOf(el);
  const field = fieldOf(el);
  if (key === "Enter") {
    if (tag === "select" || (field && (tag === "textarea" || (tag !== "input" && !attr(el, "role"))))) return;
    if (!field && keyClicks(el)) {
      press = shotOf(id); // a click follows
      return;
    }
  }
  pressEnter(id, key);
}

function hearFocus(id) {
  const el = elementOf(id);
  focusId = id;
  focusHeard = true;
  const host = el && editingHost(el);
  if (!host || (edit && elementOf(edit.id) === host)) return;
  flush();
  edit = { ...shotOf(idOf.get(host)), from: tools.value(host), last: "", secret: false };
}

function hearBlur(id) {
  if (focusId === id) focusId = null;
  const el = elementOf(id);
  if (edit && el && (fieldOf(el) || el) === elementOf(edit.id)) flush();
}

// Whether a person made this change of a field, and not a script of the page.
function byPerson(id, el, user, textual, text) {
  if (typeof user === "boolean") return user;
  if (about(press, el)) return true;
  if (focusId === id) return causeId === id || causeId === null || now - causeAt >= PERSON_MS;
  if (textual) return !focusHeard || (edit !== null && edit.id === id) || isTyped(valueAt(el), text);
  return causeId === id || now - causeAt >= SAME_MS;
}

// Whether one character came or went: scripts set a value as a whole.
function isTyped(from, to) {
  const [shorter, longer] = from.length < to.length ? [from, to] : [to, from];
  if (longer.length - shorter.length !== 1) return false;
  let same = 0;
  while (same < shorter.length && shorter[same] === longer[same]) same++;
  return shorter.slice(same) === longer.slice(same + 1);
}

function hearInput(id, text, checked, user) {
  const el = elementOf(id);
  if (!el) return lost++;
  const tag = tagOf(el);
  const type = tag === "input" ? inputType(el) : "";
  const choice = type === "checkbox" || type === "radio" || tag === "select";
  const mine = type !== "hidden" && type !== "submit" && type !== "button" && byPerson(id, el, user, !choice, text);
  if (!mine) {
    changing();
    setField(el, text, checked);
  } else if (choice) hearChoice(id, el, type, text, checked);
  else {
    if (!edit || edit.id !== id) {
      flush();
      edit = see({ ...shotOf(id), from: valueAt(el), secret: isSecret(el), file: type === "file" });
    }
    setField(el, text, checked);
    edit.last = type === "file" ? lastPart(text) : text;
    edit.secret = edit.secret || isSecret(el);
  }
  caused(id);
}

function hearChoice(id, el, type, text, checked) {
  const before = type ? inputChecked(el) : tools.chosen(el);
  const unheard = type && (before === checked || (type === "radio" && !checked));
  if (!unheard) {
    if (edit) flush();
    flushed = false;
  }
  const shot = unheard ? null : see(pick(el) || shotOf(id));
  setField(el, text, checked);
  if (unheard) return;
  if (type) act(checked ? "check" : "uncheck", shot, {});
  else if (tools.chosen(el) !== before) act("select", shot, { chosen: JSON.parse(tools.chosen(el)) });
  press = null;
}

// The page is left: what is unfinished ends here.
function leave() {
  flush();
  const field = focusId === null ? null : elementOf(focusId);
  // Only kept when nothing else explains that the page was left.
  if (field && filled === focusId && ownForm(field)) tell("act", { verb: "press", value: "Enter", maybe: true, seen: now, before: see(shotOf(focusId)).page });
  else if (url) tell("left", { before: snapshot(null) });
  press = edit = focusId = filled = null;
  constructed.clear();
}

// Another document, or the same one told again as a whole.
function hearDocument(node, given) {
  changing();
  if (given.fresh) leave();
  if (given.fresh || url !== given.url) marks = [];
  url = given.url;
  ids.clear();
  fillDocument(document, node);
  settle();
  if (given.fresh) {
    // Where the page puts the cursor by itself, nobody tells that it is there.
    const first = queryDocument(document, "[autofocus]");
    if (listLength(first)) focusId = idOf.get(first[0]);
    return;
  }
  keepSecrets();
  for (const place of marks) if (elementIn(place)) weakAdd(known.clickable, elementIn(place));
  if (edit && !ids.has(edit.id)) flush();
}

// What was a password stays one when the document is told again with its field as plain text.
function keepSecrets() {
  if (!secretKeys.size) return;
  const inputs = queryDocument(document, "input");
  for (let i = 0; i < listLength(inputs); i++) {
    if (secretKeys.has(attr(inputs[i], "name")) || secretKeys.has(attr(inputs[i], "id"))) weakAdd(known.secret, inputs[i]);
  }
}

// For recordings that say themselves what was done: the page, and what the element is.
function hearAsk(id, given) {
  const el = given.point ? elementFromPoint(document, given.point.x, given.point.y) : elementOf(id);
  const seen = watched(given.watch);
  if (!el) return tell("ask", { key: given.key, before: snapshot(null), there: false, seen });
  let page = snapshot(el);
  const kind = clickKind(el);
  let soft = kind === "soft";
  if (!tools.hasPath(page) && given.mark) {
    weakAdd(known.clickable, el);
    marks.push(placeOf(el));
    page = snapshot(el);
    soft = true;
  }
  const label = labelAround(el);
  const field = fieldOf(el) || fieldOf(label && labelControl(label));
  const choice = tagOf(el) === "input" ? el : label && labelControl(label);
  const type = choice && tagOf(choice) === "input" ? inputType(choice) : "";
  const secret = !!field && isSecret(field);
  const value = field ? valueAt(field) : null;
  tell("ask", {
    key: given.key, before: page, there: true, soft, secret, seen,
    click: kind ? true : type === "checkbox" || type === "radio",
    types: !!field, place: field ? placeOf(field) : "", value: secret && value ? MASK : value, hash: secret ? hash(salt + value) : "",
    clicksByKey: !field && keyClicks(el),
    breaks: !!field && (tagOf(field) === "textarea" || (tagOf(field) !== "input" && !attr(field, "role"))),
    chosen: given.options && tagOf(el) === "select" ? chosenOf(el, given.options) : null,
  });
}

// Where an element stands, in words that are the same in the next telling of the same page.
function placeOf(el) {
  let place = "";
  for (let node = el; node; node = above(node) || hostFrame(node)) {
    let index = 0;
    for (let before = previousSibling(node); before; before = previousSibling(before)) if (nodeType(before) === ELEMENT) index++;
    place = tagOf(node) + ":" + index + "/" + place;
  }
  return place;
}

// The element that stands there now.
function elementIn(place) {
  let el = null;
  for (const step of place.split("/").slice(0, -1)) {
    const [tag, index] = step.split(":");
    const inside = el ? [el, shadowOf(el), frameBody(el) && ownerDocument(frameBody(el))] : [document];
    const found = inside.map((root) => (root ? childAt(root, +index) : null)).filter((child) => child && tagOf(child) === tag);
    if (!found.length) return null;
    el = found[found.length - 1];
  }
  return el;
}

function childAt(root, index) {
  let child = firstChild(root);
  for (; child; child = nextSibling(child)) if (nodeType(child) === ELEMENT && index-- === 0) return child;
  return null;
}

// What is in a field of which only the place is known, null where there is none or it is a password.
function watched(place) {
  const el = place ? elementIn(place) : null;
  const field = el && fieldOf(el);
  return field && !isSecret(field) ? valueAt(field) : null;
}

// The names of the options that are chosen after choosing `wanted` ({value, label, index, either}).
function chosenOf(el, wanted) {
  const names = [];
  const options = selectOptions(el);
  for (let i = 0; i < collectionLength(options); i++) {
    const name = cut(clean(optionLabel(options[i]) || attr(options[i], "value") || ""), MAX_NAME);
    const value = options[i].value;
    const fits = (w) =>
      (w.value === undefined || w.value === value) && (w.label === undefined || clean(w.label) === name) &&
      (w.index === undefined || w.index === i) && (w.either === undefined || w.either === value || clean(w.either) === name);
    if (!wanted.some(fits)) continue;
    names.push(name);
    if (!selectMultiple(el)) break;
  }
  return names;
}

const OPERATIONS = {
  salt: (text) => { salt = text; },
  css: (name, text) => { texts.set(name, text); },
  url: (address) => { url = address; },
  leave,
  doc: (node, given) => {
    hearDocument(node, given);
    caused(null);
  },
  mut: (data) => {
    changing();
    mutate(data);
  },
  rules: (data) => {
    changing();
    changeRules(data);
  },
  adopt: (data) => {
    changing();
    adopt(data);
  },
  press: (id) => {
    hearPress(id);
    caused(id);
  },
  release: hearRelease,
  click: (id, keyed, hard) => {
    hearClick(id, keyed, hard);
    caused(id);
  },
  key: hearKey,
  focus: (id) => {
    hearFocus(id);
    caused(id);
  },
  blur: hearBlur,
  input: hearInput,
  flush,
  ask: hearAsk,
  look: () => tell("look", { before: snapshot(null) }),
};

// Carries out a batch of operations, JSON [[name, time, argument…]…]; returns what there is to tell.
function apply(text) {
  messages = [];
  lost = 0;
  for (const [name, time, ...given] of JSON.parse(text)) {
    now = time;
    try {
      OPERATIONS[name](...given);
    } catch (error) {
      tell("trouble", { text: name + ": " + error });
    }
  }
  return JSON.stringify({ messages, lost, secrets: [...secretKeys] });
}
