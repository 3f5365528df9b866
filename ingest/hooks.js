// Runs before the page's own scripts and remembers what a look at the finished page cannot tell:
// which elements listen for clicks, closed shadow roots, fields that were once passwords.
// Changes nothing about how the page behaves.

const hooks = { shadows: new WeakMap(), clickable: new WeakSet(), secret: new WeakSet(), ignored: new WeakSet(), touched: new WeakSet() };

(() => {
  const apply = Reflect.apply;
  const remember = WeakSet.prototype.add.bind(hooks.clickable);
  const secret = WeakSet.prototype.add.bind(hooks.secret);
  const keep = WeakMap.prototype.set.bind(hooks.shadows);
  const isElement = Function.prototype.call.bind(Object.prototype.isPrototypeOf, Element.prototype);
  const isInput = Function.prototype.call.bind(Object.prototype.isPrototypeOf, HTMLInputElement.prototype);
  const clicks = { __proto__: null, click: 1, mousedown: 1, mouseup: 1, pointerdown: 1, pointerup: 1 };
  const listen = EventTarget.prototype.addEventListener;
  const attach = Element.prototype.attachShadow;

  EventTarget.prototype.addEventListener = {
    addEventListener(type, ...rest) {
      if (typeof type === "string" && clicks[type] && isElement(this)) remember(this);
      return apply(listen, this, [type, ...rest]);
    },
  }.addEventListener;
  Element.prototype.attachShadow = {
    attachShadow(...rest) {
      const root = apply(attach, this, rest);
      keep(this, root);
      return root;
    },
  }.attachShadow;
  // A password stays one when the page turns its field into plain text.
  apply(listen, window, ["focusin", (event) => {
    const target = event.composedPath()[0];
    if (isInput(target) && target.type === "password") secret(target);
  }, true]);
})();
