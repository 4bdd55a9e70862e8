import type { Device } from './types';

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
