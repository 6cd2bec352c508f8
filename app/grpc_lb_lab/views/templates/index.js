(function () {
  "use strict";
  var table = document.getElementById("cells"), cards = document.getElementById("cards");
  var said = document.getElementById("sorted"), words = { strategy: 1, "class": 1, scenario: 1 };
  function value(node, key) { return node.getAttribute("data-" + key) || ""; }
  function compare(key, turn) {
    return function (a, b) {
      var x = value(a, key), y = value(b, key);
      if (x === "" || y === "") { return (x === "") - (y === ""); }
      var order = words[key] ? x.localeCompare(y) : parseFloat(x) - parseFloat(y);
      return order * turn || value(a, "strategy").localeCompare(value(b, "strategy"));
    };
  }
  function reorder(parent, key, turn) {
    Array.from(parent.children).sort(compare(key, turn)).forEach(function (node) { parent.appendChild(node); });
  }
  table.tHead.addEventListener("click", function (event) {
    var button = event.target.closest("button");
    if (!button) { return; }
    var head = button.parentNode, key = button.getAttribute("data-sort");
    var first = {% for column in columns|selectattr("highest_first")|reverse %}key === "{{ column.key }}"{{ " || " if not loop.last }}{% endfor %} ? "descending" : "ascending";
    var other = first === "ascending" ? "descending" : "ascending";
    var order = head.getAttribute("aria-sort") === first ? other : first;
    table.tHead.querySelectorAll("[aria-sort]").forEach(function (th) { th.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", order);
    var turn = order === "ascending" ? 1 : -1;
    reorder(table.tBodies[0], key, turn);
    reorder(cards, key, turn);
    said.textContent = "Sorted by " + button.textContent + ", " + order + ".";
  });
}());
