const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export const count = (n: number) => whole.format(n);

// short writes 12,345,678 as 12.3 M.
export function short(n: number): string {
  for (const [size, unit] of [[1e9, 'G'], [1e6, 'M'], [1e4, 'k']] as const) {
    if (Math.abs(n) >= size) {
      const v = n / (unit === 'k' ? 1000 : size);
      return `${v >= 100 ? v.toFixed(0) : v.toFixed(1)} ${unit}`;
    }
  }
  return n >= 100 || Number.isInteger(n) ? count(n) : n.toFixed(1);
}

export function bytes(n: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let i = 0;
  while (n >= 1000 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return `${n >= 100 || i === 0 ? n.toFixed(0) : n.toFixed(1)} ${units[i]}`;
}

// span writes a length of time in at most two units.
export function span(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return m < 10 && s % 60 ? `${m} min ${s % 60} s` : `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 48) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  return `${Math.floor(h / 24)} days`;
}

export const since = (time: string | null | undefined, now: number) => (time ? span(now - Date.parse(time)) : '–');

export function millis(ms: number): string {
  if (!ms) return '–';
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${ms.toFixed(0)} ms`;
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

export function clock(time: string | null): string {
  if (!time) return '–';
  const d = new Date(time);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

// value writes a tag's value as a person reads it. 64-bit integers come as strings and stay exact.
export function value(v: unknown, type: string): string {
  if (v === null || v === undefined) return '–';
  if (typeof v === 'boolean') return v ? 'true' : 'false';
  if (typeof v === 'number') return type === 'float64' ? String(Number(v.toPrecision(12))) : String(v);
  if (typeof v === 'string') return type === 'string' ? `“${v}”` : v;
  return JSON.stringify(v);
}

// quality drops the class from a quality in words: colour and form tell it.
export const quality = (q: string) => /\((.*)\)$/.exec(q)?.[1] ?? q;

// sentence begins with a capital and ends with a full stop.
export const sentence = (s: string) => (s ? s[0].toUpperCase() + s.slice(1) + (/[.!?]$/.test(s) ? '' : '.') : '');

export const plural = (n: number, one: string, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
