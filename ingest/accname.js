// Accessible names (W3C accname 1.2, with the shortcuts below), and names for what has none: from the
// nearest text that looks like a label, as people read old applications.
//
// Left out on purpose: text from CSS (::before, ::after), and the values of fields inside a name,
// because a row that is renamed by typing into it cannot be named twice.

const MAX_NAME = 200;
const MAX_LABEL = 60;

// Everything readable in an element, in page order. Modes: "all"; "row" leaves out buttons and
// fields; "own" leaves out all that can be acted on.
function contentOf(el, mode, except) {
  const state = { text: "", left: 3000 };
  gather(el, mode, except, state, 0, true);
  return clean(state.text);
}

function gather(el, mode, except, state, depth, top) {
  if (depth > 300 || state.text.length > 2000 || --state.left < 0) return;
  const children = childrenOf(el);
  const visible = styleOf(el).visible;
  for (let i = 0; i < children.length; i++) {
    const child = children[i];
    const type = nodeType(child);
    if (type === TEXT) {
      if (visible || mode === "hidden") state.text += nodeValue(child);
      continue;
    }
    if (type !== ELEMENT || child === except) continue;
    if (mode !== "hidden" && isGone(child)) continue;
    if (SKIPPED[tagOf(child)]) continue;
    const style = styleOf(child);
    const role = roleOf(child);
    if (style.gap || tagOf(child) === "br") state.text += " ";
    const label = attr(child, "aria-label");
    if (FIELDS[role] || (mode === "row" && role === "button") || (mode === "own" && INTERACTIVE[role])) {
      // Not part of a name.
    } else if (label && clean(label) && style.visible) state.text += label;
    else if (role === "img" || role === "svg") state.text += " " + imageName(child) + " ";
    else if (role === "button" && tagOf(child) === "input") state.text += buttonValue(child);
    else gather(child, mode, except, state, depth + 1, false);
    if (style.gap) state.text += " ";
  }
}

function imageName(el) {
  const label = clean(attr(el, "aria-label") || attr(el, "alt") || "");
  if (label) return label;
  if (roleOf(el) === "svg" || tagOf(el) === "svg") {
    for (let child = firstChild(el); child; child = nextSibling(child)) {
      if (nodeType(child) === ELEMENT && tagOf(child) === "title") return clean(rawText(child));
    }
  }
  return clean(attr(el, "title") || "");
}

function rawText(el) {
  let text = "";
  for (let child = firstChild(el); child; child = nextSibling(child)) {
    if (nodeType(child) === TEXT) text += nodeValue(child);
  }
  return text;
}

function buttonValue(el) {
  const type = inputType(el);
  if (type === "image") return attr(el, "alt") || attr(el, "value") || "";
  if (type === "file") return "";
  const value = attr(el, "value");
  if (value) return value;
  return type === "submit" ? "Submit" : type === "reset" ? "Reset" : "";
}

function byIds(el, ids) {
  const root = getRootNode(el);
  let text = "";
  let id = "";
  for (let i = 0; i <= ids.length; i++) {
    if (i === ids.length || ids[i] === " ") {
      const found = id && (nodeType(root) === 9 ? idInDocument(root, id) : nodeType(root) === 11 ? idInFragment(root, id) : null);
      if (found) {
        const label = attr(found, "aria-label");
        const value = clean(label || "") || (tagOf(found) === "input" && roleOf(found) === "button" ? buttonValue(found) : contentOf(found, isGone(found) ? "hidden" : "all", el));
        text += " " + value;
      }
      id = "";
    } else id += ids[i];
  }
  return clean(text);
}

function labelsText(el, labels) {
  let text = "";
  for (let i = 0; i < listLength(labels); i++) text += " " + contentOf(labels[i], "all", el);
  return clean(text);
}

// The name an author gave the element, and where it stands ("" when there is none).
function authorName(el, role) {
  const tag = tagOf(el);
  const ids = attr(el, "aria-labelledby");
  if (ids) {
    const text = byIds(el, ids);
    if (text) return [text, "author"];
  }
  const label = clean(attr(el, "aria-label") || "");
  if (label) return [label, "author"];
  if (isHtml(el) && labelsOf[tag]) {
    const labels = labelsOf[tag](el);
    const text = labels ? labelsText(el, labels) : "";
    if (text) return [text, "label"];
  }
  if (tag === "input" && role === "button") {
    const text = clean(buttonValue(el));
    if (text) return [text, "author"];
  }
  if (role === "img" || role === "svg" || tag === "area") {
    const text = imageName(el);
    if (text) return [text, "author"];
  }
  const inner = tag === "fieldset" ? "legend" : tag === "table" ? "caption" : tag === "figure" ? "figcaption" : "";
  if (inner) {
    for (let child = firstChild(el); child; child = nextSibling(child)) {
      if (nodeType(child) === ELEMENT && tagOf(child) === inner) {
        const text = isGone(child) ? "" : contentOf(child, "row", null);
        if (text) return [text, "author"];
      }
    }
  }
  return ["", ""];
}

let names = new MapType();
let taken = new MapType();

// The element's name, at most MAX_NAME characters.
function nameOf(el, role) {
  const before = mapGet(names, el);
  if (before !== undefined) return before;
  const name = cut(freshName(el, role), MAX_NAME);
  mapSet(names, el, name);
  return name;
}

function freshName(el, role) {
  const given = authorName(el, role)[0];
  if (given) return given;
  if (NAMED_BY_CONTENT[role]) {
    const text = contentOf(el, role === "row" || role === "cell" ? "row" : "all", null);
    if (text) return text;
  }
  const title = clean(attr(el, "title") || "");
  if (title) return title;
  if (FIELDS[role]) {
    const placeholder = clean(attr(el, "placeholder") || attr(el, "aria-placeholder") || "");
    if (placeholder) return placeholder;
    const near = nearLabel(el, role);
    if (near) return near;
  }
  return INTERACTIVE[role] ? technicalName(el, role) : "";
}

const CLOSING = set(": * \u2022 \uff1a ( [ - \u2013");

function labelLike(text) {
  let end = text.length;
  while (end && (CLOSING[text[end - 1]] || text[end - 1] === " ")) end--;
  const label = slice(text, 0, end);
  if (!label || label.length > MAX_LABEL) return "";
  for (let i = 0; i < label.length; i++) {
    const c = charCode(label, i);
    if ((c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c > 0xbf) return label;
  }
  return "";
}

function hasField(el) {
  if (FIELDS[roleOf(el)] || roleOf(el) === "button") return true;
  return listLength(queryElement(el, NATIVE_FIELDS + ",button,[role=textbox],[role=combobox],[contenteditable]")) > 0;
}

// The text standing right before (or after) a node among its siblings: inline pieces together, the
// nearest block alone. `pieces` gets the nodes it was read from. Null where a field is in between.
function siblingText(node, next, pieces) {
  let text = "";
  for (let near = next(node); near; near = next(near)) {
    const type = nodeType(near);
    if (type === TEXT) {
      const more = nodeValue(near);
      text = next === previousSibling ? more + text : text + more;
      if (clean(more)) pieces[pieces.length] = near;
      continue;
    }
    if (type !== ELEMENT || (isGone(near) && tagOf(near) !== "br")) continue;
    if (tagOf(near) === "br") {
      if (clean(text)) break;
      continue;
    }
    const role = roleOf(near);
    if (hasField(near)) return clean(text) ? clean(text) : null;
    if (role === "link" || role === "heading" || role === "table" || role === "list" || role === "alert") {
      return clean(text) ? clean(text) : null;
    }
    const block = styleOf(near).block;
    if (block && clean(text)) break;
    const more = contentOf(near, "own", null);
    if (!more) continue;
    text = next === previousSibling ? more + " " + text : text + " " + more;
    pieces[pieces.length] = near;
    if (block) break;
  }
  return clean(text);
}

function take(text, pieces, mayHide) {
  const label = labelLike(text || "");
  if (label && mayHide) for (let i = 0; i < pieces.length; i++) mapSet(taken, pieces[i], true);
  return label;
}

const STOP = set("form body html table fieldset section article main dialog li tr");

// The nearest text that reads like the label of an unlabelled field: beside it, in the cell before,
// at the head of its column, or before the box it stands in.
function nearLabel(el, role) {
  const choice = role === "checkbox" || role === "radio" || role === "switch";
  if (choice) {
    const pieces = [];
    const label = take(siblingText(el, nextSibling, pieces), pieces, true);
    if (label) return label;
  }
  let node = el;
  for (let level = 0; level < 5 && node; level++) {
    const pieces = [];
    const found = siblingText(node, previousSibling, pieces);
    if (found === null) return "";
    const inTable = tagOf(node) === "td" || tagOf(node) === "th";
    const data = inTable && roleOf(node) === "cell";
    const label = (data && columnLabel(node)) || take(found, pieces, !data);
    if (label) return label;
    if (found) return "";
    if (inTable) return "";
    node = above(node);
    if (!node || STOP[tagOf(node)]) return "";
  }
  return "";
}

function columnLabel(cell) {
  const table = enclosingTable(cell);
  const own = parentNode(cell);
  let column = 0;
  for (let before = previousSibling(cell); before; before = previousSibling(before)) {
    if (nodeType(before) === ELEMENT) column += cellSpan(before) || 1;
  }
  const rows = table ? tableRows(table) : null;
  if (!rows || !collectionLength(rows) || rows[0] === own) return "";
  const cells = rowCells(rows[0]);
  for (let i = 0, at = 0; i < collectionLength(cells); i++) {
    if (at === column) return tagOf(cells[i]) === "th" ? labelLike(contentOf(cells[i], "own", null)) : "";
    at += cellSpan(cells[i]) || 1;
  }
  return "";
}

// Last resort for what can be acted on: the words of an icon's file or class, or of its identifier.
function technicalName(el, role) {
  const hint = clean(attr(el, "data-original-title") || attr(el, "data-tooltip") || attr(el, "data-title") || "");
  if (hint) return hint;
  const inside = queryElement(el, "img[src],i[class],span[class],svg[class]");
  const icons = [el];
  for (let i = 0; i < listLength(inside) && i < 5; i++) icons[icons.length] = inside[i];
  for (let i = 0; i < icons.length; i++) {
    const src = attr(icons[i], "src");
    const file = src && slice(src, 0, 5) !== "data:" ? words(fileName(src)) : "";
    if (file) return file;
    const icon = iconWord(attr(icons[i], "class") || "");
    if (icon) return icon;
  }
  const name = words(attr(el, "name") || attr(el, "id") || "");
  if (name) return name;
  const file = role === "link" ? words(fileName(attr(el, "href") || "")) : "";
  if (file || FIELDS[role]) return file;
  for (let i = 0; i < icons.length; i++) {
    const word = classWord(attr(icons[i], "class") || "");
    if (word) return word;
  }
  return "";
}

// The first class that reads like a word: what a picture drawn by a style sheet alone is called.
function classWord(classes) {
  let word = "";
  for (let i = 0; i <= classes.length; i++) {
    if (i < classes.length && classes[i] !== " ") {
      word += classes[i];
      continue;
    }
    const found = word.length > 2 ? words(word) : "";
    if (found) return found;
    word = "";
  }
  return "";
}

function fileName(path) {
  let name = "";
  for (let i = 0; i < path.length; i++) {
    if (path[i] === "?" || path[i] === "#") break;
    name = path[i] === "/" ? "" : name + path[i];
  }
  const dot = indexOf(name, ".");
  return dot > 0 ? slice(name, 0, dot) : name;
}

const ICONS = ["fa-", "icon-", "bi-", "glyphicon-", "mdi-", "ti-"];

function iconWord(classes) {
  let word = "";
  for (let i = 0; i <= classes.length; i++) {
    if (i < classes.length && classes[i] !== " ") {
      word += classes[i];
      continue;
    }
    for (let j = 0; j < ICONS.length; j++) {
      if (word.length > ICONS[j].length + 1 && slice(word, 0, ICONS[j].length) === ICONS[j]) return words(slice(word, ICONS[j].length));
    }
    word = "";
  }
  return "";
}

// "ctl00$costCenter_id" -> "cost center id": lower-case words; what is mostly digits names nothing.
function words(identifier) {
  let out = "";
  let digits = 0;
  let previous = 0;
  for (let i = 0; i < identifier.length && i < 80; i++) {
    const c = charCode(identifier, i);
    const upper = c >= 65 && c <= 90;
    const small = (c >= 97 && c <= 122) || c > 0xbf;
    const digit = c >= 48 && c <= 57;
    if (c === 36 || c === 46) out = "";
    else if (!upper && !small && !digit) out += " ";
    else {
      if (upper && previous >= 97 && previous <= 122) out += " ";
      out += lower(identifier[i]);
      if (digit) digits++;
    }
    previous = c;
  }
  const text = clean(out);
  return text.length > 1 && digits * 2 < text.length ? text : "";
}
