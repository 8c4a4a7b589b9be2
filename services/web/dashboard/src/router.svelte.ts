// The address bar is the state: paths are pages, links are ordinary <a href>.

export const place = $state({ path: location.pathname, query: new URLSearchParams(location.search) });

function read(): void {
  place.path = location.pathname;
  place.query = new URLSearchParams(location.search);
}

export function go(href: string): void {
  history.pushState(null, "", href);
  read();
  window.scrollTo(0, 0);
}

/** Sets a parameter of the address, or takes it away: the same page, no step of its own for Back. */
export function set(name: string, value: string): void {
  const query = new URLSearchParams(place.query);
  if (value) query.set(name, value);
  else query.delete(name);
  history.replaceState(null, "", `${place.path}${query.size ? `?${query}` : ""}`);
  read();
}

/** Turns a click on an inner link into a change of page without loading. */
export function follow(event: MouseEvent): void {
  const link = (event.target as Element | null)?.closest("a");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
  if (!link || !plain || link.target || link.origin !== location.origin) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

window.addEventListener("popstate", read);

/** "/namespaces/:ns" against the path: the parts, or null. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const want = pattern.split("/");
  const have = path.replace(/\/$/, "").split("/");
  if (want.length !== have.length) return null;
  const parts: Record<string, string> = {};
  for (const [i, piece] of want.entries()) {
    const value = decodeURIComponent(have[i] ?? "");
    if (piece.startsWith(":")) parts[piece.slice(1)] = value;
    else if (piece !== value) return null;
  }
  return parts;
}
