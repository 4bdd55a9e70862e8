import type { Device, Sample, Summary } from './types';

type Watcher = { ids: number[]; on?: (s: Sample[]) => void };

const silence = 12_000; // the server says something every 5 s; after this the connection counts as lost
const hiddenFor = 30_000; // a tab that nobody sees gives its connection back

// Live holds what the gateway's stream says. There is one stream a tab, since browsers open only six connections to a server: it is
// opened anew, where it left off, when other tags are to be watched.
class Live {
  status = $state<'connecting' | 'live' | 'lost'>('connecting');
  lastHeard = $state(0); // ms, browser clock
  retryAt = $state(0);
  summary = $state.raw<Summary | null>(null);
  devices = $state.raw<Device[]>([]);
  boot = $state('');
  rate = $state.raw<{ t: number; perSecond: number }[]>([]); // the last minutes
  tick = $state(0); // grows with each change of a watched value
  now = $state(Date.now()); // gateway clock, once a second
  gaps = $state(0); // grows when the stream comes back after it was away: values in between were missed

  values = new Map<number, Sample>();
  private offset = 0; // gateway clock - browser clock
  private watchers = new Set<Watcher>();
  private watched = new Set<number>();
  private source: EventSource | null = null;
  private lastID = '';
  private tries = 0;
  private planned = 0;
  private retry = 0;
  private hidden = 0;
  private away = false;
  private reads: { t: number; read: number }[] = [];

  start() {
    this.connect();
    setInterval(() => this.beat(), 1000);
    document.addEventListener('visibilitychange', () => this.visibility());
    window.addEventListener('online', () => this.connect());
  }

  // clock is the gateway's time in ms.
  clock = () => Date.now() + this.offset;

  // watch keeps the values of ids coming until the function that it returns is called.
  watch(ids: number[], on?: (s: Sample[]) => void) {
    const w = { ids, on };
    this.watchers.add(w);
    this.plan();
    return () => {
      this.watchers.delete(w);
    };
  }

  // put takes samples that came by another way, unless newer ones are known.
  put(samples: Sample[]) {
    for (const s of samples) {
      const have = this.values.get(s.id);
      if (!have || !this.watched.has(s.id) || (s.ts ?? '') > (have.ts ?? '')) this.values.set(s.id, s);
    }
    this.tick++;
  }

  tryNow() {
    this.connect();
  }

  private beat() {
    this.now = this.clock();
    if (this.status !== 'lost' && this.source && Date.now() - this.lastHeard > silence) this.lost();
  }

  private visibility() {
    clearTimeout(this.hidden);
    if (document.hidden) {
      this.hidden = window.setTimeout(() => this.leave(), hiddenFor);
    } else if (!this.source) {
      this.connect();
    }
  }

  private leave() {
    this.away = true;
    this.close();
  }

  private close() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.retry);
  }

  private plan() {
    clearTimeout(this.planned);
    this.planned = window.setTimeout(() => {
      const wanted = this.wanted();
      const enough = [...wanted].every((id) => this.watched.has(id)) && this.watched.size <= wanted.size + 500;
      if (!enough && this.status !== 'lost' && !document.hidden) this.connect(true);
    }, 120);
  }

  private wanted() {
    const all = new Set<number>();
    for (const w of this.watchers) for (const id of w.ids) all.add(id);
    return all;
  }

  private connect(others = false) {
    this.close();
    const before = this.watched;
    this.watched = this.wanted();
    const q = new URLSearchParams({ big: 'string' });
    if (this.watched.size) q.set('ids', ranges(this.watched));
    const same = !others && [...this.watched].every((id) => before.has(id));
    // Other tags have values from before the position: ask for all of theirs.
    if (this.lastID) q.set('since', same ? this.lastID : this.lastID.replace(/-\d+-/, '-0-'));
    this.lastHeard = Date.now();
    const es = new EventSource(`/api/v1/stream?${q}`);
    this.source = es;
    const hear = <T>(event: string, f: (data: T) => void) =>
      es.addEventListener(event, (e) => {
        if (this.source !== es) return;
        const m = e as MessageEvent;
        if (m.lastEventId) this.lastID = m.lastEventId;
        this.lastHeard = Date.now();
        this.status = 'live';
        this.tries = 0;
        if (this.away) {
          this.away = false;
          this.gaps++;
        }
        f(JSON.parse(m.data) as T);
      });
    hear<Device[]>('devices', (all) => (this.devices = all));
    hear<Device[]>('device', (some) => this.changeDevices(some));
    hear<Summary>('summary', (s) => this.summarize(s));
    hear<Sample[]>('values', (some) => this.take(some));
    hear('heartbeat', () => {});
    es.addEventListener('bye', () => this.source === es && this.lost());
    es.onerror = () => this.source === es && this.lost();
  }

  private lost() {
    this.leave();
    this.status = 'lost';
    const wait = Math.min(1000 * 2 ** this.tries++, 8000) * (0.75 + Math.random() / 2);
    this.retryAt = Date.now() + wait;
    this.retry = window.setTimeout(() => this.connect(), wait);
  }

  private changeDevices(some: Device[]) {
    const byID = new Map(some.map((d) => [d.id, d]));
    this.devices = this.devices.map((d) => byID.get(d.id) ?? d);
  }

  private summarize(s: Summary) {
    const t = Date.parse(s.gateway.now);
    this.offset = t - Date.now();
    if (s.gateway.boot !== this.boot) {
      this.boot = s.gateway.boot;
      this.reads = [];
      this.rate = [];
      this.values.clear();
    }
    this.summary = s;
    this.reads = [...this.reads.filter((r) => t - r.t < 6000 && r.t < t), { t, read: s.values.read }];
    const first = this.reads[0];
    if (t - first.t < 1500) return;
    const perSecond = Math.max(0, ((s.values.read - first.read) * 1000) / (t - first.t));
    this.rate = [...this.rate.slice(-119), { t, perSecond }];
  }

  private take(some: Sample[]) {
    for (const s of some) this.values.set(s.id, s);
    this.tick++;
    for (const w of this.watchers) w.on?.(some);
  }
}

function ranges(ids: Set<number>) {
  const sorted = [...ids].sort((a, b) => a - b);
  const out: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    let j = i;
    while (j + 1 < sorted.length && sorted[j + 1] === sorted[j] + 1) j++;
    out.push(i === j ? `${sorted[i]}` : `${sorted[i]}-${sorted[j]}`);
    i = j + 1;
  }
  return out.join(',');
}

export const live = new Live();
