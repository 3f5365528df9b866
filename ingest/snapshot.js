// A page as a tree of what can be read and acted on. `takeSnapshot(target)` returns JSON text:
// {url, title, tree: [role, name, value, [[state, value]…], [child…]], path, secrets, bare, warning};
// `path` leads (child by child) to the node that stands for the element `target`, where that can be acted on.

const MAX_NODES = 8000;
const MAX_VISITS = 150000;
const MAX_DEPTH = 90;
const MAX_DOM_DEPTH = 700;
const MAX_TEXT = 5000;
const MAX_OPTIONS = 1000;
const MASK = "\u2022\u2022\u2022\u2022";

let visits = 0;
let made = 0;
let cutAt = "";
let nodeOf = new MapType();
let last = null;
let bare = false; // a password stands readable on the page

function forget() {
  styles = new MapType();
  roles = new MapType();
  names = new MapType();
  taken = new MapType();
  layouts = new MapType();
  interactives = new MapType();
  nodeOf = new MapType();
  visits = made = 0;
  cutAt = "";
  bare = false;
}

const emitter = () => ({ nodes: [], open: null });

function push(em, node) {
  close(em);
  made++;
  em.nodes[em.nodes.length] = node;
  return node;
}

const makeNode = (role, name, el) => ({ role, name, value: null, states: [], children: [], el });

function addText(em, text, el, gap) {
  if (!em.open) {
    if (!clean(text)) return;
    em.open = makeNode("text", "", el);
    em.open.value = "";
  }
  if (em.open.value.length < MAX_TEXT * 2) em.open.value += gap ? " " + text : text;
}

function close(em) {
  const node = em.open;
  em.open = null;
  if (!node) return;
  node.value = cut(clean(node.value), MAX_TEXT);
  if (node.value) {
    made++;
    em.nodes[em.nodes.length] = node;
  }
}

let interactives = new MapType();

// Whether something below can be acted on by itself.
function holdsInteractive(el) {
  const before = mapGet(interactives, el);
  if (before !== undefined) return before;
  mapSet(interactives, el, false);
  let found = false;
  const children = childrenOf(el);
  for (let i = 0; i < children.length && !found; i++) {
    const child = children[i];
    if (nodeType(child) !== ELEMENT || isGone(child)) continue;
    const role = roleOf(child);
    found = (INTERACTIVE[role] && styleOf(child).visible) || !!frameBody(child) || reacts(child, role) || holdsInteractive(child);
  }
  mapSet(interactives, el, found);
  return found;
}

function frameworkClick(el) {
  const own = ownNames(el);
  for (let i = 0; i < own.length; i++) {
    const key = own[i];
    try {
      if (slice(key, 0, 13) === "__reactProps$" || slice(key, 0, 21) === "__reactEventHandlers$") {
        if (typeof el[key].onClick === "function") return true;
      } else if (key === "_vei" && el[key].onClick) return true;
    } catch (error) {
      // A page's own property that throws says nothing about clicks.
    }
  }
  return false;
}

// Whether an element without a role of its own for it reacts to clicks.
function reacts(el, role) {
  const tag = tagOf(el);
  if (INTERACTIVE[role] || tag === "body" || tag === "html" || tag === "label" || tag === "form" || role === "iframe") return false;
  const shown = styleOf(el);
  if (!shown.visible) return false;
  if (has(el, "onclick") || has(el, "onmousedown")) return true;
  const parent = above(el);
  if (shown.pointer && !(parent && styleOf(parent).pointer)) return true;
  const heard =
    (isHtml(el) && (typeof onClick(el) === "function" || typeof onMouseDown(el) === "function")) ||
    weakHas(known.clickable, el) || frameworkClick(el);
  // A listener on a box of things that react by themselves is delegation, not a target.
  return !!heard && !holdsInteractive(el) && contentOf(el, "all", null).length <= 100;
}

function clickableName(el) {
  const given = authorName(el, "clickable")[0];
  if (given) return cut(given, MAX_NAME);
  const text = contentOf(el, "own", null);
  if (text.length <= 80) return text || clean(attr(el, "title") || "") || technicalName(el, "clickable");
  const children = childrenOf(el);
  for (let i = 0; i < children.length; i++) {
    const child = children[i];
    const part = nodeType(child) === TEXT ? clean(nodeValue(child)) : nodeType(child) === ELEMENT && !isGone(child) ? contentOf(child, "own", null) : "";
    if (part) return part.length <= 80 || nodeType(child) === TEXT ? cut(part, 80) : clickableName(child);
  }
  return cut(text, 80);
}

function addState(node, key, value) {
  node.states[node.states.length] = [key, value || ""];
}

function isDisabled(el) {
  return matching(el, ":disabled") || isTrue(el, "aria-disabled");
}

function addStates(node, el, role) {
  const tag = tagOf(el);
  if (role === "heading") addState(node, "level", clean(attr(el, "aria-level") || (tag.length === 2 ? tag[1] : "2")));
  if (role === "checkbox" || role === "radio" || role === "switch" || role === "menuitem") {
    const own = tag === "input";
    const checked = attr(el, "aria-checked");
    if (own ? inputIndeterminate(el) : checked === "mixed") addState(node, "checked", "mixed");
    else if (own ? inputChecked(el) : checked === "true") addState(node, "checked");
  }
  if ((role === "tab" || role === "option" || role === "treeitem" || role === "row" || role === "cell") && isTrue(el, "aria-selected")) addState(node, "selected");
  if (isTrue(el, "aria-expanded") || (tag === "summary" && role === "button" && has(parentNode(el), "open"))) addState(node, "expanded");
  if (role === "button" && isTrue(el, "aria-pressed")) addState(node, "pressed");
  if (INTERACTIVE[role] && isDisabled(el)) addState(node, "disabled");
  if (!FIELDS[role]) return;
  if (matching(el, ":required") || isTrue(el, "aria-required")) addState(node, "required");
  if (has(el, "readonly") || isTrue(el, "aria-readonly")) addState(node, "readonly");
  const invalid = attr(el, "aria-invalid");
  if (invalid && invalid !== "false") addState(node, "invalid");
  else if (node.value && (matching(el, ":user-invalid") || (weakHas(known.touched, el) && matching(el, ":invalid")))) addState(node, "invalid");
}

function isSecret(el) {
  if (tagOf(el) !== "input") return false;
  const hint = attr(el, "autocomplete") || "";
  const secret = inputType(el) === "password" || hint === "current-password" || hint === "new-password";
  if (secret) weakAdd(known.secret, el);
  return secret || weakHas(known.secret, el);
}

function fieldValue(el, role) {
  const tag = tagOf(el);
  if (isSecret(el)) {
    bare = bare || (inputType(el) !== "password" && !!valueOf.input(el));
    return valueOf.input(el) ? MASK : null;
  }
  if (role === "slider" || role === "progressbar" || role === "meter") {
    const value = tag === "input" ? valueOf.input(el) : attr(el, "aria-valuetext") || attr(el, "aria-valuenow") || attr(el, "value");
    return clean(value || "") || null;
  }
  if (tag === "input" && inputType(el) === "file") {
    return lastPart(valueOf.input(el) || "") || null;
  }
  if (role === "checkbox" || role === "radio" || role === "switch") return null;
  if (tag === "input" || tag === "textarea") return clean(valueOf[tag](el) || "", true) || null;
  if (role === "textbox" || role === "searchbox" || role === "combobox") {
    const inner = role === "combobox" ? queryElement(el, "input") : null;
    if (inner && listLength(inner)) return clean(valueOf.input(inner[0]) || "") || null;
    return contentOf(el, "all", null) || null;
  }
  return null;
}

function lastPart(path) {
  let name = "";
  for (let i = 0; i < path.length; i++) name = path[i] === "\\" || path[i] === "/" ? "" : name + path[i];
  return clean(name);
}

function addOptions(node, el) {
  const options = tagOf(el) === "select" ? selectOptions(el) : datalistOptions(inputList(el));
  const count = collectionLength(options);
  const chosen = [];
  for (let i = 0; i < count; i++) {
    const option = options[i];
    if (i >= MAX_OPTIONS) {
      cutAt = cutAt || "only the first " + MAX_OPTIONS + " options of " + node.name + " were read";
      break;
    }
    const hidden = has(option, "hidden") || styleOf(option).none;
    const selected = tagOf(el) === "select" && optionSelected(option);
    const name = cut(clean(optionLabel(option) || attr(option, "value") || ""), MAX_NAME);
    if (selected) chosen[chosen.length] = name;
    if (hidden) continue;
    const child = makeNode("option", name, option);
    if (selected) addState(child, "selected");
    if (matching(option, ":disabled")) addState(child, "disabled");
    node.children[node.children.length] = child;
    made++;
  }
  if (tagOf(el) !== "select") return;
  let text = "";
  for (let i = 0; i < chosen.length; i++) text += (i ? ", " : "") + chosen[i];
  node.value = text || null;
}

function frameBody(el) {
  const tag = tagOf(el);
  if ((tag !== "iframe" && tag !== "frame") || !isHtml(el)) return null;
  try {
    const inner = tag === "iframe" ? frameDocument(el) : oldFrameDocument(el);
    return inner ? documentElement(inner) : null;
  } catch (error) {
    return null;
  }
}

function addLeaf(em, el, role, context) {
  const node = push(em, makeNode(role, nameOf(el, role), el));
  const tag = tagOf(el);
  if (FIELDS[role] || role === "progressbar" || role === "meter") node.value = fieldValue(el, role);
  if (role === "button" && tag === "input" && inputType(el) === "file") node.value = fieldValue(el, role);
  if (tag === "select" || (tag === "input" && inputList(el))) addOptions(node, el);
  addStates(node, el, role);
  mapSet(nodeOf, el, node);
  return node;
}

// The one modal dialog that covers the page, if there is one: the rest cannot be reached.
function modalOf(root) {
  try {
    const open = queryDocument(root, "dialog:modal");
    return listLength(open) ? open[listLength(open) - 1] : null;
  } catch (error) {
    return null;
  }
}

function buildChildren(el, em, context) {
  const children = childrenOf(el);
  const style = styleOf(el);
  for (let i = 0; i < children.length; i++) {
    const child = children[i];
    const type = nodeType(child);
    if (type === ELEMENT) build(child, em, context);
    else if (type === TEXT && style.visible && !context.mute && !mapHas(taken, child)) {
      const text = nodeValue(child);
      if (style.lines && indexOf(text, "\n") >= 0) addLines(em, text, el);
      else addText(em, text, el, false);
    }
  }
}

function addLines(em, text, el) {
  let line = "";
  for (let i = 0; i <= text.length; i++) {
    if (i < text.length && text[i] !== "\n") {
      line += text[i];
      continue;
    }
    addText(em, line, el, false);
    if (i < text.length) close(em);
    line = "";
  }
}

function build(el, em, context) {
  if (made > MAX_NODES || ++visits > MAX_VISITS || context.dom > MAX_DOM_DEPTH) {
    cutAt = cutAt || "the page is too large: only its first part was read";
    return;
  }
  const tag = tagOf(el);
  if (tag === "br") return close(em);
  if (isGone(el)) return tag === "hr" ? close(em) : undefined;
  const style = styleOf(el);
  const role = roleOf(el);
  const inner = { mute: context.mute, depth: context.depth, dom: context.dom + 1, frames: context.frames };
  if (mapHas(taken, el)) return;
  if (tag === "label" && isHtml(el)) return buildLabel(el, em, inner);
  if (tag === "legend" || tag === "caption" || tag === "figcaption") {
    const parent = parentNode(el);
    if (parent && nodeType(parent) === ELEMENT && (roleOf(parent) === "group" || roleOf(parent) === "table" || roleOf(parent) === "figure")) inner.mute = true;
  }
  const flat = !role || FLAT[role] || role === "svg" || role === "separator" || !style.visible || context.depth > MAX_DEPTH;
  if (!flat && ((role === "region" || role === "form" || role === "group") && !nameOf(el, role))) return buildFlat(el, em, inner, style, role);
  if (flat) return buildFlat(el, em, inner, style, role);
  if (role === "img") return buildImage(el, em, style);
  if (role === "iframe") return buildFrame(el, em, inner);
  if (FIELDS[role] || LEAVES[role] || role === "progressbar" || role === "meter") {
    const leaf = addLeaf(em, el, role, context);
    if (tag === "select" || role === "progressbar" || role === "meter") return;
    if (role === "textbox" || role === "searchbox" || role === "spinbutton") return;
    return role === "listbox" ? buildListbox(el, leaf, inner) : onlyActions(el, leaf, inner);
  }
  buildStructure(el, em, inner, role);
}

// Below a leaf only what can be acted on by itself is worth a node: the leaf's name has the text.
function onlyActions(el, leaf, context) {
  if (!holdsInteractive(el)) return;
  const below = emitter();
  buildChildren(el, below, { ...context, mute: true, depth: context.depth + 1 });
  close(below);
  for (let i = 0; i < below.nodes.length; i++) leaf.children[leaf.children.length] = below.nodes[i];
}

function buildListbox(el, leaf, context) {
  const below = emitter();
  buildChildren(el, below, { ...context, depth: context.depth + 1 });
  close(below);
  leaf.children = below.nodes;
  let text = "";
  for (let i = 0; i < leaf.children.length; i++) {
    const states = leaf.children[i].states;
    for (let j = 0; j < states.length; j++) if (states[j][0] === "selected") text += (text ? ", " : "") + leaf.children[i].name;
  }
  leaf.value = text || null;
}

function buildFlat(el, em, context, style, role) {
  const separate = style.block || tagOf(el) === "tr" || tagOf(el) === "td" || tagOf(el) === "th";
  if (separate) close(em);
  if (context.depth <= MAX_DEPTH && reacts(el, role) && !context.mute) {
    const name = clickableName(el);
    if (name && !sameAsInner(el, name)) {
      const node = push(em, makeNode("clickable", name, el));
      if (isTrue(el, "aria-expanded")) addState(node, "expanded");
      if (isTrue(el, "aria-disabled")) addState(node, "disabled");
      mapSet(nodeOf, el, node);
      if (contentOf(el, "own", null).length > 80) {
        const below = emitter();
        buildChildren(el, below, { ...context, depth: context.depth + 1 });
        close(below);
        node.children = below.nodes;
      } else onlyActions(el, node, context);
      return;
    }
  }
  if (style.gap && !separate && em.open) addText(em, " ", el, false);
  buildChildren(el, em, context);
  if (style.gap && !separate && em.open) addText(em, " ", el, false);
  if (separate) close(em);
}

// A box around one clickable with the same words is that clickable.
function sameAsInner(el, name) {
  return holdsInteractive(el) && !contentOf(el, "own", null);
}

function buildImage(el, em, style) {
  const clickable = reacts(el, "img");
  const name = clickable ? clickableName(el) : cut(imageName(el), MAX_NAME);
  if (!name || !style.visible) return;
  const node = push(em, makeNode(clickable ? "clickable" : "img", name, el));
  if (clickable) mapSet(nodeOf, el, node);
}

function buildFrame(el, em, context) {
  const node = push(em, makeNode("iframe", nameOf(el, "iframe") || cut(clean(attr(el, "name") || ""), MAX_NAME), el));
  mapSet(nodeOf, el, node);
  const body = frameBody(el);
  if (!body || context.frames >= 5) return;
  const below = emitter();
  prepareRoot(ownerDocument(body));
  build(body, below, { mute: false, depth: context.depth + 1, dom: context.dom, frames: context.frames + 1 });
  close(below);
  node.children = below.nodes;
}

// A label speaks through its field. Where the field itself is not shown (a styled check box), the
// label is what people click, so it stands for the field.
function buildLabel(el, em, context) {
  const control = labelControl(el);
  const role = control ? roleOf(control) : "";
  close(em);
  if (control && (role === "checkbox" || role === "radio" || role === "switch") && !isShown(control)) {
    const node = push(em, makeNode(role, cut(contentOf(el, "all", control), MAX_NAME) || technicalName(el, role), el));
    addStates(node, control, role);
    mapSet(nodeOf, el, node);
    mapSet(nodeOf, control, node);
    return;
  }
  const speaks = control && INTERACTIVE[role] && isShown(control) && authorName(control, role)[1] === "label";
  buildChildren(el, em, { ...context, mute: context.mute || !!speaks });
  close(em);
}

function buildStructure(el, em, context, role) {
  const node = makeNode(role, NAMED_BY_CONTENT[role] ? nameOf(el, role) : cut(authorName(el, role)[0], MAX_NAME), el);
  mapSet(nodeOf, el, node);
  close(em);
  const below = emitter();
  const inner = { ...context, depth: context.depth + 1 };
  if (role === "heading") inner.mute = true;
  if (role === "heading" && !holdsInteractive(el)) {
    // The name says it all.
  } else buildChildren(el, below, inner);
  close(below);
  let children = below.nodes;
  let onlyText = true;
  for (let i = 0; i < children.length; i++) if (children[i].role !== "text") onlyText = false;
  if (reacts(el, role) && !context.mute) children = addReaction(el, node, children, onlyText);
  else if (role === "cell" || role === "columnheader" || role === "rowheader" || role === "tooltip") {
    if (onlyText) children = [];
    else if (node.name.length > 120) node.name = "";
  } else if (children.length === 1 && onlyText && role !== "row") {
    node.value = children[0].value;
    children = [];
  }
  node.children = children;
  addStates(node, el, role);
  if (!node.name && node.value === null && !children.length && role !== "cell" && role !== "columnheader" && role !== "rowheader") return;
  if (role === "row" && !children.length) return;
  push(em, node);
}

// A row, cell or list item that reacts to clicks keeps its place; what is clicked stands inside it.
function addReaction(el, node, children, onlyText) {
  let home = node;
  let name = clickableName(el);
  if (node.role === "row") {
    for (let i = 0; i < children.length; i++) {
      if (children[i].name && !holdsInteractive(children[i].el)) {
        home = children[i];
        name = home.name;
        break;
      }
    }
    if (home === node) return children;
  }
  if (!name || (home === node && sameAsInner(el, name))) return children;
  const clickable = makeNode("clickable", name, home.el);
  made++;
  mapSet(nodeOf, el, clickable);
  mapSet(nodeOf, home.el, clickable);
  const rest = [];
  const source = home === node ? children : home.children;
  if (!(home === node ? onlyText : !source.length) || contentOf(home.el, "own", null).length > 80) {
    for (let i = 0; i < source.length; i++) {
      if (source[i].role !== "text" || source[i].value !== name) rest[rest.length] = source[i];
    }
  }
  const all = [clickable];
  for (let i = 0; i < rest.length; i++) all[i + 1] = rest[i];
  if (home === node) return all;
  home.children = all;
  return children;
}

// Names of unlabelled fields come first: the text they take must not be told twice.
function prepareRoot(root) {
  const query = nodeType(root) === 9 ? queryDocument : queryFragment;
  const fields = query(root, "input,select,textarea,[role=textbox],[role=searchbox],[role=combobox],[role=listbox],[role=checkbox],[role=radio],[role=switch],[role=spinbutton],[contenteditable]");
  const count = listLength(fields);
  for (let i = 0; i < count && i < 3000; i++) {
    const role = roleOf(fields[i]);
    if (FIELDS[role] && isShown(fields[i])) nameOf(fields[i], role);
  }
}

function prepareShadows(el, depth) {
  if (depth > MAX_DOM_DEPTH || ++visits > MAX_VISITS) return;
  for (let child = firstChild(el); child; child = nextSibling(child)) {
    if (nodeType(child) !== ELEMENT) continue;
    const shadow = shadowOf(child);
    if (shadow) {
      prepareRoot(shadow);
      prepareShadows(shadow, depth + 1);
    }
    prepareShadows(child, depth + 1);
  }
}

function secretNames(root) {
  const found = [];
  const inputs = queryDocument(root, "input");
  for (let i = 0; i < listLength(inputs); i++) {
    if (!isSecret(inputs[i])) continue;
    const keys = [attr(inputs[i], "name"), attr(inputs[i], "id")];
    for (let j = 0; j < 2; j++) if (keys[j]) found[found.length] = keys[j];
  }
  return found;
}

function takeTree(doc) {
  forget();
  const html = documentElement(doc);
  const root = makeNode("document", "", html);
  if (html) {
    prepareRoot(doc);
    prepareShadows(html, 0);
    visits = 0;
    const em = emitter();
    build(modalOf(doc) || html, em, { mute: false, depth: 0, dom: 0, frames: 0 });
    close(em);
    root.children = em.nodes;
  }
  if (cutAt) {
    const note = makeNode("note", "", null);
    note.value = "Snapshot: " + cutAt;
    root.children[root.children.length] = note;
  }
  return root;
}

function pathTo(node, wanted, path) {
  if (node === wanted) return path;
  for (let i = 0; i < node.children.length; i++) {
    path[path.length] = i;
    const found = pathTo(node.children[i], wanted, path);
    if (found) return found;
    path.length--;
  }
  return null;
}

// The node that stands for an element: its own, or that of the nearest element above it that can be
// acted on. Labels stand for their field.
function standsFor(target) {
  for (let el = target; el; el = above(el) || hostFrame(el)) {
    const node = mapGet(nodeOf, el);
    if (node && INTERACTIVE[node.role]) return node;
    if (tagOf(el) === "label" && isHtml(el)) {
      const control = labelControl(el);
      const labelled = control && mapGet(nodeOf, control);
      if (labelled && INTERACTIVE[labelled.role]) return labelled;
    }
  }
  return null;
}

// The frame that a document's root element stands in, where the outer page may see it.
function hostFrame(el) {
  try {
    return viewOf(ownerDocument(el)).frameElement;
  } catch (error) {
    return null;
  }
}

function serialise(node) {
  let states = "";
  for (let i = 0; i < node.states.length; i++) {
    states += (i ? "," : "") + "[" + quote(node.states[i][0]) + "," + quote(stateText(node.states[i][1])) + "]";
  }
  let children = "";
  for (let i = 0; i < node.children.length; i++) children += (i ? "," : "") + serialise(node.children[i]);
  return "[" + quote(node.role) + "," + quote(node.name) + "," + (node.value === null ? "null" : quote(node.value)) + ",[" + states + "],[" + children + "]]";
}

function stateText(text) {
  let out = "";
  for (let i = 0; i < text.length; i++) if (text[i] !== "]" && text[i] !== "\n") out += text[i];
  return out;
}

// The path to the node that stands for an element, in the last snapshot, as JSON text.
function pathOf(target) {
  return pathText(standsFor(target) || mapGet(nodeOf, target));
}

function pathText(marked) {
  const path = marked ? pathTo(last, marked, []) : null;
  if (!path) return "null";
  let steps = "";
  for (let i = 0; i < path.length; i++) steps += (i ? "," : "") + path[i];
  return "[" + steps + "]";
}

function takeSnapshot(target) {
  const root = takeTree(document);
  last = root;
  const steps = target ? pathText(standsFor(target)) : "null";
  const secret = secretNames(document);
  let secrets = "";
  for (let i = 0; i < secret.length; i++) secrets += (i ? "," : "") + quote(secret[i]);
  lastText = '{"url":' + quote(urlOf(document) || "") + ',"title":' + quote(clean(titleOf(document) || "")) +
    ',"tree":' + serialise(root) + ',"path":' + steps + ',"secrets":[' + secrets + '],"bare":' + bare + ',"warning":' + quote(cutAt) + "}";
  return lastText;
}

// The page as last looked at, by whomever, with the path to an element of it.
let lastText = "";
function lastSeen(target) {
  return lastText && tools.withPath(lastText, pathOf(target));
}

// The element of the last snapshot's node at `path`.
function elementAt(path) {
  let node = last;
  for (let i = 0; node && i < path.length; i++) node = node.children[path[i]];
  return node && node.el && isConnected(node.el) ? node.el : null;
}

// Takes the innermost elements with exactly this text for clickable from now on: for pages where
// something reacts to clicks and nothing about it tells so. Returns how many there are.
function markText(text) {
  forget();
  const all = queryDocument(document, "body *");
  const count = listLength(all);
  const same = new MapType();
  for (let i = 0; i < count && i < 20000; i++) {
    const el = all[i];
    if (!isGone(el) && !INTERACTIVE[roleOf(el)] && contentOf(el, "own", null) === text && isShown(el)) mapSet(same, el, true);
  }
  let marked = 0;
  for (let i = 0; i < count && i < 20000; i++) {
    if (!mapHas(same, all[i])) continue;
    let inner = false;
    for (let child = firstChild(all[i]); child; child = nextSibling(child)) inner = inner || mapHas(same, child);
    if (inner) continue;
    weakAdd(known.clickable, all[i]);
    marked++;
  }
  return "" + marked;
}
