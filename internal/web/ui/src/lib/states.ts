import { clock } from './format';
import type { Device, End, Outcome, Rule } from './types';

export type Tone = 'ok' | 'busy' | 'warn' | 'bad' | 'off';
export type Shape = 'check' | 'ring' | 'triangle' | 'diamond' | 'cross' | 'bars' | 'dash';

export interface Look {
  label: string;
  tone: Tone;
  shape: Shape;
  rank: number; // worst first
}

const looks: Record<string, Look> = {
  cooling: { label: 'Down', tone: 'bad', shape: 'cross', rank: 0 },
  suspect: { label: 'Not answering', tone: 'warn', shape: 'diamond', rank: 1 },
  degraded: { label: 'Degraded', tone: 'warn', shape: 'triangle', rank: 2 },
  opening: { label: 'Connecting', tone: 'busy', shape: 'ring', rank: 3 },
  idle: { label: 'Waiting', tone: 'busy', shape: 'ring', rank: 4 },
  draining: { label: 'Stopping', tone: 'off', shape: 'dash', rank: 5 },
  closed: { label: 'Stopped', tone: 'off', shape: 'dash', rank: 6 },
  out_of_service: { label: 'Out of service', tone: 'off', shape: 'bars', rank: 7 },
  ready: { label: 'Ready', tone: 'ok', shape: 'check', rank: 8 },
};

export type Sign = Pick<Look, 'label' | 'tone' | 'shape'>;

// ends says how a write ended.
export const ends: Record<End, Sign> = {
  confirmed: { label: 'Confirmed', tone: 'ok', shape: 'check' },
  differs: { label: 'Differs', tone: 'warn', shape: 'triangle' },
  refused: { label: 'Refused', tone: 'off', shape: 'bars' },
  failed: { label: 'Failed', tone: 'bad', shape: 'cross' },
  unknown: { label: 'Unknown', tone: 'bad', shape: 'diamond' },
  pending: { label: 'Waits for approval', tone: 'busy', shape: 'ring' },
};

// outcomes says how a run of a healing rule ended.
export const outcomes: Record<Outcome, Sign> = {
  running: { label: 'Running', tone: 'busy', shape: 'ring' },
  healed: { label: 'Healed, verified', tone: 'ok', shape: 'check' },
  done: { label: 'Done, not verified', tone: 'ok', shape: 'dash' },
  rolled_back: { label: 'Rolled back', tone: 'warn', shape: 'triangle' },
  failed: { label: 'Failed', tone: 'bad', shape: 'cross' },
  interrupted: { label: 'Interrupted', tone: 'off', shape: 'dash' },
  dry: { label: 'Dry run', tone: 'off', shape: 'bars' },
};

// standing says in words how a healing rule stands.
export const standing = (r: Rule) =>
  r.why + (r.resting ? `; ${r.resting === 1 ? 'one rests' : `${r.resting} rest`} after a run${r.rested ? ` until ${clock(r.rested)}` : ''}` : '');

// signOfRule says how a healing rule stands.
export function signOfRule(r: Rule): Sign {
  switch (r.state) {
    case 'paused':
      return { label: 'Paused', tone: 'off', shape: 'bars' };
    case 'stopped':
      return { label: 'Stopped', tone: 'bad', shape: 'cross' };
    case 'acting':
      return { label: 'Running', tone: 'busy', shape: 'ring' };
  }
  return r.resting ? { label: 'Cooling', tone: 'warn', shape: 'dash' } : { label: 'Armed', tone: 'ok', shape: 'check' };
}

export const states = Object.keys(looks);

export const lookOf = (state: string): Look => looks[state] ?? { label: state, tone: 'warn', shape: 'diamond', rank: 1 };

export const stateOf = (d: Device) => (d.out_of_service ? 'out_of_service' : d.state);

export const look = (d: Device) => lookOf(stateOf(d));

// isMeasured says whether a value was measured at its time, and not repeated because the device was away.
export const isMeasured = (q: string) => !q.startsWith('bad') && !q.includes('last usable');

// toneOfQuality: a value is only as good as its quality says.
export function toneOfQuality(q: string): Tone {
  if (q.startsWith('good')) return 'ok';
  if (q.includes('out of service')) return 'off';
  return q.startsWith('uncertain') ? 'warn' : 'bad';
}
