import { decoded } from './decoded';
import type { Explanation, History, Pause, Preview, RuleExplanation, Rules, Run, TagPage, Target, Targets, WriteView } from './types';

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
  setToken(decoded(found[1]));
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

const bearer = (t = token()) => ({ Authorization: `Bearer ${t}` });

const post = (path: string, body: object, headers: Record<string, string> = bearer()) =>
  fetch(`/api/v1/${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body) });

// setMaintenance switches a device, or tags, with a token.
export function setMaintenance(what: { device?: string; tags?: string[] }, on: boolean, reason: string, using: string) {
  const path = what.device !== undefined ? `devices/${encodeURIComponent(what.device)}` : 'tags';
  return answer<unknown>(post(`${path}/maintenance`, what.tags ? { on, reason, tags: what.tags } : { on, reason }, bearer(using)));
}

// getTargets answers who has the token, and which of the tags with these numbers that one may write.
export const getTargets = (q: { ids?: number[] }, signal?: AbortSignal) =>
  answer<Targets>(fetch(`/api/v1/targets?${new URLSearchParams(q.ids?.length ? { ids: q.ids.join(',') } : {})}`, { headers: bearer(), signal }));

// getTarget answers what holds for writing a tag, and what would become of text, when it is not empty. Undefined is a tag that the token's owner may not write.
export async function getTarget(tag: string, text: string, signal?: AbortSignal): Promise<Target | undefined> {
  const q = new URLSearchParams(text === '' ? { tag } : { tag, text });
  return (await answer<Targets>(fetch(`/api/v1/targets?${q}`, { headers: bearer(), signal }))).targets[0];
}

// ended is the answer to a write: a refused or failed one is an answer too.
async function ended(request: Promise<Response>): Promise<WriteView> {
  const r = await request;
  const body = await r.json().catch(() => ({}));
  if (typeof body.end === 'string') return body as WriteView;
  throw new Refused(r.status, body.error ?? `the gateway answered ${r.status}`, body.todo ?? '');
}

// submitWrite answers how a write ended. Two with one key are one write.
export const submitWrite = (tag: string, text: string, why: string, key: string) => ended(post('writes', { tag, text, why }, { ...bearer(), 'Idempotency-Key': key }));

export const decideWrite = (id: number, yes: boolean, why: string) => ended(post(`writes/${id}/${yes ? 'approve' : 'reject'}`, { why }));

export const takeBack = (tag: string, why: string) => answer<{ taken_back: number }>(post('writes/take-back', { tag, why }));

export const getWaiting = async (signal?: AbortSignal) => (await answer<{ waiting: WriteView[] }>(fetch('/api/v1/writes', { headers: bearer(), signal }))).waiting;

export const getWrite = (id: number, signal?: AbortSignal) => ended(fetch(`/api/v1/writes/${id}`, { headers: bearer(), signal }));

export const getRules = (signal?: AbortSignal) => answer<Rules>(fetch('/api/v1/heal/rules', { signal }));

export const getRule = (name: string, signal?: AbortSignal) => answer<RuleExplanation>(fetch(`/api/v1/heal/rules/${encodeURIComponent(name)}`, { signal }));

// getRuns answers what rules did, the newest first: one rule, what touched one device, or all.
export async function getRuns(q: { rule?: string; device?: string; limit: number }, signal?: AbortSignal) {
  const p = new URLSearchParams({ limit: String(q.limit) });
  if (q.rule) p.set('rule', q.rule);
  if (q.device) p.set('device', q.device);
  return (await answer<{ runs: Run[] | null }>(fetch(`/api/v1/heal/history?${p}`, { signal }))).runs ?? [];
}

// getDryRun answers what a rule would do now; for subject, whether or not its condition holds.
export const getDryRun = async (rule: string, subject: string, signal?: AbortSignal) =>
  (await answer<{ would: Preview[] }>(fetch(`/api/v1/heal/dry-run?${new URLSearchParams(subject ? { rule, subject } : { rule })}`, { signal }))).would;

export const setPause = (on: boolean, reason: string, length: string) => answer<Pause>(post('heal/pause', on ? { on, reason, for: length } : { on }));
