// Runs inside a page under test: what a person would stumble over, as a list of sentences.
(function () {
  "use strict";
  function channels(text) {
    var found = text.match(/[\d.]+/g) || [];
    return found.length < 3 ? null : [+found[0], +found[1], +found[2], found.length > 3 ? +found[3] : 1];
  }
  function over(top, below) {
    return [0, 1, 2].map(function (i) { return top[i] * top[3] + below[i] * (1 - top[3]); }).concat([1]);
  }
  function background(node) {
    var layers = [];
    for (var at = node; at; at = at.parentElement) {
      var colour = channels(getComputedStyle(at).backgroundColor);
      if (colour && colour[3] > 0) { layers.push(colour); if (colour[3] === 1) { break; } }
    }
    return layers.reverse().reduce(function (below, top) { return over(top, below); }, [255, 255, 255, 1]);
  }
  function light(colour) {
    var parts = colour.slice(0, 3).map(function (value) {
      value /= 255;
      return value <= 0.04045 ? value / 12.92 : Math.pow((value + 0.055) / 1.055, 2.4);
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  }
  function texts() {
    var walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    while (walker.nextNode()) {
      var node = walker.currentNode, parent = node.parentElement;
      if (!node.data.trim() || ["SCRIPT", "STYLE"].includes(parent.tagName)) { continue; }
      if (parent.closest(".sr") || !parent.getClientRects().length) { continue; }
      found.push(node);
    }
    return found;
  }
  function contrast() {
    return texts().map(function (node) {
      var parent = node.parentElement, style = getComputedStyle(parent), behind = background(parent);
      var colour = channels(parent.ownerSVGElement ? style.fill : style.color);
      if (!colour) { return null; }
      var a = light(over(colour, behind)), b = light(behind);
      var ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      return ratio < 4.5 ? "contrast " + ratio.toFixed(2) + ": " + node.data.trim().slice(0, 60) : null;
    }).filter(Boolean);
  }
  function overflow() {
    var wide = document.documentElement.clientWidth, found = [];
    if (document.documentElement.scrollWidth > wide) { found.push("the page is wider than the window"); }
    texts().forEach(function (node) {
      var parent = node.parentElement, range = document.createRange();
      if (parent.closest(".scroll, .chart-scroll, pre")) { return; }
      range.selectNodeContents(node);
      var box = range.getBoundingClientRect(), card = parent.closest(".card, .tile, main").getBoundingClientRect();
      if (box.right > card.right + 1) { found.push("leaves its card: " + node.data.trim().slice(0, 60)); }
    });
    return found;
  }
  function clipped() {
    return Array.from(document.querySelectorAll("svg.chart")).flatMap(function (svg) {
      var frame = svg.getBoundingClientRect();
      return Array.from(svg.querySelectorAll("text")).filter(function (text) {
        var box = text.getBoundingClientRect();
        return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1);
      }).map(function (text) { return "cut off in a chart: " + text.textContent; });
    });
  }
  return { contrast: contrast(), overflow: overflow(), clipped: clipped() };
}())
