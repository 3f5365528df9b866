// What the recorder's listeners need from the in-page functions, and the page as HTML.

const lastIndex = method("String", "lastIndexOf");

const labelForControl = (seen, target) => {
  for (let el = seen; el; el = above(el)) {
    if (tagOf(el) === "label" && isHtml(el)) return labelControl(el) === target;
  }
  return false;
};

// 53 bits that tell whether a text is one heard before, without keeping the text (cyrb53, public domain).
function hash(text) {
  const imul = realm.Math.imul;
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const c = charCode(text, i);
    a = imul(a ^ c, 2654435761);
    b = imul(b ^ c, 1597334677);
  }
  a = imul(a ^ (a >>> 16), 2246822507) ^ imul(b ^ (b >>> 13), 3266489909);
  b = imul(b ^ (b >>> 16), 2246822507) ^ imul(a ^ (a >>> 13), 3266489909);
  return "" + (4294967296 * (2097151 & b) + (a >>> 0));
}

const VOID = set("area base br col embed hr img input link meta param source track wbr");
const UNSAVED = set("script noscript object embed base");
const MAX_DOM = 600000;

function escaped(text) {
  let out = "";
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    out += c === "&" ? "&amp;" : c === "<" ? "&lt;" : c === '"' ? "&quot;" : c;
  }
  return out;
}

// The page as HTML that can be looked at again without its scripts: fields with their present values,
// passwords without any, what is not displayed marked hidden, shadow roots as declarative templates.
function dom() {
  const state = { text: "<!doctype html>", left: 60000 };
  const html = documentElement(document);
  if (html) saveElement(html, state, 0);
  return state.left > 0 && state.text.length < MAX_DOM ? state.text : null;
}

const attributesOf = getter("Element", "attributes");
const mapLength = getter("NamedNodeMap", "length");
const attrName = getter("Attr", "name");
const attrValue = getter("Attr", "value");

function saveElement(el, state, depth) {
  const tag = tagOf(el);
  if (UNSAVED[tag] || weakHas(known.ignored, el) || depth > 500 || --state.left < 0 || state.text.length > MAX_DOM) return;
  const own = isHtml(el) ? tag : "";
  state.text += "<" + tag;
  const attributes = attributesOf(el);
  for (let i = 0; i < mapLength(attributes); i++) {
    const name = attrName(attributes[i]);
    const value = attrValue(attributes[i]);
    if (name === "srcdoc" || name === "integrity" || name === "nonce") continue;
    if (own === "input" && (name === "value" || name === "checked")) continue;
    if (own === "option" && name === "selected") continue;
    if (slice(value, 0, 5) === "data:" && value.length > 500) continue;
    state.text += " " + name + '="' + escaped(value) + '"';
  }
  if (own === "input") {
    const type = inputType(el);
    if (isSecret(el)) state.text += valueOf.input(el) ? ' value="' + MASK + '"' : "";
    else if (type !== "file") state.text += ' value="' + escaped(valueOf.input(el) || "") + '"';
    if (inputChecked(el)) state.text += ' checked=""';
  }
  if (own === "option" && optionSelected(el)) state.text += ' selected=""';
  if (own && styleOf(el).none && !SKIPPED[tag] && tag !== "head" && tag !== "option" && !has(el, "hidden")) state.text += ' hidden=""';
  state.text += ">";
  if (VOID[tag]) return;
  const shadow = shadowOf(el);
  if (shadow) {
    state.text += '<template shadowrootmode="open">';
    saveChildren(shadow, state, depth + 1, false);
    state.text += "</template>";
  }
  if (own === "textarea") state.text += escaped(valueOf.textarea(el) || "");
  else saveChildren(el, state, depth + 1, tag === "style");
  state.text += "</" + tag + ">";
}

function saveChildren(el, state, depth, raw) {
  for (let child = firstChild(el); child; child = nextSibling(child)) {
    const type = nodeType(child);
    if (type === ELEMENT) saveElement(child, state, depth);
    else if (type === TEXT) state.text += raw ? nodeValue(child) : escaped(nodeValue(child));
  }
}

const listenTo = EventTarget.prototype.addEventListener;
const attachTo = Element.prototype.attachShadow;
const editable = getter("HTMLElement", "isContentEditable");

const TEXTUAL = set("text search email tel url password number date time month week datetime-local");

function labelAround(el) {
  for (let node = el; node; node = above(node)) if (tagOf(node) === "label" && isHtml(node)) return node;
  return null;
}

function interactiveInside(el, label) {
  for (let node = el; node && node !== label; node = above(node)) if (INTERACTIVE[roleOf(node)] || reacts(node, roleOf(node))) return true;
  return false;
}

function editingHost(el) {
  let host = null;
  for (let node = el; node && isHtml(node) && editable(node); node = above(node)) host = node;
  return host;
}

// The field that typing at an element goes to, null when there is none.
function fieldOf(el) {
  const tag = el ? tagOf(el) : "";
  if (tag === "input") return TEXTUAL[inputType(el)] ? el : null;
  return tag === "textarea" ? el : el && editingHost(el);
}

// What a click on an element is: "click" on its own account, "soft" when it counts only if the page
// reacts, "" when what it does is heard otherwise (the choice it makes, the field it enters).
function clickKind(el) {
  const tag = tagOf(el);
  if (tag === "select" || tag === "option" || tag === "optgroup") return "";
  const label = labelAround(el);
  if (label && labelControl(label) && !interactiveInside(el, label)) return ""; // its field hears a click of its own
  const field = fieldOf(el);
  if (tag === "input" && !field) {
    const role = roleOf(el);
    const type = inputType(el);
    return role === "checkbox" || role === "radio" || role === "switch" || role === "slider" || type === "file" || type === "color" ? "" : "click";
  }
  if (!field) return "click";
  return has(el, "readonly") || attr(el, "aria-haspopup") || roleOf(el) === "combobox" ? "soft" : "";
}

// Whether a key pressed at an element clicks it.
function keyClicks(el) {
  const role = roleOf(el);
  return tagOf(el) === "button" || tagOf(el) === "summary" || role === "link" || role === "button";
}

const tools = realm.Object.freeze({
  quote,
  MASK,
  attr,
  roleOf,
  inputType,
  isSecret,
  hash,
  dom,
  listen: of(listenTo),
  shadow: (host) => of(attachTo)(host, { mode: "closed" }),
  contains: (outer, inner) => contains(outer, inner),
  labels: labelForControl,
  control: labelControl,
  ignore: (el) => weakAdd(known.ignored, el),
  ignored: (el) => {
    for (let node = el; node; node = above(node)) if (weakHas(known.ignored, node)) return true;
    return false;
  },
  markClickable: (el) => weakAdd(known.clickable, el),
  fieldOf,
  clickKind,
  keyClicks,
  value: (el) => {
    const tag = tagOf(el);
    if (tag === "input" && inputType(el) === "file") return lastPart(valueOf.input(el) || "");
    if (tag === "input" || tag === "textarea") return valueOf[tag](el) || "";
    return contentOf(el, "all", null);
  },
  chosen: (el) => {
    const options = selectOptions(el);
    let text = "";
    for (let i = 0; i < collectionLength(options); i++) {
      if (!optionSelected(options[i])) continue;
      text += (text ? "," : "") + quote(cut(clean(optionLabel(options[i]) || attr(options[i], "value") || ""), MAX_NAME));
    }
    return "[" + text + "]";
  },
  // Snapshot text carries its path as the third last entry; `path` replaces it.
  withPath: (page, path) => {
    const at = lastIndex(page, ',"path":');
    const end = lastIndex(page, ',"secrets":');
    return slice(page, 0, at) + ',"path":' + path + slice(page, end);
  },
  hasPath: (page) => slice(page, lastIndex(page, ',"path":'), lastIndex(page, ',"path":') + 12) !== ',"path":null',
});

