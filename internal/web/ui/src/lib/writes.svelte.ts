import { getTagsNamed, getWaiting, getWrite, submitWrite } from './api';
import { session } from './session.svelte';
import type { Tag, Target, WriteView } from './types';

// Asked is a write that this tab asked for.
export interface Asked {
  key: string; // idempotency key: sent again it is the same write
  tag: string;
  unit: string;
  type: string;
  text: string;
  why: string;
  view: WriteView | null; // null while it is under way
  problem: string; // why there is no answer
}

// Writes is what waits to be approved, and what this tab asked for.
class Writes {
  waiting = $state.raw<WriteView[]>([]);
  asked = $state.raw<Asked[]>([]); // the newest first
  tags = $state.raw(new Map<string, Tag>()); // of what waits

  // look asks what waits, and what became of what this tab asked for that waited.
  async look(signal?: AbortSignal) {
    if (!session.mayWrite) {
      this.waiting = [];
      return;
    }
    this.waiting = await getWaiting(signal);
    const unknown = this.waiting.map((w) => w.tag).filter((t) => !this.tags.has(t));
    if (unknown.length) this.tags = new Map((await getTagsNamed(unknown, signal)).tags.map((t) => [t.name, t]));
    for (const a of this.asked) {
      const id = a.view?.id;
      if (a.view?.end === 'pending' && !this.waiting.some((w) => w.id === id)) this.put({ ...a, view: await getWrite(id!, signal) });
    }
  }

  // write asks for a value, and answers how it ended. It never throws.
  async write(t: Target, text: string, why: string, key = randomKey()): Promise<Asked> {
    let a: Asked = { key, tag: t.tag, unit: t.unit ?? '', type: t.type, text, why, view: null, problem: '' };
    this.put(a);
    try {
      a = { ...a, view: await submitWrite(t.tag, text, why, key) };
    } catch (e) {
      a = { ...a, problem: e instanceof Error ? e.message : String(e) };
    }
    this.put(a);
    return a;
  }

  put(a: Asked) {
    const i = this.asked.findIndex((x) => x.key === a.key);
    this.asked = i < 0 ? [a, ...this.asked].slice(0, 50) : this.asked.with(i, a);
  }
}

// randomKey is made without crypto.randomUUID, which browsers keep to pages that come over TLS.
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}

export const writes = new Writes();
