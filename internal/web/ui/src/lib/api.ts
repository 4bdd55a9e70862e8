import type { Explanation, History, TagPage } from './types';

const tokenKey = 'millrace.token';

// Refused is an answer that is not 2xx: what is wrong, and what to do.
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly todo: string,
  ) {
    super(message);
  }
}

// takeTokenFromAddress keeps the token of an address that ends in #token=..., for this tab only, and takes it out of the address bar.
export function takeTokenFromAddress() {
  const found = /[#&]token=([^&]+)/.exec(location.hash);
  if (!found) return;
  setToken(decodeURIComponent(found[1]));
  history.replaceState(null, '', location.pathname + '#/');
}

export const token = () => sessionStorage.getItem(tokenKey) ?? '';

export function setToken(t: string) {
  if (t) sessionStorage.setItem(tokenKey, t.trim());
  else sessionStorage.removeItem(tokenKey);
}

async function answer<T>(request: Promise<Response>): Promise<T> {
  const r = await request;
  if (r.ok) return (await r.json()) as T;
  const why = await r.json().catch(() => ({}));
  throw new Refused(r.status, why.error ?? `the gateway answered ${r.status}`, why.todo ?? '');
}

export interface TagQuery {
  search: string;
  device: string;
  quality: string;
  offset: number;
  limit: number;
}

export function getTags(q: TagQuery, signal?: AbortSignal) {
  const p = new URLSearchParams({ big: 'string', offset: String(q.offset), limit: String(q.limit) });
  if (q.search) p.set('search', q.search);
  if (q.device) p.set('device', q.device);
  if (q.quality) p.set('quality', q.quality);
  return answer<TagPage>(fetch(`/api/v1/tags?${p}`, { signal }));
}

export function getTagsNamed(names: string[], signal?: AbortSignal) {
  const p = new URLSearchParams([['big', 'string'], ...names.map((n) => ['tag', n])]);
  return answer<TagPage>(fetch(`/api/v1/tags?${p}`, { signal }));
}

export function getHistory(tags: string[], from: number, points: number, signal?: AbortSignal) {
  const p = new URLSearchParams({ from: String(Math.round(from)), points: String(points) });
  for (const t of tags) p.append('tag', t);
  return answer<History>(fetch(`/api/v1/history?${p}`, { signal }));
}

// getWhy explains a device, or a tag by its full name.
export const getWhy = (of: string, signal?: AbortSignal) => answer<Explanation>(fetch(`/api/v1/why?${new URLSearchParams({ of })}`, { signal }));

// setMaintenance switches a device, or tags, with the token that was given before.
export function setMaintenance(what: { device?: string; tags?: string[] }, on: boolean, reason: string) {
  const path = what.device !== undefined ? `devices/${encodeURIComponent(what.device)}` : 'tags';
  return answer<unknown>(
    fetch(`/api/v1/${path}/maintenance`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token()}` },
      body: JSON.stringify(what.tags ? { on, reason, tags: what.tags } : { on, reason }),
    }),
  );
}
