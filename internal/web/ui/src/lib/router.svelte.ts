// The page's address after the #: /overview, /devices/ID, /tags?search=..., /trend?tag=...
class Route {
  path = $state('/');
  query = $state.raw(new URLSearchParams());

  constructor() {
    this.read();
    window.addEventListener('hashchange', () => this.read());
  }

  private read() {
    const [path, query] = location.hash.replace(/^#/, '').split('?', 2);
    this.path = path || '/';
    this.query = new URLSearchParams(query ?? '');
  }

  // replace changes the query without a step in the browser's history.
  replace(path: string, query: URLSearchParams) {
    const q = query.toString();
    history.replaceState(null, '', `#${path}${q ? `?${q}` : ''}`);
    this.read();
  }
}

export const route = new Route();
export const devicePath = (id: string) => `#/devices/${encodeURIComponent(id)}`;
export const rulePath = (name: string) => `#/healing/${encodeURIComponent(name)}`;
export const trendPath = (tags: string[]) => `#/trend?${new URLSearchParams(tags.map((t) => ['tag', t]))}`;
