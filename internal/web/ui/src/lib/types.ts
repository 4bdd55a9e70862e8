// The JSON of the gateway's API.

export interface Group {
  name: string;
  interval_ms: number;
  lag_ms: number;
  tags: number;
  missed: number;
}

export interface Device {
  id: string;
  protocol: string;
  endpoint: string;
  state: string;
  reason: string;
  since: string | null;
  outages: number;
  recovery_ms: number;
  rtt_ms: number;
  out_of_service: boolean;
  refuses?: boolean;
  groups: Group[];
}

export interface Sample {
  id: number;
  value: unknown;
  quality: string;
  ts: string | null;
}

export interface Tag extends Sample {
  name: string;
  device: string;
  group: string;
  address: string;
  type: string;
  unit: string;
  writable: boolean;
  out_of_service: boolean;
}

export interface TagPage {
  total: number;
  offset: number;
  tags: Tag[];
}

export interface Sink {
  id: string;
  kind: string;
  state: string;
  reason: string;
  since: string;
  waiting: number;
  delivered: number;
  dropped: Record<string, number>;
  behind_s: number;
}

export interface Alarm {
  id: string;
  severity: 'critical' | 'warning' | 'info';
  since: string;
  device?: string;
  sink?: string;
  text: string;
  todo: string;
}

export interface Summary {
  gateway: {
    name: string;
    version: string;
    started: string;
    demo: boolean;
    journal: { bytes: number; max_bytes: number; free_bytes: number; oldest?: string; state: string; reason: string };
    now: string;
    boot: string;
    tags: number;
    devices: Record<string, number>;
    maintenance: boolean;
  };
  values: { read: number; filtered: number; queued: number; journaled: number; dropped: Record<string, number> };
  residue: number;
  sinks: Sink[];
  alarms: Alarm[];
}

export interface Series {
  id: number;
  tag: string;
  unit: string;
  points: [number, number | null][];
}

export interface History {
  from: number;
  to: number;
  series: Series[];
}

// Finding is one cause that the facts fit.
export interface Finding {
  cause: string;
  layer: string;
  title: string;
  since?: string;
  before: { at: string; what: string }[];
  evidence: string[];
  todo: string[];
  confidence: 'possible' | 'likely' | 'certain';
}

// Explanation is what there is to say about a device or a tag, what explains most first.
export interface Explanation {
  of: string;
  what: 'device' | 'tag';
  device: string;
  state: string;
  findings: Finding[];
}
