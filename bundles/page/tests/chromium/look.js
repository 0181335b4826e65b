// What a test asks the page. Written apart from the page's own script, so that one mistake is not made twice.
const tables = () => [...document.querySelectorAll("table")];
const columns = (table) => tables()[table].querySelectorAll("thead th").length;
const rows = (table) => [...tables()[table].querySelectorAll("tbody tr")];
const key = (row, column) => row.children[column].getAttribute("data-order") ?? row.children[column].textContent;

// In which direction a column is sorted, and how many neighbours are not.
const order = (table, column) => {
  const direction = tables()[table].querySelectorAll("thead th")[column].getAttribute("aria-sort");
  const keys = rows(table).map((row) => key(row, column));
  const sign = direction === "ascending" ? 1 : -1;
  const numbers = keys.every((value) => /^\d+$/.test(value));
  const compare = (one, other) => (numbers ? one - other : one.localeCompare(other, "en", { numeric: true }));
  const wrong = keys.slice(1).filter((value, index) => sign * compare(keys[index], value) > 0);
  const sorted = tables()[table].querySelectorAll("[aria-sort]").length;
  return { direction: sorted === 1 ? direction : null, wrong: wrong.length };
};

// The longest word of the last row's cells.
const rare = (table) => {
  const words = [...rows(table).at(-1).children].flatMap((cell) => cell.textContent.trim().split(/\s+/));
  return words.reduce((one, other) => (other.length > one.length ? other : one));
};

// How many rows are shown, how many are shown or hidden against the search, and what the page says.
const shown = (table) => {
  const label = tables()[table].previousElementSibling;
  const words = label.querySelector("input").value.toLowerCase().split(" ");
  const visible = (row) => row.getClientRects().length > 0;
  const meant = (row) => words.every((word) => row.textContent.toLowerCase().includes(word));
  const all = rows(table);
  return {
    shown: all.filter(visible).length,
    wrong: all.filter((row) => visible(row) !== meant(row)).length,
    count: label.querySelector("output").textContent,
  };
};

// Headings in order, one of the first level; language, title, main part; tables with captions and scopes; links that lead somewhere.
const outline = () => {
  const problems = [];
  const levels = [...document.querySelectorAll("h1,h2,h3,h4,h5,h6")].map((heading) => Number(heading.tagName[1]));
  if (levels.filter((level) => level === 1).length !== 1 || levels[0] !== 1) problems.push("not one h1 at the top");
  levels.forEach((level, index) => {
    if (index && level > levels[index - 1] + 1) problems.push("h" + level + " below h" + levels[index - 1]);
  });
  if (!document.documentElement.lang || !document.title || !document.querySelector("main")) problems.push("no language, title or main part");
  for (const table of tables()) {
    if (!table.caption || [...table.tHead.rows[0].cells].some((cell) => cell.scope !== "col")) problems.push("a table without caption or scopes");
  }
  for (const link of document.querySelectorAll("a")) {
    if (!document.querySelector(link.getAttribute("href"))) problems.push("a link to nothing: " + link.href);
  }
  for (const picture of document.querySelectorAll("svg")) {
    const texts = (picture.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent);
    if (picture.getAttribute("role") !== "img" || !texts.length || texts.some((text) => !text)) problems.push("a picture without a text");
  }
  if (document.documentElement.scrollWidth > innerWidth) problems.push("wider than the window");
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  if (new Set(ids).size !== ids.length) problems.push("an id twice");
  return { problems, headings: levels.length, tables: tables().length };
};

// Text that has less contrast than WCAG 2.2 AA asks for: 4.5 to 1, and 3 to 1 for large text. At most 300 elements of each kind are looked at.
const faint = () => {
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [red, green, blue] = channels(colour).map((value) => value / 255).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((channels(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const problems = [];
  const seen = new Map();
  let looked = 0;
  for (const element of document.querySelectorAll("body *:not(script)")) {
    if (![...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim())) continue;
    const kind = element.tagName + "." + element.getAttribute("class");
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
    if (seen.get(kind) > 300) continue;
    looked += 1;
    const style = getComputedStyle(element);
    const colour = element.closest("svg") ? style.fill : style.color;
    const [one, other] = [luminance(colour), luminance(behind(element))].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < (large ? 3 : 4.5)) problems.push(kind + ": " + contrast.toFixed(2) + " of " + colour);
  }
  return { problems, looked };
};
