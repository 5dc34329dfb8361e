// Small helpers around the document. Data goes in as text only, never as markup.

export const $ = (id) => document.getElementById(id);

/** An element with properties (`class`, `text`, `lang`, `dir`, data-*, aria-*) and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "text") element.textContent = value;
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const iconAddress = (name) => `/web/icons/icons.svg#${name}`;

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", iconAddress(name));
  svg.append(use);
  return svg;
}

export function show(element, visible) {
  element.hidden = !visible;
}

/** Storage that may be forbidden (private windows) or full: then nothing is remembered. */
export function store(area) {
  return {
    get(key) {
      try {
        return JSON.parse(window[area].getItem(key));
      } catch {
        return null;
      }
    },
    set(key, value) {
      try {
        window[area].setItem(key, JSON.stringify(value));
      } catch {
        // not remembered
      }
    },
    remove(key) {
      try {
        window[area].removeItem(key);
      } catch {
        // was not remembered
      }
    },
  };
}
