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
  writes_paused?: string;
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
  alarms: Alarm[]; // the worst hundred
  alarm_count: number; // all of them
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

// Target is a tag that whoever is signed in may write.
export interface Target {
  id: number;
  tag: string;
  device: string;
  type: string; // '' when only the device knows
  unit?: string;
  low?: number;
  high?: number;
  role: string;
  mode: 'once' | 'desired';
  verify: 'readback' | 'ack';
  expire_s: number;
  approve?: boolean;
  approve_within_s?: number;
  interlock?: string;
  wished?: { value: unknown; by: string; asked: string };
  against?: string; // what would refuse it now
  new?: unknown; // what would be written
}

export interface Targets {
  user: string;
  role: string;
  targets: Target[];
}

export type End = 'confirmed' | 'differs' | 'refused' | 'failed' | 'unknown' | 'pending';

// WriteView is a write and what became of it.
export interface WriteView {
  id: number;
  tag: string;
  end: End;
  reason?: string;
  todo?: string;
  old?: unknown;
  new?: unknown;
  read?: unknown;
  by?: string;
  approver?: string;
  why?: string;
  asked: string;
  until?: string;
  took_ms: number;
  repeated?: boolean;
}

export type Outcome = 'running' | 'healed' | 'done' | 'rolled_back' | 'failed' | 'interrupted' | 'dry';

// Rule is a healing rule at a glance.
export interface Rule {
  name: string;
  doc: string;
  each: string;
  dry: boolean;
  state: 'watching' | 'acting' | 'stopped' | 'paused';
  why: string;
  firing: number;
  active: number;
  resting: number;
  rested?: string;
  runs: Partial<Record<Outcome, number>>;
  success: number;
}

export interface Pause {
  reason: string;
  by: string;
  since?: string;
  until?: string;
}

export interface Rules {
  rules: Rule[];
  pause: Pause;
}

export interface Fact {
  name: string;
  value: string;
}

export interface Step {
  at: string;
  action: string;
  device?: string;
  undo?: boolean;
  note?: string;
  error?: string;
  output?: string;
}

export interface Evidence {
  device: string;
  state: string;
  rtt_ms: number;
  jitter_ms: number;
  loss: number;
  route: number;
  stretch: number;
  degraded: boolean;
  standby: boolean;
  out_of_service: boolean;
}

// Run is what a healing rule did once.
export interface Run {
  id: number;
  rule: string;
  subject: string;
  begun: string;
  ended?: string;
  outcome: Outcome;
  reason: string;
  because: Fact[] | null;
  devices: string[] | null;
  left: number;
  steps: Step[] | null;
  before: Evidence[] | null;
  after?: Evidence[];
  undo_at?: string;
  undone?: string;
}

export interface RuleExplanation extends Rule {
  when: string;
  for: string;
  on: string[] | null;
  do: string[];
  verify: string;
  after: string;
  limit: string;
  fault?: string;
  terms: { source: string; holds: number }[];
  subjects: { subject: string; holds: boolean; why: string; values: Fact[] | null }[] | null;
  more: number;
  watched: number;
}

// Preview is what a healing rule would do.
export interface Preview {
  rule: string;
  subject: string;
  holds: boolean;
  against: string;
  values: Fact[] | null;
  devices: string[] | null;
  left: number;
  steps: Step[] | null;
  undo: string[] | null;
  verify: string;
  more?: number;
}
