// A real gateway on simulated presses, each press a process of its own, so that one can be taken away.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../../..');

const config = (data, port, presses, odd) => `gateway: {name: hall-a, data: ${data}, listen: "127.0.0.1:${port}"}
templates:
  press:
    profile: {floor: 200ms, ceiling: 1s, cap: 1s}
    groups:
      fast:
        interval: 200ms
        tags:
          temperature: "holding:60000:float32 unit=°C deadband=0.5"
          setpoint: "holding:10:int16 scale=0.1 unit=°C low=0 high=250 rw write=setpoint"
          door: "coil:1 rw"
          recipe: "holding:20:uint16 unit=no. rw write=recipe"
          speed: "holding:12:uint16 unit=rpm rw write=speed"
          reserved: "holding:30:uint16 rw write=reserved"
  odd:
    profile: {floor: 200ms, ceiling: 1s, cap: 1s}
devices:
${presses.map((p, i) => `  - {id: press-${i + 1}, template: press, address: "modbus://${p}/1"}`).join('\n')}
  - {id: stubborn, template: odd, address: "modbus://${odd.stubborn}/1", groups: {g: {interval: 200ms, tags: {set: "holding:10:int16 rw"}}}}
  - {id: locked, template: odd, address: "s7://${odd.locked}/0/1", groups: {g: {interval: 200ms, tags: {set: "DB2.DBD0:REAL rw"}}}}
  - {id: mute, template: odd, address: "modbus://${odd.mute}/1", groups: {g: {interval: 1h, tags: {set: "holding:10:int16 rw"}}}}
write:
  rules:
    setpoint: {max: 220, interlock: 'tag("./door") == false'}
    recipe: {approve: true, approve_within: 15m}
    speed: {mode: desired}
    reserved: {role: admin}
heal:
  rules:
    helps:
      doc: A press that is read as configured is read less often.
      on: [press-2]
      when: device.up && device.stretch < 2.0
      do: [{type: stretch, factor: 4}]
      verify: device.stretch > 3.0
      keep: 1h
    futile:
      doc: A press whose round trip is above nothing is read half as often.
      on: [press-1]
      when: device.up && device.rtt > duration("0s")
      do: [{type: stretch, factor: 2}]
      verify: device.rtt < duration("0s")
      within: 1s
    storm:
      doc: All presses are ill for this rule, and it stops.
      on: [press-*]
      when: device.up && device.rtt > duration("0s")
      do: [{type: reconnect}]
    watches:
      doc: A press whose round trips spread is asked in small parts.
      on: [press-*]
      when: device.jitter > duration("10s")
      do: [{type: degrade}]
      verify: device.jitter < duration("1s")
`;

async function freePort() {
  const s = createServer();
  await new Promise((r) => s.listen(0, '127.0.0.1', r));
  const { port } = s.address();
  await new Promise((r) => s.close(r));
  return port;
}

async function until(what, f) {
  const end = Date.now() + 30_000;
  while (!(await f().catch(() => false))) {
    if (Date.now() > end) throw new Error(`${what} took more than 30 s`);
    await new Promise((r) => setTimeout(r, 50));
  }
}

// startGateway answers where the gateway is, a token for each name, and how to take a press away, bring it back, and end it all.
export async function startGateway(names) {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-operator-'));
  const binary = join(dir, 'millrace');
  const built = spawnSync('go', ['build', '-o', binary, './cmd/millrace'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (built.status !== 0) throw new Error('millrace cannot be built');
  const running = new Set();
  const run = (...args) => {
    const p = spawn(binary, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    p.said = '';
    p.stderr.on('data', (d) => (p.said = (p.said + d).slice(-8000)));
    running.add(p);
    p.ended = new Promise((r) => p.once('exit', r)).then(() => running.delete(p));
    return p;
  };
  const end = async (p) => {
    p.kill('SIGKILL');
    await p.ended;
  };
  const addresses = [];
  for (let i = 1; i <= 4; i++) addresses.push(`127.0.0.${i}:${await freePort()}`);
  const sims = addresses.map((a) => run('sim', 'modbus', '--listen', a));
  // Devices that do with a write what a press does not: keep the old value, refuse it, say nothing.
  const odd = {};
  for (const name of ['stubborn', 'locked', 'mute']) odd[name] = `127.0.1.1:${await freePort()}`;
  run('sim', 'modbus', '--listen', odd.stubborn, '--fault', 'ignore_write');
  run('sim', 's7', '--listen', odd.locked);
  const mute = run('sim', 'modbus', '--listen', odd.mute);
  const data = join(dir, 'data');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/`;
  writeFileSync(join(dir, 'gateway.yaml'), config(data, port, addresses, odd));
  const gateway = run('run', '-c', join(dir, 'gateway.yaml'));
  const stop = async () => {
    await Promise.all([...running].map(end));
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await until('the start of the gateway', async () => {
      if (!running.has(gateway)) throw new Error(gateway.said);
      const { devices } = await (await fetch(`${url}api/v1/devices`)).json();
      return devices.length === 7 && devices.every((d) => d.state === 'ready');
    });
  } catch (e) {
    console.error(gateway.said);
    await stop();
    throw e;
  }
  const tokens = { admin: readFileSync(join(data, 'token'), 'utf8').trim() };
  for (const [name, roles] of Object.entries(names)) {
    const made = spawnSync(binary, ['token', name, '--roles', roles, '--data', data], { encoding: 'utf8' });
    if (made.status !== 0) throw new Error(made.stderr);
    tokens[name] = made.stdout.trim();
  }
  const audit = (...args) => spawnSync(binary, ['audit', ...args, '--data', data], { encoding: 'utf8' }).stdout;
  return { url, tokens, audit, stop, mute: (on) => mute.kill(on ? 'SIGSTOP' : 'SIGCONT'), away: (n) => end(sims[n - 1]), back: (n) => (sims[n - 1] = run('sim', 'modbus', '--listen', addresses[n - 1])) };
}
