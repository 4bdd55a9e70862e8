import { live } from './live.svelte';

// poll asks now, and again ms after each answer while somebody sees the page and the gateway is there, until the function that it returns is called. An effect returns that.
export function poll(ask: (signal: AbortSignal) => Promise<void>, ms: number) {
  const c = new AbortController();
  let t = 0;
  const turn = async (first: boolean) => {
    if (first || (live.status === 'live' && !document.hidden)) await ask(c.signal).catch(() => {});
    if (!c.signal.aborted) t = window.setTimeout(() => turn(false), ms);
  };
  turn(true);
  return () => {
    c.abort();
    clearTimeout(t);
  };
}
